// Write the text that puts a run on another page: a frame, a picture with a link, or Markdown.

/**
 * @typedef {object} Shared
 * @property {string} frame     address of the frame
 * @property {string} page      address of the page with the same view
 * @property {string | null} picture   address of its picture as PNG; null without a graph
 * @property {string} title
 * @property {number} height    of the frame, in pixels
 * @property {boolean} fits     the page gives the frame the height of its content
 */

/** Escape text for an attribute of HTML. @param {string} text */
const attribute = (text) => text.replace(/&/g, "&amp;").replace(/"/g, "&quot;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

/** Escape text for the label of a link in Markdown. @param {string} text */
const label = (text) => text.replace(/[\\[\]`*_<>&!]/g, (each) => `\\${each}`).replace(/\s+/g, " ");

/** Return the script that a page needs to set the height of a server's frames to that of their content. @param {string} origin */
const listener = (origin) => `<script>
addEventListener("message", ({ source, origin, data }) => {
  if (origin !== ${JSON.stringify(origin)} || !data.tapedeck) return;
  for (const frame of document.querySelectorAll("iframe"))
    if (frame.contentWindow === source) frame.style.height = \`\${Number(data.tapedeck.height)}px\`;
});
</script>`;

/** Return the frame as HTML. @param {Shared} shared */
export function frame({ frame: address, title, height, fits }) {
  const element = `<iframe src="${attribute(address)}" title="${attribute(`${title.replace(/[.…]+$/, "")}: a run of Tapedeck`)}" width="100%" height="${height}" style="border:0" loading="lazy"></iframe>`;
  return fits ? `${element}\n${listener(new URL(address).origin)}` : element;
}

/** Return the picture, which links to the run, as HTML; without a graph, a link. @param {Shared} shared */
export function pictured({ page, picture, title }) {
  const content = picture === null ? attribute(title) : `<img src="${attribute(picture)}" alt="${attribute(`The backward graph of “${title}”, with the gradient on every edge`)}">`;
  return `<a href="${attribute(page)}">${content}</a>`;
}

/** Return the picture, which links to the run, as Markdown; without a graph, a link. @param {Shared} shared */
export function markdown({ page, picture, title }) {
  return picture === null ? `[${label(title)}](${page})` : `[![${label(`The backward graph of “${title}”`)}](${picture})](${page})`;
}

// Give a tree of elements the texts and attributes of another of the same shape, so that what changed can move there.

const OURS = new Set(["tabindex", "aria-pressed", "role"]);

/** @param {Element} old @param {Element} next */
export function morph(old, next) {
  if (old.tagName !== next.tagName || old.children.length !== next.children.length) {
    old.replaceWith(document.importNode(next, true));
    return;
  }
  for (const { name, value } of next.attributes) {
    if (!OURS.has(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const name of old.getAttributeNames()) {
    if (!OURS.has(name) && !next.hasAttribute(name)) old.removeAttribute(name);
  }
  if (!next.children.length) {
    if (old.textContent !== next.textContent) old.textContent = next.textContent;
    return;
  }
  const pairs = [...old.children];
  for (const [i, child] of [...next.children].entries()) morph(/** @type {Element} */ (pairs[i]), child);
}

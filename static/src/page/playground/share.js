// The dialog that puts a run on another page: it writes a frame, a picture with a link, or Markdown. Loaded when it is opened.

import { write } from "../../core/address.js";
import { opened } from "../../core/instant.js";
import { picture } from "../../core/pictures.js";
import { first } from "../../core/session.js";
import { frame, markdown, pictured } from "../../core/snippets.js";
import { shownPass, START } from "../../core/state.js";
import { fill, h } from "../../leaves/dom.js";
import { toast } from "../../widgets/shell.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {Given, State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */

/** The panes that a frame can show, and its height with each of them alone, in pixels. */
const PANES = /** @type {const} */ ([
  ["graph", "Graph", true, 360],
  ["code", "Program", false, 360],
  ["deck", "Player", true, 196],
  ["inspector", "Inspector", false, 320],
  ["findings", "Findings", false, 200],
  ["curve", "Curve", false, 196],
]);
const PLATE = 32; // height in pixels of a frame's title
const SETTLED = 400; // milliseconds after the last change, before the preview loads again
const FORMS = /** @type {const} */ ([
  ["frame", "Frame", "For a page of your own: HTML that shows the run and can play it."],
  ["picture", "Picture", "For a page that allows no frames: the picture, which links to the run."],
  ["markdown", "Markdown", "For a README, a wiki or a notebook."],
]);

/**
 * Make the dialog, and return a function that opens it.
 *
 * @param {Store<State>} state
 * @param {Client} api
 * @param {Given} given
 */
export function share(state, api, given) {
  const boxes = PANES.map(([name, label, on]) => ({ name, box: h("input", { type: "checkbox", checked: on, onchange: show }), label }));
  const theme = h("select", { onchange: show }, [["", "the reader’s"], ["light", "light"], ["dark", "dark"]].map(([value, label]) => h("option", { value }, label)));
  const here = h("input", { type: "checkbox", checked: true, onchange: show });
  const autoplay = h("input", { type: "checkbox", onchange: show });
  const fits = h("input", { type: "checkbox", onchange: show });
  /** @type {(typeof FORMS)[number][0]} */
  let form = given.framed ? "frame" : "picture";
  const tabs = FORMS.filter(([name]) => given.framed || name !== "frame").map(([name, label]) => h("button", { type: "button", "data-form": name, onclick: () => ((form = name), show()) }, label));
  const about = h("p", { class: "mute" });
  const text = h("textarea", { readonly: true, rows: 6, spellcheck: "false", "aria-label": "Text to copy", onfocus: () => text.select() });
  const open = h("a", { class: "to", target: "_blank", rel: "noopener" }, "Open in a new tab");
  const preview = h("section", { class: "preview", "aria-label": "Preview" });
  const remark = h("p", { class: "mute" });
  const options = h(
    "div",
    { class: "options" },
    h("fieldset", null, h("legend", null, "Show"), boxes.map(({ box, label }) => h("label", null, box, label))),
    h("label", null, "Theme", theme),
    h("label", null, here, "Open at this step, phase and node"),
    h("label", null, autoplay, "Play at once, unless the reader prefers less motion"),
    h("label", null, fits, "Fit the height to the content, with a script"),
  );
  const dialog = h(
    "dialog",
    { id: "sharing", "aria-labelledby": "sharing-title" },
    h("h2", { id: "sharing-title" }, "Put this run on a page"),
    h("div", { class: "seg", role: "group", "aria-label": "Form" }, tabs),
    h("div", { class: "sides" }, h("div", null, about, options, text, remark), preview),
    h("form", { method: "dialog", class: "row" }, open, h("span", { class: "space" }), h("button", { type: "button", class: "btn primary", onclick: () => void copy() }, "Copy"), h("button", { class: "btn" }, "Close")),
  );
  document.body.append(dialog);
  let waiting = 0;
  /** The address and size of the preview; empty without one. */
  let shownAs = "";

  /** Return the query string of the view, with some more parameters. @param {Record<string, string | null>} [more] */
  function query(more = {}) {
    const { graph, ...now } = state.get();
    const node = graph && now.node === first(graph) ? null : now.node;
    const kept = new URLSearchParams(here.checked ? write({ ...now, node, parameter: null, compare: null, tab: START.tab, over: null, pane: START.pane }, "", now.run ? opened(now.run, {}) : START) : "");
    for (const [name, value] of Object.entries(more)) if (value) kept.set(name, value);
    return kept.size ? `?${String(kept).replaceAll("%2C", ",")}` : "";
  }

  /** Return whether the run is the recording of the example that the page was opened with. */
  const ofExample = () => given.example !== null && state.get().run?.id === given.run?.id;

  /** Return what the snippets are made of. */
  function shared() {
    const now = state.get();
    const { run, apart, direction, view, picture: drawn } = now;
    const id = run?.id ?? "";
    const name = ofExample() ? given.example : id; // a name is easier to read, and still fits if the example is changed
    const chosen = boxes.filter(({ box }) => box.checked).map((each) => each.name);
    const panes = chosen.length ? chosen : ["graph"];
    const high = (/** @type {readonly string[]} */ of) => PANES.reduce((sum, [pane, , , pixels]) => sum + (panes.includes(pane) && of.includes(pane) ? pixels : 0), 0);
    const pass = shownPass(now);
    const what = apart ? `graphs/${apart}` : pass && `passes/${pass.index}`;
    const [colour, origin] = [theme.value || null, location.origin];
    return {
      frame: `${origin}${given.root}/embed/${name}${query({ panes: panes.join(","), theme: colour, autoplay: autoplay.checked ? "1" : null, parameter: panes.includes("curve") ? now.parameter : null })}`,
      page: `${origin}${given.root}/r/${id}${query({ theme: colour })}`,
      picture: what ? `${origin}${api.address(picture(id, what, "png", direction, colour ?? "light", view, drawn?.layout))}` : null,
      title: run?.title ?? "",
      height: PLATE + Math.max(high(["graph"]), high(["code", "inspector", "findings"])) + Math.max(high(["deck"]), high(["curve"])),
      fits: fits.checked,
    };
  }

  function show() {
    const made = shared();
    for (const tab of tabs) tab.setAttribute("aria-pressed", String(tab.dataset["form"] === form));
    const stays = !state.get().run?.expires;
    remark.textContent = `${stays ? "" : `The run is deleted ${given.keep_days} days after it was made, with its pictures; to keep it, export it as a file that plays. `}Anyone who can open the page can view the run.`;
    about.textContent = FORMS.find(([name]) => name === form)?.[2] ?? "";
    options.hidden = form !== "frame";
    text.value = form === "frame" ? frame(made) : form === "picture" ? pictured(made) : markdown(made);
    open.href = form === "frame" ? made.frame : made.page;
    clearTimeout(waiting);
    waiting = setTimeout(() => draw(made), shownAs ? SETTLED : 0);
  }

  /** Show the frame or the picture as a reader of the page sees it. @param {ReturnType<typeof shared>} made */
  function draw({ frame: address, picture: drawing, title, height }) {
    if (!dialog.open) return;
    const now = `${form === "frame" ? address : drawing} ${height}`;
    if (now === shownAs) return;
    shownAs = now;
    if (form === "frame") fill(preview, h("iframe", { src: address, title: `Preview: ${title}`, height }));
    else fill(preview, drawing === null ? h("p", { class: "mute" }, "This run has no graph: the text is a link.") : h("img", { src: drawing, alt: `Preview: the backward graph of “${title}”` }));
  }
  dialog.addEventListener("close", () => {
    clearTimeout(waiting);
    shownAs = "";
    fill(preview); // a frame that plays would go on
  });

  async function copy() {
    try {
      await navigator.clipboard.writeText(text.value);
      toast("Copied");
      dialog.close();
    } catch {
      text.focus(); // its listener selects the text
    }
  }

  return () => {
    dialog.showModal();
    show();
  };
}

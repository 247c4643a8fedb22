// A lesson: prose beside the stage. The article is complete without this script, which makes the stage follow the reader. The
// stage itself is loaded when the reader first does something; until then, the server's picture stands for it.

import { fill, find, h } from "../leaves/dom.js";
import { recall } from "../leaves/storage.js";
import { flip, shell } from "../widgets/shell.js";
import { complete } from "./lesson/again.js";
import { attempts } from "./lesson/attempts.js";
import { progress } from "./lesson/progress.js";
import { questions } from "./lesson/questions.js";
import { reading } from "./lesson/reading.js";

/** @import {Given, LessonView} from "./lesson/types.js" */

/** What a reader does first. */
const SIGNS = ["scroll", "wheel", "pointermove", "pointerdown", "touchstart", "keydown", "focusin"];

find("article").dataset["scripted"] = ""; // else the style sheet uncovers the answers after a while
const given = /** @type {Given} */ (JSON.parse(find("#state").textContent ?? "{}"));
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
const still = () => reducedMotion.matches;
const narrow = () => matchMedia("(max-width: 760px)").matches;

const passages = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-view]")]);
const stageElement = find("#stage");
const entries = /** @type {HTMLAnchorElement[]} */ ([...document.querySelectorAll(".rail li a")]);
const parts = entries.map((entry) => document.getElementById(decodeURIComponent(entry.hash.slice(1))));

/** Return the part of the window in which the article is seen. */
const room = () => ({ top: narrow() ? stageElement.getBoundingClientRect().bottom : 48, bottom: innerHeight });

/** Mark the entry of the part around a passage. @param {HTMLElement} passage */
function mark(passage) {
  const before = parts.findLastIndex((part) => part && (part === passage || part.compareDocumentPosition(passage) & (Node.DOCUMENT_POSITION_FOLLOWING | Node.DOCUMENT_POSITION_CONTAINED_BY)));
  for (const [i, entry] of entries.entries()) {
    if (i === Math.max(0, before)) entry.setAttribute("aria-current", "true");
    else entry.removeAttribute("aria-current");
  }
}

/** The view of the passage that is read. @type {LessonView | null} */
let view = null;

const reader = reading(
  passages,
  room,
  (passage) => {
    view = JSON.parse(passage.dataset["view"] ?? "null");
    if (!stage && view && given.runs[view.recording]) find("#stage-name").textContent = view.recording;
    void stage?.then(({ show }) => view && show(view));
    mark(passage);
  },
  still,
);

document.addEventListener("focusin", ({ target }) => {
  const task = target instanceof Element ? target.closest(".task[data-view]") : null;
  if (task instanceof HTMLElement) reader.ask(task);
});

const kept = progress(given.lesson, (done) => {
  for (const entry of entries) entry.closest("li")?.classList.toggle("done", Boolean(done[decodeURIComponent(entry.hash.slice(1))]?.done));
});
const asked = complete(given).then(() => {
  find("article").dataset["asked"] = ""; // from here on, the questions cover their own answers
  attempts({ kept, loaded: begin });
  return questions({ kept, onopen: (section) => void begin().then(({ opened }) => opened(section), () => {}) });
});

// -- the stage

/** @type {Promise<ReturnType<typeof import("./lesson/live.js").live>> | null} */
let stage = null;
/** @type {Promise<ReturnType<typeof import("./lesson/tasks.js").tasks>> | null} */
let begun = null;

/** Load the stage, and show the view of the passage that is read. */
async function load() {
  const { live } = await import("./lesson/live.js");
  const loaded = live({ given, kept, ask: reader.ask, still, narrow });
  if (view) loaded.show(view);
  return loaded;
}

/** Load the stage, and connect the tasks to it. */
function begin() {
  stage ??= asked.then(load); // the stage could show an answer before the question is set up
  begun ??= Promise.all([stage, asked]).then(([loaded, open]) => loaded.begin(open));
  return begun;
}

const first = new AbortController();
for (const sign of SIGNS) {
  addEventListener(
    sign,
    () => {
      first.abort();
      begin().catch(() => fill(find("#canvas"), h("div", { class: "void" }, "The graph could not be loaded. Load the page again.")));
    },
    { signal: first.signal, passive: true, capture: true },
  );
}

// -- keys: J and K go from passage to passage

addEventListener("keydown", (event) => {
  const at = event.target instanceof Element ? event.target : document.body;
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || at.closest("input, select, textarea, [contenteditable]")) return;
  if (recall("letters") === "off") return; // the playground has the switch
  if (event.key === "j" || event.key === "k") return void (event.preventDefault(), reader.move(event.key === "j" ? 1 : -1));
  if (event.key === "t") flip();
});

shell();
reader.look();

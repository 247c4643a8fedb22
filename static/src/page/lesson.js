// A lesson: prose beside the stage. The article is complete without this script, which makes the stage follow the reader.

import { lastStep } from "../core/instant.js";
import { player } from "../core/player.js";
import { session } from "../core/session.js";
import { shortcutOf } from "../core/shortcuts.js";
import { EMPTY } from "../core/state.js";
import { store } from "../core/store.js";
import { client } from "../leaves/api.js";
import { fill, find, h } from "../leaves/dom.js";
import { edgeStyle } from "../leaves/edge-style.js";
import { recall } from "../leaves/storage.js";
import { inspector } from "../widgets/inspector.js";
import { flip, shell } from "../widgets/shell.js";
import { complete } from "./lesson/again.js";
import { progress } from "./lesson/progress.js";
import { reading } from "./lesson/reading.js";
import { tasks } from "./lesson/tasks.js";
import { views } from "./lesson/views.js";
import { check } from "./playground/check.js";
import { compare } from "./playground/compare.js";
import { deckAndCharts } from "./playground/deck-and-charts.js";
import { inspectorContent } from "./playground/inspector-content.js";
import { absence } from "./playground/messages.js";
import { deckActions } from "./stage/deck-actions.js";
import { stage } from "./stage/stage.js";

/** @import {Run} from "../leaves/types.js" */
/** @import {Action} from "../core/shortcuts.js" */
/** @import {State} from "../core/state.js" */
/** @import {Given, LessonView} from "./lesson/types.js" */

/** What the stage shows at the end of a phase. @type {Readonly<Record<State["phase"], string>>} */
const WHEN = { forward: "before the loss", loss: "before backward()", backward: "after backward()", update: "after the update" };

const given = /** @type {Given} */ (JSON.parse(find("#state").textContent ?? "{}"));
const api = client(given.api);
const state = store(/** @type {State} */ ({ ...EMPTY }));
const work = session(state, api, () => {});
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
const still = () => reducedMotion.matches;
const playing = player(state, work.go, still, work.opened);
const narrow = () => matchMedia("(max-width: 760px)").matches;

/** The runs with a dragged number, by recording: they are shown instead of those of the lesson. @type {Map<string, Run>} */
const dragged = new Map();
/** @param {string} recording */
const runOf = (recording) => dragged.get(recording) ?? given.runs[recording] ?? null;

// -- the stage

const drawn = stage({
  state,
  work,
  edgeStyle: edgeStyle(given.legend),
  still,
  onmove() {},
  ondraw({ map, svg }) {
    for (const entry of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-legend]"))) entry.hidden = !map && !svg.includes(entry.dataset["legend"] ?? "");
  },
  absence: (now) => (now.run || now.busy || now.coming ? absence(now, (at) => work.go({ at })) : h("p", null, "This program is being recorded…")),
});
const { canvas } = drawn;
find("#canvas").replaceWith(canvas);
canvas.id = "canvas";
const details = inspector({ onpick: (node) => work.reveal(node), online: () => {} });
const inspected = find("#inspector");
fill(find("#inspected"), details);

const whole = find("#whole-inspector");
/** Open or close the inspector. A passage opens it in brief, which leaves the stage to the graph. @param {boolean} open @param {boolean} [brief] */
function inspect(open, brief = true) {
  inspected.hidden = !open;
  inspected.classList.toggle("brief", brief);
  whole.setAttribute("aria-expanded", String(!brief));
  whole.textContent = brief ? "more" : "less";
}
whole.addEventListener("click", () => inspect(true, !inspected.classList.contains("brief")));
find("#close-inspector").addEventListener("click", () => inspect(false));
canvas.addEventListener("click", (event) => event.target instanceof Element && event.target.closest("[data-node]") && inspect(true, false));

/** @param {Partial<import("../core/instant.js").Instant>} instant */
function go(instant) {
  playing.pause();
  work.go({ ...instant, apart: null });
}
const play = () => (state.get().playing ? playing.pause() : playing.play());
/** The panes that the shown view asks for. @type {LessonView["panes"]} */
let panes = [];
const { step, present } = deckAndCharts({
  state,
  go,
  onplay: play,
  onspeed: playing.setSpeed,
  onpick: (node) => work.reveal(node),
  compare: compare(state, api),
  api,
  offers: () => panes.includes("curve") || panes.includes("surface"),
});
drawn.begin();

const checked = check(state, api);
state.watch(["detail", "asking", "origin", "phase", "ran", "step", "run"], (now) => details.show(inspectorContent(now, { check: checked, why: null })));
const shown = views({
  state,
  work,
  canvas,
  runOf,
  narrow,
  oninspect: inspect,
  onpanes(wanted) {
    panes = wanted;
    if (panes.includes("surface")) state.set({ tab: "loss" });
    else if (panes.includes("curve")) state.set({ tab: "curves" });
    present(state.get());
  },
});

state.watch(["run", "step", "phase", "ran", "busy", "trouble", "at"], ({ run, phase, ran, at, busy, trouble }) => {
  const name = shown.shown()?.recording ?? "";
  find("#stage-name").textContent = run ? name : "";
  const steps = lastStep(run) > 0 ? `step ${at}, ` : "";
  find("#stage-when").textContent = busy ? "running…" : run && lastStep(run) >= 0 ? `${steps}${phase === "backward" && ran !== null ? "inside backward()" : WHEN[phase]}` : "";
  find("#stage-trouble").hidden = trouble === null;
  fill(find("#stage-trouble"), trouble && [h("b", null, trouble.title), `: ${trouble.detail}`]);
});

// -- the article

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

const reader = reading(
  passages,
  room,
  (passage) => {
    playing.pause();
    shown.show(JSON.parse(passage.dataset["view"] ?? "null"));
    mark(passage);
  },
  still,
);

document.addEventListener("focusin", ({ target }) => {
  const task = target instanceof Element ? target.closest(".task[data-view]") : null;
  if (task instanceof HTMLElement) reader.ask(task);
});
for (const number of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".num[data-nodes]"))) {
  const names = JSON.parse(number.dataset["nodes"] ?? "[]");
  number.addEventListener("pointerenter", () => shown.glance(names));
  number.addEventListener("pointerleave", () => shown.glance(null));
}

const kept = progress(given.lesson, (done) => {
  for (const entry of entries) entry.closest("li")?.classList.toggle("done", Boolean(done[decodeURIComponent(entry.hash.slice(1))]?.done));
});
void complete(given).then(() => tasks({ given, api, state, kept, shown, show: reader.ask, dragged }));

// -- keys: J and K go from passage to passage; the keys of the deck act while the stage has the focus

/** @type {Partial<Record<Action, (argument: any) => void>>} */
const actions = deckActions({ state, go, step, play, canvas });

addEventListener("keydown", (event) => {
  const at = event.target instanceof Element ? event.target : document.body;
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || at.closest("input, select, textarea, [contenteditable]")) return;
  const letters = recall("letters") !== "off"; // the playground has the switch
  if (letters && (event.key === "j" || event.key === "k")) return void (event.preventDefault(), reader.move(event.key === "j" ? 1 : -1));
  if (letters && event.key === "t") return void flip();
  const found = stageElement.contains(at) ? shortcutOf(event) : null;
  if (!found || ((event.key === " " || event.key === "Enter") && at.closest("button, a, summary"))) return;
  const { shortcut, argument } = found;
  if (shortcut.letter && !letters) return;
  const act = actions[shortcut.action];
  if (!act) return;
  event.preventDefault();
  act(argument);
});

shell();
reader.look();


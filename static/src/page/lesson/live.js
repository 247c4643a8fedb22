// The stage of a lesson, with the tasks that need it. It is loaded when the reader first does something on the page.

import { lastStep } from "../../core/instant.js";
import { player } from "../../core/player.js";
import { session } from "../../core/session.js";
import { shortcutOf } from "../../core/shortcuts.js";
import { EMPTY } from "../../core/state.js";
import { store } from "../../core/store.js";
import { client } from "../../leaves/api.js";
import { fill, find, h } from "../../leaves/dom.js";
import { edgeStyle } from "../../leaves/edge-style.js";
import { recall } from "../../leaves/storage.js";
import { inspector } from "../../widgets/inspector.js";
import { check } from "../playground/check.js";
import { compare } from "../playground/compare.js";
import { deckAndCharts } from "../playground/deck-and-charts.js";
import { inspectorContent } from "../playground/inspector-content.js";
import { absence } from "../playground/messages.js";
import { deckActions } from "../stage/deck-actions.js";
import { stage } from "../stage/stage.js";
import { tasks } from "./tasks.js";
import { views } from "./views.js";

/** @import {Run} from "../../leaves/types.js" */
/** @import {Action} from "../../core/shortcuts.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Questions} from "./questions.js" */
/** @import {Given, LessonView} from "./types.js" */

/** What the stage shows at the end of a phase. @type {Readonly<Record<State["phase"], string>>} */
const WHEN = { forward: "before the loss", loss: "before backward()", backward: "after backward()", update: "after the update" };
const TYPING = "input, select, textarea, [contenteditable]";

/**
 * Start the stage of a lesson.
 *
 * @param {object} options
 * @param {Given} options.given
 * @param {ReturnType<typeof import("./progress.js").progress>} options.kept
 * @param {(section: HTMLElement) => void} options.ask     show the view of a task
 * @param {() => boolean} options.still                    whether reduced motion is preferred
 * @param {() => boolean} options.narrow                   whether the inspector would cover the text
 */
export function live({ given, kept, ask, still, narrow }) {
  const api = client(given.api);
  const state = store(/** @type {State} */ ({ ...EMPTY, layout: "nodes" }));
  const work = session(state, api, () => {});
  const playing = player(state, work.go, still, work.opened);

  /** The runs with a dragged number, by recording: they are shown instead of those of the lesson. @type {Map<string, Run>} */
  const dragged = new Map();
  /** @param {string} recording */
  const runOf = (recording) => dragged.get(recording) ?? given.runs[recording] ?? null;

  // -- the stage

  /** The server's picture, which covers the canvas until there is another one. */
  const cover = document.querySelector("#canvas > .placeholder") ?? h("div", null);

  const drawn = stage({
    state,
    work,
    edgeStyle: edgeStyle(given.legend),
    still,
    onmove() {},
    ondraw({ map, svg }) {
      cover.remove();
      for (const entry of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-legend]"))) entry.hidden = !map && !svg.includes(entry.dataset["legend"] ?? "");
    },
    absence(now) {
      if (now.run && !now.coming) cover.remove();
      return now.run || now.busy || now.coming ? absence(now, (at) => work.go({ at })) : h("p", null, "This program is being recorded…");
    },
  });
  const { canvas } = drawn;
  const stageElement = find("#stage");
  find("#canvas").replaceWith(canvas);
  canvas.id = "canvas";
  canvas.append(cover);
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

  /** @param {Partial<import("../../core/instant.js").Instant>} instant */
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

  for (const number of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".num[data-nodes]"))) {
    const names = JSON.parse(number.dataset["nodes"] ?? "[]");
    number.addEventListener("pointerenter", () => shown.glance(names));
    number.addEventListener("pointerleave", () => shown.glance(null));
  }

  // -- the keys of the deck act while the stage has the focus

  /** @type {Partial<Record<Action, (argument: any) => void>>} */
  const actions = deckActions({ state, go, step, play, canvas });

  addEventListener("keydown", (event) => {
    const at = event.target instanceof Element ? event.target : document.body;
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !stageElement.contains(at) || at.closest(TYPING)) return;
    const found = shortcutOf(event);
    if (!found || ((event.key === " " || event.key === "Enter") && at.closest("button, a, summary"))) return;
    const { shortcut, argument } = found;
    if (shortcut.letter && recall("letters") === "off") return; // the playground has the switch
    const act = actions[shortcut.action];
    if (!act) return;
    event.preventDefault();
    act(argument);
  });

  return {
    /** Show the view of a passage. @param {LessonView} view */
    show(view) {
      playing.pause();
      shown.show(view);
    },
    /** Connect the tasks to the stage. @param {Questions} questions */
    begin: (questions) => tasks({ given, api, state, kept, shown, show: ask, dragged, questions }),
  };
}

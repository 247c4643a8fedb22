// Join the deck, the charts and the optimizer's table over the state: what stands under the panes.

import { isNorm, keysOf, losses, at as numberAt } from "../../core/curves.js";
import { byNode, byPhase, nodesRun } from "../../core/player.js";
import { fill, find, h } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";
import { PHASES } from "../../leaves/types.js";
import { charts } from "../../widgets/charts.js";
import { deck } from "../../widgets/deck.js";
import { optimizer } from "../../widgets/optimizer.js";
import { ground as later } from "./lazy-loss-pane.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {Curves, Speed, State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */
/** @import {Parameter, Phase, Run} from "../../leaves/types.js" */
/** @import {Chart} from "../../widgets/charts/chart.js" */
/** @typedef {import("../../core/player.js").Instant} Instant */

const SHORT = 8; // characters of a name that have room on a tab,
const TIGHT = 3; // and above the curve of several elements

/**
 * @param {object} options
 * @param {Store<State>} options.state
 * @param {(instant: Partial<Instant>) => void} options.go      where a person moves the playhead
 * @param {() => void} options.onplay
 * @param {(speed: Speed) => void} options.onspeed
 * @param {(node: string) => void} options.onpick
 * @param {Element} options.compare
 * @param {Client} options.api
 */
export function floor({ state, go, onplay, onspeed, onpick, compare, api }) {
  /** @param {number} to @param {Phase | null} [phase] */
  function step(to, phase) {
    if (to >= 0 && to < (state.get().run?.steps ?? 0)) go(phase ? { at: to, phase } : { at: to });
  }

  const transport = deck({
    onstep: step,
    onphase: (phase) => go({ phase }),
    onmove(by, what) {
      const next = (what === "node" ? byNode : byPhase)(state.get(), by);
      if (next) go(next);
    },
    onplay,
    onspeed,
    onscale: () => state.set({ logarithmic: !state.get().logarithmic }),
    caption: compare,
  });
  fill(find("#deck"), transport);

  // -- charts and table

  const drawn = charts({ onstep: step });
  const table = optimizer({ onpick: choose });
  const ground = later(state, api);
  const chosen = h("select", { class: "choose", "aria-label": "Parameter", onchange: () => choose(chosen.value) });
  const tabs = /** @type {const} */ ([
    ["curves", "Curves"],
    ["loss", "Loss"],
    ["optimizer", "Optimizer"],
  ]).map(([name, label]) =>
    h("button", { type: "button", "data-tab": name, onclick: () => state.set({ tab: name }) }, label),
  );
  fill(
    find("#charts"),
    h(
      "div",
      { class: "caption" },
      h("span", { class: "chosen" }, chosen),
      ground.choice,
      h("span", { class: "space" }),
      h("div", { class: "seg", role: "group", "aria-label": "Show" }, tabs),
    ),
    drawn,
    ground.element,
    table,
  );

  /** @param {string} id */
  function choose(id) {
    state.set({ parameter: id, over: null });
    const node = state.get().graph?.nodes.find(({ kind, parameter }) => kind === "leaf" && parameter === id);
    if (node) onpick(node.id);
  }

  /** The parameter that is looked at: the selected leaf, else the one looked at last, else the first. @param {State} now */
  function parameterOf({ run, graph, node, parameter }) {
    const id = graph?.nodes.find((each) => each.id === node)?.parameter;
    const all = run?.parameters ?? [];
    return all.find((each) => each.id === id) ?? all.find((each) => each.id === parameter) ?? all[0] ?? null;
  }

  /** Charts and table of the parameter that is looked at. @param {State} now */
  function present(now) {
    const { run, curves, other, logarithmic, tab: shown } = now;
    const parameter = parameterOf(now);
    const some = Boolean(run && run.steps > 1 && parameter);
    find("#charts").hidden = !some;
    for (const tab of tabs) tab.setAttribute("aria-pressed", String(tab.dataset["tab"] === shown));
    const name = parameter?.names.at(-1) ?? parameter?.id ?? "";
    const over = tabs.find(({ dataset }) => dataset["tab"] === "loss");
    if (over) fill(over, "Loss", h("span", { class: "wide" }, ` vs. ${name.length <= SHORT ? name : "parameter"}`));
    drawn.hidden = shown !== "curves";
    table.hidden = shown !== "optimizer";
    ground.element.hidden = shown !== "loss";
    ground.choice.hidden = shown !== "loss";
    if (!run || !parameter || !some) return;
    if (now.parameter !== parameter.id) {
      // an address that names no parameter may say over what the loss is shown: that is kept
      return state.set({ parameter: parameter.id, ...(now.parameter === null ? {} : { over: null }) });
    }
    fill(
      chosen,
      run.parameters.map(({ id, names, shape }) =>
        h("option", { value: id, selected: id === parameter.id }, `${names.at(-1) ?? id}${shape.length ? ` ${format.shape(shape)}` : ""}`),
      ),
    );
    ground.show(shown === "loss" ? parameter : null, logarithmic);
    if (curves && shown === "curves") void drawn.show(chartsOf(parameter, curves, other), logarithmic);
    tell(now);
  }

  /** What follows the playhead. @param {State} now */
  function tell(now) {
    const { at, phase, step: here, tab: shown } = now;
    const k = PHASES.indexOf(phase);
    if (shown === "curves") drawn.seek({ at, reached: [true, k >= 2, k >= 3], after: [k >= 3 ? updated(now) : null] });
    else if (shown === "optimizer") table.show(here, phase, parameterOf(now)?.id ?? null);
    else ground.tell();
  }

  /** What an update has just made of the numbers whose curves these are. @param {State} now */
  function updated(now) {
    const parameter = parameterOf(now);
    const after = now.step?.index === now.at ? now.step.parameters.find(({ id }) => id === parameter?.id)?.value_after : null;
    if (!parameter || !after) return null;
    const values = isNorm(parameter) ? [after.norm] : format.flat(after.values ?? []);
    return values.every((each) => typeof each === "number") ? /** @type {number[]} */ (values) : null;
  }

  state.watch(["run", "curves", "other", "logarithmic", "node", "graph", "tab", "parameter", "over"], present);
  state.watch(["at", "phase", "step"], tell);

  // -- deck

  state.watch(["at", "phase", "ran", "run", "step", "playing", "speed", "logarithmic"], (now) => {
    const { at, phase, ran, run, step: here, playing, speed, logarithmic } = now;
    transport.show({
      at,
      phase,
      ran,
      nodes: nodesRun(now),
      steps: run?.steps ?? 0,
      step: here,
      ending: !run || !stopped(run) ? null : run.status === "failed" ? "an error" : "stopped",
      playing,
      speed,
      logarithmic,
    });
  });
  state.watch(["at", "phase", "step", "curves", "other"], ({ at, phase, step: here, curves, other }) => {
    const told = here?.index === at && PHASES.indexOf(phase) > 0 ? here.loss : null;
    const theirs = other && told ? losses(other.curves).map(({ name }) => numberAt(other.curves, `loss:${name}`, at)) : [];
    transport.say(
      [here?.loss_name ?? losses(curves)[0]?.name ?? "loss", " ", h("b", null, format.tensor(told))],
      theirs.map((value) => value !== null && h("span", { class: "dashed" }, ` ${format.number(value)}`)),
    );
  });
  /** @type {unknown[]} */
  let rolled = [];
  state.watch(["run", "curves", "other", "logarithmic", "busy"], ({ run, curves, other, logarithmic, busy }) => {
    const live = busy !== null && busy.id !== null && busy.id === run?.id;
    transport.progress(live ? busy.progress : null);
    const span = Math.max(run?.steps ?? 0, (live && busy.progress.of) || 0, other?.run.steps ?? 0);
    const now = [run?.steps, stopped(run), span, curves, other, logarithmic];
    if (now.every((each, i) => each === rolled[i])) return;
    rolled = now;
    transport.roll({
      steps: run?.steps ?? 0,
      span,
      stopped: stopped(run),
      logarithmic,
      curves: losses(curves).map((curve) => ({ ...curve, index: curves?.index ?? [] })),
      others: losses(other?.curves ?? null).map((curve) => ({ ...curve, index: other?.curves.index ?? [] })),
    });
  });

  return { step };
}

/** Did an error end the program, after steps? @param {Run | null} run */
const stopped = (run) => Boolean(run?.error && run.steps);

/**
 * How a parameter went: its value, its gradient, its update.
 *
 * @param {Parameter} parameter
 * @param {Curves} curves
 * @param {State["other"]} other
 * @returns {Chart[]}
 */
function chartsOf(parameter, curves, other) {
  const { index } = curves;
  const own = parameter.names.at(-1) ?? parameter.id;
  const [name, grad] = own.length <= (parameter.shape.length ? TIGHT : SHORT) ? [own, `${own}.grad`] : ["value", "grad"]; // whose, stands above
  const norm = isNorm(parameter) ? "norm" : null;
  const theirs = other?.run.parameters.find(({ id, shape }) => id === parameter.id && `${shape}` === `${parameter.shape}`);
  const given = keysOf(parameter, "contribution").some((key) => curves.values[key]?.some((value) => value !== null));
  /** @param {Curves} of @param {import("../../core/curves.js").Quantity} what */
  const columns = (of, what) => keysOf(parameter, what).map((key) => [...(of.values[key] ?? of.index.map(() => null))]);
  /** The other run's numbers at our steps. @param {(of: Curves) => (number | null)[][]} read */
  const beside = (read) => {
    if (!other || !theirs) return [];
    const places = new Map(other.curves.index.map((step, i) => [step, i]));
    return read(other.curves).map((column) => index.map((step) => column[places.get(step) ?? -1] ?? null));
  };
  const flowed = given
    ? /** @type {const} */ (["contribution", "gradient", "grad", "no gradient in any step"])
    : /** @type {const} */ (["grad", grad, "grad", "None in every step"]);
  return [
    /** @type {const} */ (["value", name, "param", "no value in any step"]),
    flowed,
    /** @type {const} */ (["update", "update", "param", "no update in any step"]),
  ].map(([what, title, tone, none]) => ({
    title,
    tone,
    norm,
    none,
    index,
    columns: columns(curves, what),
    others: beside((of) => columns(of, what)),
  }));
}

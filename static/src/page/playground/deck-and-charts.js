// Connect the deck, the charts, the loss pane and the optimizer's table, all below the panes, to the state.

import { isNorm, keysOf, losses, at as numberAt, settlesAt } from "../../core/curves.js";
import { lastStep } from "../../core/instant.js";
import { byNode, nodesRun } from "../../core/player.js";
import { fill, find, h } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";
import { PHASES } from "../../leaves/types.js";
import { charts } from "../../widgets/charts.js";
import { deck } from "../../widgets/deck.js";
import { optimizer } from "../../widgets/optimizer.js";
import { lazyLossPane } from "./lazy-loss-pane.js";
import { lazyWatchPane } from "./lazy-watch-pane.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {Quantity} from "../../core/curves.js" */
/** @import {Curves, Speed, State, Tab} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */
/** @import {Parameter, Phase, Run} from "../../leaves/types.js" */
/** @import {Chart} from "../../widgets/charts/chart.js" */
/** @typedef {import("../../core/player.js").Instant} Instant */

/** The quantities of a parameter's charts, in order. @type {readonly Quantity[]} */
const QUANTITIES = ["value", "grad", "update"];
const SHORT = 8; // maximum characters of a name on a tab, or above a curve
const TIGHT = 3; // maximum characters of a name above the curves of several elements

/**
 * Set up the deck, the charts, the loss pane and the optimizer's table.
 *
 * @param {object} options
 * @param {Store<State>} options.state
 * @param {(instant: Partial<Instant>) => void} options.go      move the playhead for the user
 * @param {() => void} options.onplay
 * @param {(speed: Speed) => void} options.onspeed
 * @param {(node: string) => void} options.onpick
 * @param {Element} options.compare
 * @param {Client} options.api
 * @param {readonly Quantity[]} [options.curves]  the curves of a parameter; without any, there are no charts
 * @param {readonly Tab[]} [options.offered]      what can be shown in place of the charts
 * @param {(run: Run) => boolean} [options.offers]    whether charts are shown for a run
 */
export function deckAndCharts({ state, go, onplay, onspeed, onpick, compare, api, curves: quantities = QUANTITIES, offered = ["curves", "loss", "optimizer"], offers = ({ steps }) => steps > 1 }) {
  /** Go to a step, if it exists. @param {number} to @param {Phase | null} [phase] */
  function step(to, phase) {
    if (to >= 0 && to <= lastStep(state.get().run)) go(phase ? { at: to, phase } : { at: to });
  }

  const transport = deck({
    onstep: step,
    onphase: (phase) => go({ phase }),
    onnode(by) {
      const next = byNode(state.get(), by);
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
  const lossPane = lazyLossPane(state, api);
  const watchPane = lazyWatchPane(state, api, step);
  const chosen = h("select", { class: "choose", "aria-label": "Parameter", onchange: () => choose(chosen.value) });
  const choice = h("span", { class: "chosen" }, chosen);
  const tabs = /** @type {const} */ ([
    ["curves", "Curves"],
    ["loss", "Loss"],
    ["optimizer", "Optimizer"],
    ["watch", "Watch"],
  ]).map(([name, label]) =>
    h("button", { type: "button", "data-tab": name, hidden: !offered.includes(name), onclick: () => state.set({ tab: name }) }, label),
  );
  fill(
    find("#charts"),
    h(
      "div",
      { class: "caption" },
      choice,
      lossPane.choice,
      h("span", { class: "space" }),
      h("div", { class: "seg", role: "group", "aria-label": "Show" }, tabs),
    ),
    drawn,
    lossPane.element,
    table,
    watchPane.element,
  );

  /** Given one item each for the value, the gradient and the update, return the items of the shown charts. @template T @param {T[]} all @returns {T[]} */
  const shownOf = (all) => all.filter((_, i) => quantities.some((each) => each === QUANTITIES[i]));

  /** Choose a parameter, and select its leaf. @param {string} id */
  function choose(id) {
    state.set({ parameter: id, over: null });
    const node = state.get().graph?.nodes.find(({ kind, parameter }) => kind === "leaf" && parameter === id);
    if (node) onpick(node.id);
  }

  /** Return the current parameter: the selected leaf, else the one chosen last, else the first. @param {State} now */
  function parameterOf({ run, graph, node, parameter }) {
    const id = graph?.nodes.find((each) => each.id === node)?.parameter;
    const all = run?.parameters ?? [];
    return all.find((each) => each.id === id) ?? all.find((each) => each.id === parameter) ?? all[0] ?? null;
  }

  /** Show the charts or the table of the current parameter. @param {State} now */
  function present(now) {
    const { run, curves, other, logarithmic, tab: shown } = now;
    const parameter = parameterOf(now);
    const some = Boolean(run && parameter && quantities.length && offers(run));
    find("#charts").hidden = !some;
    for (const tab of tabs) tab.setAttribute("aria-pressed", String(tab.dataset["tab"] === shown));
    const name = parameter?.names.at(-1) ?? parameter?.id ?? "";
    const over = tabs.find(({ dataset }) => dataset["tab"] === "loss");
    if (over) fill(over, "Loss", h("span", { class: "wide" }, ` vs. ${name.length <= SHORT ? name : "parameter"}`));
    drawn.hidden = shown !== "curves";
    table.hidden = shown !== "optimizer";
    lossPane.element.hidden = shown !== "loss";
    lossPane.choice.hidden = shown !== "loss";
    watchPane.element.hidden = shown !== "watch";
    choice.hidden = shown === "watch";
    if (!run || !parameter || !some) return;
    if (now.parameter !== parameter.id) {
      // `over` may come from an address that names no parameter: keep it in that case
      return state.set({ parameter: parameter.id, ...(now.parameter === null ? {} : { over: null }) });
    }
    fill(
      chosen,
      run.parameters.map(({ id, names, shape }) =>
        h("option", { value: id, selected: id === parameter.id }, `${names.at(-1) ?? id}${shape.length ? ` ${format.shape(shape)}` : ""}`),
      ),
    );
    lossPane.show(shown === "loss" ? parameter : null, logarithmic);
    if (shown === "watch") watchPane.show();
    if (curves && shown === "curves") void drawn.show(shownOf(chartsOf(parameter, curves, other)), logarithmic);
    seek(now);
  }

  /** Update the parts that follow the playhead. @param {State} now */
  function seek(now) {
    const { at, phase, step: here, tab: shown } = now;
    const k = PHASES.indexOf(phase);
    if (shown === "curves") drawn.seek({ at, reached: shownOf([true, k >= 2, k >= 3]), after: shownOf([k >= 3 ? updated(now) : null, null, null]) });
    else if (shown === "watch") watchPane.seek();
    else if (shown === "optimizer") table.show(here, phase, parameterOf(now)?.id ?? null);
    else lossPane.seek();
  }

  /** Return the current parameter's numbers after the update, or null. @param {State} now */
  function updated(now) {
    const parameter = parameterOf(now);
    const after = now.step?.index === now.at ? now.step.parameters.find(({ id }) => id === parameter?.id)?.value_after : null;
    if (!parameter || !after) return null;
    const values = isNorm(parameter) ? [after.norm] : format.flat(after.values ?? []);
    return values.every((each) => typeof each === "number") ? /** @type {number[]} */ (values) : null;
  }

  state.watch(["run", "curves", "other", "logarithmic", "node", "graph", "tab", "parameter", "over"], present);
  state.watch(["at", "phase", "step"], seek);

  // -- deck

  state.watch(["at", "phase", "ran", "run", "step", "playing", "speed", "logarithmic"], (now) => {
    const { at, phase, ran, run, step: here, playing, speed, logarithmic } = now;
    transport.show({
      at,
      phase,
      ran,
      nodes: nodesRun(now),
      steps: run?.steps ?? 0,
      last: lastStep(run),
      step: here,
      ending: !run || !stopped(run) ? null : run.status === "failed" ? "an error" : "stopped",
      playing,
      speed,
      logarithmic,
    });
  });
  state.watch(["at", "phase", "step", "curves", "other"], ({ at, phase, step: here, curves, other }) => {
    const value = here?.index === at && PHASES.indexOf(phase) > 0 ? here.loss : null;
    const theirs = other && value ? losses(other.curves).map(({ name }) => numberAt(other.curves, `loss:${name}`, at)) : [];
    transport.showLoss(
      [here?.loss_name ?? losses(curves)[0]?.name ?? "loss", " ", h("b", null, format.tensor(value))],
      theirs.map((each) => each !== null && h("span", { class: "dashed" }, ` ${format.number(each)}`)),
    );
  });
  /** @type {unknown[]} */
  let taped = []; // the inputs of the shown tape
  state.watch(["run", "curves", "other", "logarithmic", "busy"], ({ run, curves, other, logarithmic, busy }) => {
    const live = busy !== null && busy.id !== null && busy.id === run?.id;
    transport.progress(live ? busy.progress : null);
    const span = Math.max(run?.steps ?? 0, (live && busy.progress.of) || 0, other?.run.steps ?? 0);
    const now = [run?.steps, stopped(run), span, curves, other, logarithmic];
    if (now.every((each, i) => each === taped[i])) return;
    taped = now;
    transport.showTape({
      steps: run?.steps ?? 0,
      last: lastStep(run),
      span,
      stopped: stopped(run),
      logarithmic,
      curves: losses(curves).map((curve) => ({ ...curve, index: curves?.index ?? [] })),
      others: losses(other?.curves ?? null).map((curve) => ({ ...curve, index: other?.curves.index ?? [] })),
    });
  });

  return {
    step,
    present,
    /** Open the watch pane for a line. @param {import("./watch-pane.js").Watched} proposed */
    watch(proposed) {
      state.set({ tab: "watch" });
      watchPane.propose(proposed);
    },
  };
}

/** Return whether the program stopped after at least one step. @param {Run | null} run */
const stopped = (run) => Boolean(run?.error && run.steps);

/**
 * Return the charts of a parameter: its value, its gradient, its update.
 *
 * @param {Parameter} parameter
 * @param {Curves} curves
 * @param {State["other"]} other
 * @returns {Chart[]}
 */
function chartsOf(parameter, curves, other) {
  const { index } = curves;
  const own = parameter.names.at(-1) ?? parameter.id;
  const [name, grad] = own.length <= (parameter.shape.length ? TIGHT : SHORT) ? [own, `${own}.grad`] : ["value", "grad"]; // the name is shown above the charts
  const norm = isNorm(parameter) ? "norm" : null;
  const theirs = other?.run.parameters.find(({ id, shape }) => id === parameter.id && `${shape}` === `${parameter.shape}`);
  const given = keysOf(parameter, "contribution").some((key) => curves.values[key]?.some((value) => value !== null));
  /** @param {Curves} of @param {import("../../core/curves.js").Quantity} what */
  const columns = (of, what) => keysOf(parameter, what).map((key) => [...(of.values[key] ?? of.index.map(() => null))]);
  /** Return the other run's numbers at the steps of this run. @param {(of: Curves) => (number | null)[][]} read */
  const beside = (read) => {
    if (!other || !theirs) return [];
    const positions = new Map(other.curves.index.map((step, i) => [step, i]));
    return read(other.curves).map((column) => index.map((step) => column[positions.get(step) ?? -1] ?? null));
  };
  const [[values = [], more], [gradients = []]] = [columns(curves, "value"), columns(curves, given ? "contribution" : "grad")];
  const settled = norm || more ? null : settlesAt(values, gradients);
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
    settles: what === "value" ? settled : null,
    others: beside((of) => columns(of, what)),
  }));
}

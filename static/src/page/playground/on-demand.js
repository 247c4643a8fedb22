// Offer what the recording does not have, and a replay computes: the distribution of a large tensor, and which rows of the data
// reach a node's value. The code that draws an answer is loaded at the first click.

import { trouble } from "../../core/runner.js";
import { ended, shownPass } from "../../core/state.js";
import { fill, h } from "../../leaves/dom.js";
import { laterStyle } from "../../leaves/later-style.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {Dependences, Distributions, Tensor} from "../../leaves/types.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */

/** @typedef {{run: string, key: string, body: object, draw: (answer: any) => Promise<Element>, label: string}} Subject   `label` is that of the button */

const MOST_ROWS = 1024;

/**
 * Return an element for the inspector: buttons first, then the answers that they ask for.
 *
 * @param {Store<State>} state
 * @param {Client} api
 * @param {{name: string, about: string, subjects: (now: State) => Subject[]}} kind
 */
export function onDemand(state, api, { name, about, subjects }) {
  const element = h("section", { class: `answer ${name}`, hidden: true });
  /** @type {Map<string, Element | {failed: string} | "running">} */
  const answers = new Map();

  /** @param {Subject} own @param {boolean} byKey  pressed by key: the focus then moves on to what replaces the button */
  async function start(own, byKey) {
    answers.set(own.key, "running");
    show();
    try {
      const [answer] = await Promise.all([/** @type {Promise<Dependences | Distributions>} */ (api.replay(own.run, own.body)), laterStyle()]);
      const reason = answer.difference?.sentence ?? answer.reason;
      answers.set(own.key, reason ? { failed: reason } : await own.draw(answer));
    } catch (error) {
      answers.set(own.key, { failed: trouble(error).detail });
    }
    show();
    if (byKey && document.activeElement === document.body) /** @type {HTMLElement | null} */ (element.querySelector("summary, button"))?.focus();
  }

  function show() {
    const own = subjects(state.get());
    element.hidden = !own.length;
    fill(element, own.map(shown));
  }

  /** @param {Subject} own */
  function shown(own) {
    const answer = answers.get(own.key);
    const ask = h("button", { type: "button", class: "to", title: about, onclick: (/** @type {MouseEvent} */ { detail }) => void start(own, detail === 0) }, own.label);
    if (!answer) return h("p", null, ask);
    if (answer === "running") return h("p", { class: "remark", role: "status" }, "Running the program again, up to this step…");
    return "failed" in answer ? [h("p", { class: "remark" }, answer.failed), ask] : answer;
  }

  state.watch(["detail", "run", "step", "pass", "apart", "graph"], show);
  return element;
}

/** The distribution of a large tensor, whose elements were not recorded. */
export const ofDistribution = {
  name: "distribution",
  about: "A histogram, the largest elements, and the first NaN or infinite one. The program is run again for them.",
  /** @param {State} now @returns {Subject[]} */
  subjects(now) {
    const place = placeOf(now);
    if (!place) return [];
    const { node, numbers } = place.detail;
    const tensors = [numbers.value, ...numbers.grads.map(({ used }) => used)];
    if (node.kind === "constant" || !tensors.some((tensor) => tensor && tensor.values === null && tensor.norm !== null)) return [];
    const draw = async (/** @type {Distributions} */ answer) => (await import("./distribution.js")).histograms(answer, node.kind === "leaf");
    return [{ run: place.run, key: place.key, body: { what: "distribution", ...place.body }, draw, label: "Show the distribution" }];
  },
};

/** The rows of the data that reach the rows of a node's value: the samples of a batch, and the predictions. */
export const ofDependence = {
  name: "dependence",
  about: "Each row of the data in turn is replaced by another one, to see which rows change here. The program is run again for it.",
  /** @param {State} now @returns {Subject[]} */
  subjects(now) {
    const place = placeOf(now);
    const value = place?.detail.numbers.value;
    if (!place || place.detail.node.kind !== "op" || !value) return [];
    const data = now.graph?.nodes.filter(({ kind }) => kind === "constant").map(({ id }) => place.nodes[id]?.value?.shape ?? []) ?? [];
    const several = value.shape.filter((length) => counts(length, data)).length > 1;
    const draw = async (/** @type {Dependences} */ answer) => (await import("./dependence.js")).dependences(answer);
    return value.shape.flatMap((length, dimension) => {
      if (!counts(length, data)) return [];
      const label = `Which rows of the data reach which here${several ? `, along dimension ${dimension}` : ""}?`;
      return [{ run: place.run, key: `${place.key} ${dimension}`, body: { what: "dependence", ...place.body, dimension }, draw, label }];
    });
  },
};

/** Return whether a dimension's indices may be those of samples: data has as many. @param {number} length @param {number[][]} data  shapes */
const counts = (length, data) => length > 1 && length <= MOST_ROWS && data.some((shape) => shape.includes(length));

/** Return the selected node with its place in the recording, null if no replay can reach it. @param {State} now */
function placeOf(now) {
  const { run, step, detail, graph } = now;
  const pass = shownPass(now);
  if (!run || !ended(run) || !pass || pass.failed || !detail || detail.rank === null || !graph || !step || step.index >= run.steps) return null;
  const body = { step: step.index, pass: pass.index, node: detail.node.id };
  return { run: run.id, key: `${run.id} ${pass.index} ${detail.node.id}`, body, detail, nodes: /** @type {Record<string, {value: Tensor | null}>} */ (pass.nodes ?? {}) };
}

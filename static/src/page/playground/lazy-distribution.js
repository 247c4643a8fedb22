// Offer the distribution of a large tensor, whose elements were not recorded. The code that draws it is loaded at the first click.

import { trouble } from "../../core/runner.js";
import { ended, shownPass } from "../../core/state.js";
import { fill, h } from "../../leaves/dom.js";
import { laterStyle } from "../../leaves/later-style.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {Distributions} from "../../leaves/types.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */

/** @typedef {{run: string, key: string, body: object, leaf: boolean}} Subject */

/**
 * Return the element for the inspector: a button first, then the histograms.
 *
 * @param {Store<State>} state
 * @param {Client} api
 */
export function lazyDistribution(state, api) {
  const element = h("section", { class: "distribution", hidden: true });
  /** @type {Map<string, Element | {failed: string} | "running">} */
  const answers = new Map();

  /** @param {Subject} own @param {boolean} byKey  pressed by key: the focus then moves on to what replaces the button */
  async function start(own, byKey) {
    answers.set(own.key, "running");
    show();
    try {
      const [{ histograms }, answer] = await Promise.all([
        import("./distribution.js"),
        /** @type {Promise<Distributions>} */ (api.replay(own.run, own.body)),
        laterStyle(),
      ]);
      const reason = answer.difference?.sentence ?? answer.reason;
      answers.set(own.key, reason ? { failed: reason } : histograms(answer, own.leaf));
    } catch (error) {
      answers.set(own.key, { failed: trouble(error).detail });
    }
    show();
    if (byKey && document.activeElement === document.body) /** @type {HTMLElement | null} */ (element.querySelector("summary, button"))?.focus();
  }

  function show() {
    const own = subject(state.get());
    element.hidden = own === null;
    if (!own) return;
    const answer = answers.get(own.key);
    const about = "A histogram, the largest elements, and the first NaN or infinite one. The program is run again for them.";
    const ask = h("button", { type: "button", class: "to", title: about, onclick: (/** @type {MouseEvent} */ { detail }) => void start(own, detail === 0) }, "Show the distribution");
    if (!answer) fill(element, ask);
    else if (answer === "running") fill(element, h("p", { class: "remark", role: "status" }, "Running the program again, up to this step…"));
    else if ("failed" in answer) fill(element, h("p", { class: "remark" }, answer.failed), ask);
    else fill(element, answer);
  }

  state.watch(["detail", "run", "step", "pass", "apart", "graph"], show);
  return element;
}

/** Return what has a distribution at the playhead: a node with a tensor whose elements were not recorded. @param {State} now @returns {Subject | null} */
function subject(now) {
  const { run, step, detail, graph } = now;
  const pass = shownPass(now);
  if (!run || !ended(run) || !pass || pass.failed || !detail || detail.rank === null || !graph || !step || step.index >= run.steps) return null;
  const { node, numbers } = detail;
  const tensors = [numbers.value, ...numbers.grads.map(({ used }) => used)];
  if (node.kind === "constant" || !tensors.some((tensor) => tensor && tensor.values === null && tensor.norm !== null)) return null;
  const body = { what: "distribution", step: step.index, pass: pass.index, node: node.id };
  return { run: run.id, key: `${run.id} ${pass.index} ${node.id}`, body, leaf: node.kind === "leaf" };
}

// Say where the shown run and the run that it is compared with differ first, and go there.

import { trouble } from "../../core/runner.js";
import { ended } from "../../core/state.js";
import { fill, h } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {Divergence} from "../../leaves/types.js" */
/** @import {Instant} from "../../core/instant.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */

/** The phase in which a step shows what differs. */
const PHASES = /** @type {const} */ ({ structure: "backward", value: "forward", gradient: "backward", parameter: "update" });

/**
 * Make the text beside a comparison.
 *
 * @param {object} options
 * @param {Store<State>} options.state
 * @param {Client} options.api
 * @param {(node: string | null, instant: Partial<Instant>) => void} options.onfind    go to an instant, and select a node
 */
export function firstDifference({ state, api, onfind }) {
  const element = h("span", { class: "first-difference", role: "status" });
  /** @type {string | null} */
  let shown = null; // the two runs that the text is about

  /** @param {string} id @param {string} other @param {string} key */
  async function load(id, other, key) {
    fill(element, "comparing…");
    try {
      const found = await api.divergence(id, other);
      if (shown === key) fill(element, written(found));
    } catch (error) {
      if (shown === key) fill(element, h("span", { title: trouble(error).detail }, "not compared"));
    }
  }

  /** @param {Divergence} found */
  function written({ where, sentence, step, name, node, tolerance }) {
    if (where === null || step === null) return h("span", { title: sentence }, sentence.replace(/\.$/, ""));
    const allowed = tolerance === null ? null : `tolerance ${tolerance ? format.number(tolerance, 1) : 0}`;
    return [
      h("button", { type: "button", class: "to", title: sentence, onclick: () => onfind(node, { at: step, phase: PHASES[where], pass: null, apart: null, ran: null }) }, `differ from step ${step}`),
      h("span", { class: "what", title: sentence }, name?.replace(/^the (value of|gradient at) | after the update$/g, "")),
      allowed && h("span", { class: "aside", title: "Largest relative difference that counts as equal" }, allowed),
    ];
  }

  state.watch(["run", "other", "busy"], ({ run, other }) => {
    const key = run && other && ended(run) && ended(other.run) ? `${run.id} ${other.run.id}` : null;
    if (key === shown) return;
    shown = key;
    if (!run || !other || key === null) return fill(element);
    void load(run.id, other.run.id, key);
  });

  return element;
}

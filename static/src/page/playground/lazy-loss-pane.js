// Load the loss pane when it is first opened: it is rarely used, and its script is not small.

import { fill, h } from "../../leaves/dom.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {Parameter} from "../../leaves/types.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */

/**
 * Make a placeholder that loads the loss pane when it is first shown.
 *
 * @param {Store<State>} state
 * @param {Client} api
 */
export function lazyLossPane(state, api) {
  const [element, choice] = [h("div", { class: "ground" }), h("span", { class: "ground" })];
  /** @type {ReturnType<typeof import("./loss-pane.js").lossPane> | null} */
  let made = null;
  /** @type {[parameter: Parameter | null, logarithmic: boolean]} */
  let wanted = [null, false];

  async function make() {
    const { lossPane } = await import("./loss-pane.js");
    if (made) return;
    made = lossPane(state, api);
    fill(element, made.element);
    fill(choice, made.choice);
    made.show(...wanted);
  }

  return {
    element,
    /** The select for the elements on the axes. */
    choice,
    /** Show the pane for a parameter, or hide it. @param {Parameter | null} now @param {boolean} logarithmic */
    show(now, logarithmic) {
      wanted = [now, logarithmic];
      if (made) made.show(now, logarithmic);
      else if (now) void make();
    },
    /** Update the parts that follow the playhead. */
    seek: () => made?.seek(),
  };
}

// Fetch the pane of the loss over a parameter when it is first opened: few look at it, and what draws it is not small.

import { fill, h } from "../../leaves/dom.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {Parameter} from "../../leaves/types.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */

/**
 * @param {Store<State>} state
 * @param {Client} api
 */
export function ground(state, api) {
  const [element, choice] = [h("div", { class: "ground" }), h("span", { class: "ground" })];
  /** @type {ReturnType<typeof import("./loss-pane.js").landscape> | null} */
  let made = null;
  /** @type {[parameter: Parameter | null, logarithmic: boolean]} */
  let wanted = [null, false];

  async function make() {
    const { landscape } = await import("./loss-pane.js");
    if (made) return;
    made = landscape(state, api);
    fill(element, made.element);
    fill(choice, made.choice);
    made.show(...wanted);
  }

  return {
    element,
    /** Where the elements are chosen. */
    choice,
    /** Show the pane for a parameter, or put it away. @param {Parameter | null} now @param {boolean} logarithmic */
    show(now, logarithmic) {
      wanted = [now, logarithmic];
      if (made) made.show(now, logarithmic);
      else if (now) void make();
    },
    tell: () => made?.tell(),
  };
}

// Load the watch pane when it is first opened.

import { fill, h } from "../../leaves/dom.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */
/** @import {Watched} from "./watch-pane.js" */

/**
 * Make a placeholder that loads the watch pane when it is first shown.
 *
 * @param {Store<State>} state
 * @param {Client} api
 * @param {(step: number) => void} onstep
 */
export function lazyWatchPane(state, api, onstep) {
  const element = h("div", { class: "ground" });
  /** @type {ReturnType<typeof import("./watch-pane.js").watchPane> | null} */
  let made = null;
  /** @type {Watched | null} */
  let wanted = null;

  async function make() {
    const { watchPane } = await import("./watch-pane.js");
    if (made) return;
    made = watchPane(state, api, onstep);
    fill(element, made.element);
    if (wanted) made.propose(wanted);
    made.show();
  }

  return {
    element,
    /** Show the pane. */
    show() {
      if (made) made.show();
      else void make();
    },
    /** Propose what to watch. @param {Watched} now */
    propose(now) {
      wanted = now;
      made?.propose(now);
    },
    /** Update the parts that follow the playhead. */
    seek: () => made?.seek(),
  };
}

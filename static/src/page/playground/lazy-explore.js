// Load the tools for large graphs when a graph is large, or when the user wants to search.

import { find } from "../../leaves/dom.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */
/** @typedef {import("./explore.js").Canvas} Canvas */
/** @typedef {import("./explore.js").Session} Session */

const MANY = 40; // nodes above which the search field is shown

/**
 * @param {Store<State>} state
 * @param {Session} work
 * @param {Client} api
 * @param {Canvas} canvas
 */
export function lazyExplore(state, work, api, canvas) {
  /** @type {ReturnType<typeof import("./explore.js").explore> | null} */
  let tools = null;
  /** @type {Promise<void> | null} */
  let loading = null;

  /** Load the tools, and show their bar. */
  function load() {
    loading ??= import("./explore.js").then(({ explore }) => {
      tools = explore(state, work, api, canvas);
      find("#explore").hidden = false;
      tools.look();
    });
    return loading;
  }

  state.watch(["picture", "graph"], ({ picture, graph }) => {
    if (picture && graph && (picture.map || graph.nodes.length > MANY)) void load();
  });

  return {
    /** The picture has changed, or moved. */
    look: () => tools?.look(),
    /** Focus the search field. */
    search: () => void load().then(() => tools?.search()),
  };
}

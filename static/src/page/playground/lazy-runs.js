// Open the list of the user's runs, which is loaded on first use.

import { find } from "../../leaves/dom.js";
import { laterStyle } from "../../leaves/later-style.js";

/**
 * @param {import("../../core/store.js").Store<import("../../core/state.js").State>} state
 * @param {import("../../leaves/api.js").Client} api
 * @param {import("../../core/state.js").Given} given
 * @param {(id: string) => void} open
 */
export function lazyRuns(state, api, given, open) {
  /** @type {Promise<() => void> | null} */
  let loading = null;
  find("#runs").addEventListener("click", async () => {
    loading ??= Promise.all([import("./my-runs.js"), laterStyle()]).then(([{ myRuns }]) => myRuns(state, api, given, open));
    (await loading)();
  });
}

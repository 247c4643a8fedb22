// Open the dialog that puts a run on another page, which is loaded on first use.

import { find } from "../../leaves/dom.js";
import { laterStyle } from "../../leaves/later-style.js";

/**
 * @param {import("../../core/store.js").Store<import("../../core/state.js").State>} state
 * @param {import("../../leaves/api.js").Client} api
 * @param {import("../../core/state.js").Given} given
 */
export function lazyShare(state, api, given) {
  /** @type {Promise<() => void> | null} */
  let loading = null;
  find("#share").addEventListener("click", async () => {
    loading ??= Promise.all([import("./share.js"), laterStyle()]).then(([{ share }]) => share(state, api, given));
    (await loading)();
  });
}

// Open the table of the steps, which is loaded on first use.

import { find } from "../../leaves/dom.js";
import { laterStyle } from "../../leaves/later-style.js";

/**
 * @param {import("../../core/store.js").Store<import("../../core/state.js").State>} state
 * @param {import("../../leaves/api.js").Client} api
 * @param {(step: number) => void} onstep
 */
export function lazyStepsTable(state, api, onstep) {
  /** @type {Promise<() => Promise<void>> | null} */
  let loading = null;
  const button = find("#steps-table");
  button.addEventListener("click", async () => {
    loading ??= Promise.all([import("./steps-table.js"), laterStyle()]).then(([{ stepsTable }]) => stepsTable(state, api, onstep));
    await (await loading)();
  });
  state.watch(["run"], ({ run }) => {
    for (const each of [button, find('[data-press="#steps-table"]')]) each.hidden = !run || run.steps < 2;
  });
}

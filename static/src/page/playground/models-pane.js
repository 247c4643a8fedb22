// The Models view: the modules of the run at the playhead, as rows.

import { shownPass } from "../../core/state.js";
import { find } from "../../leaves/dom.js";
import { PHASES } from "../../leaves/types.js";
import { models } from "../../widgets/models.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {EdgeStyle} from "../../leaves/edge-style.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */
/** @import {ModelRows} from "../../leaves/types.js" */
/** @typedef {ReturnType<typeof import("../../core/session.js").session>} Session */

const KEPT = 64; // answers that are kept

/**
 * Set up the Models view.
 *
 * @param {Store<State>} state
 * @param {Session} work
 * @param {Client} api
 * @param {EdgeStyle} edgeStyle
 */
export function modelsPane(state, work, api, edgeStyle) {
  const table = models({
    onmodule: ({ group, node }) => work.openGroup(group, node),
    onopen: () => void load(),
    onparameter: ({ node }) => work.reveal(node),
    width: edgeStyle.width,
  });
  find("#models").replaceChildren(table);
  /** @type {Map<string, Promise<ModelRows>>} */
  const cached = new Map();
  let latest = 0;

  /** Fetch the rows of the shown pass that are visible, and show them. */
  async function load() {
    const now = state.get();
    const { pane, run } = now;
    const pass = shownPass(now);
    if (pane !== "models" || !run || !pass) return;
    const mine = ++latest;
    const open = table.open();
    const key = `${run.id} ${pass.index} ${open.join(" ")}`;
    const answer = cached.get(key) ?? api.models(run.id, pass.index, open);
    if (cached.size > KEPT) cached.clear();
    cached.set(key, answer);
    answer.catch(() => cached.delete(key));
    try {
      const rows = await answer;
      if (mine === latest) table.show(rows, `${run.id} ${rows.graph}`);
    } catch (error) {
      if (mine === latest) state.set({ trouble: { title: "The modules cannot be shown", detail: error instanceof Error ? error.message : String(error) } });
    }
  }
  state.watch(["pane", "step", "pass", "apart", "run"], load);
  state.watch(["phase"], ({ phase }) => table.phase(PHASES.indexOf(phase) < PHASES.indexOf("backward"), phase === "update"));

  return { enter: table.enter };
}

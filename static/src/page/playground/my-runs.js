// List the user's runs in a dialog. Loaded when it is opened for the first time.

import { withProgram } from "../../core/address.js";
import { drafts } from "../../core/drafts.js";
import { lineage } from "../../core/lineage.js";
import { picture } from "../../core/pictures.js";
import { trouble } from "../../core/runner.js";
import { runList } from "../../widgets/run-list.js";
import { dark, toast } from "../../widgets/shell.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {Given, State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */
/** @import {RunHeading} from "../../leaves/types.js" */

/**
 * Make the dialog, and return a function that opens it.
 *
 * @param {Store<State>} state
 * @param {Client} api
 * @param {Given} given
 * @param {(id: string) => void} open
 */
export function myRuns(state, api, given, open) {
  /** @type {RunHeading[]} */
  let runs = [];
  /** @type {string | null} */
  let next = null;

  const days = given.keep_days;
  const kept = days ? `Runs are kept for ${days} day${days === 1 ? "" : "s"}. Anyone with the link can view them.` : "Runs are kept until you delete them. Anyone with the link can view them.";
  const dialog = runList({
    kept,
    onopen: open,
    pictureOf: (id) => api.address(picture(id, "passes/0", "svg", "TB", dark() ? "dark" : "light", null)),
    onolder: () => void load(next),
    onrename: (id, title) => attempt(async () => {
      const renamed = await api.rename(id, title);
      runs = runs.map((each) => (each.id === id ? renamed : each));
      const { run } = state.get();
      if (run?.id === id) state.set({ run: { ...run, title: renamed.title } });
      return renamed;
    }, null),
    ondelete: (id) => attempt(async () => {
      await api.delete(id);
      drafts.drop(id);
      runs = runs.filter((each) => each.id !== id);
      const { run } = state.get();
      if (run?.id === id) history.replaceState(null, "", `${given.root}/${withProgram(run.program)}`); // a reload runs it again
      toast("Deleted");
      return true;
    }, false),
  });
  document.body.append(dialog);

  /** Return what a request returns, or `otherwise` if it fails. @template T, O @param {() => Promise<T>} work @param {O} otherwise @returns {Promise<T | O>} */
  async function attempt(work, otherwise) {
    try {
      return await work();
    } catch (error) {
      dialog.close();
      state.set({ trouble: trouble(error) });
      return otherwise;
    }
  }

  /** @param {boolean} [loading] */
  function show(loading = false) {
    const edited = new Set(drafts.all().map(({ run }) => run));
    const titles = new Map(runs.map(({ id, title }) => [id, title]));
    const from = (/** @type {string} */ id) => titles.get(lineage.of(id)?.from ?? "") ?? null;
    dialog.show(runs, { from, current: state.get().run?.id ?? null, edited, more: next !== null, loading });
  }

  /** Fetch runs: the newest, or those after a page. @param {string | null} after */
  const load = (after) => attempt(async () => {
    const page = await api.runs(200, after);
    runs = after ? [...runs, ...page.runs] : page.runs;
    next = page.next;
    show();
  }, undefined);

  return () => {
    show(!runs.length);
    if (!dialog.open) dialog.showModal();
    void load(null);
  };
}

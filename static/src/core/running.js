// Run programs, and wait for their ends. The latest wish wins.

import { Problem } from "../leaves/api.js";
import { ended } from "./state.js";

/** @import {Client} from "../leaves/api.js" */
/** @import {Run} from "../leaves/types.js" */
/** @import {State} from "./state.js" */
/** @import {Store} from "./store.js" */

const WAIT = 1; // seconds that the answer to a run may take before we ask again
const AGAIN = 250; // milliseconds between two questions

/** What to tell a person of something that failed. @param {unknown} error */
export const trouble = (error) =>
  error instanceof Problem
    ? { title: error.title, detail: error.message }
    : { title: "Something went wrong here", detail: String(error) };

/**
 * @param {Store<State>} store
 * @param {Client} api
 * @param {(run: Run, place?: Partial<State>) => void} show
 * @param {(run: Run) => void} onrun
 */
export function running(store, api, show, onrun) {
  let turn = 0;

  /** Wait for the end of a run; null when something else is wished for meanwhile. @param {Run} begun @param {number} mine */
  async function until(begun, mine) {
    let answer = begun;
    while (mine === turn && !ended(answer)) {
      const busy = store.get().busy;
      if (busy?.stopping && !busy.id) void api.cancel(answer.id).catch(() => {});
      store.set({ busy: busy && { ...busy, id: answer.id, steps: answer.steps } });
      await new Promise((go) => setTimeout(go, AGAIN));
      answer = await api.run(answer.id);
    }
    return mine === turn ? answer : null;
  }

  /**
   * Run what is given, and show it once it has ended.
   *
   * @param {string} body
   * @param {string} type  its media type
   * @returns {Promise<Run | null>}
   */
  async function run(body, type) {
    const mine = ++turn;
    store.set({ busy: { id: null, since: performance.now(), steps: 0 }, trouble: null });
    try {
      const answer = await until(await api.post(body, { type, wait: WAIT }), mine);
      if (!answer) return null;
      show(answer);
      return answer;
    } catch (error) {
      if (mine === turn) store.set({ busy: null, trouble: trouble(error) });
      return null;
    }
  }

  return {
    run,
    /** Wait for a run that was begun elsewhere, and show it. @param {Run} begun */
    async attend(begun) {
      const mine = ++turn;
      onrun(begun);
      store.set({ run: begun, busy: { id: begun.id, since: performance.now(), steps: begun.steps } });
      try {
        const answer = await until(begun, mine);
        if (answer) show(answer);
      } catch (error) {
        if (mine === turn) store.set({ busy: null, trouble: trouble(error) });
      }
    },
    /** Stop the program that runs; what was recorded is kept. */
    stop() {
      const { busy } = store.get();
      if (!busy) return;
      store.set({ busy: { ...busy, stopping: true } });
      if (busy.id) void api.cancel(busy.id).catch(() => {});
    },
    /** Open a recording. @param {string} id @param {Partial<State>} place */
    async open(id, place) {
      const mine = ++turn;
      try {
        const answer = await api.run(id);
        if (mine === turn) show(answer, place);
      } catch (error) {
        if (mine === turn) store.set({ trouble: trouble(error) });
      }
    },
  };
}

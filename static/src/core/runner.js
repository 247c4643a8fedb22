// Run programs, follow them while they go on, and show how they end. The latest wish wins.

import { Problem } from "../leaves/api.js";
import { ended } from "./state.js";

/** @import {Client} from "../leaves/api.js" */
/** @import {Run} from "../leaves/types.js" */
/** @import {State} from "./state.js" */
/** @import {Store} from "./store.js" */

const WAIT = 1; // seconds that the answer to a run may take before it is followed
const AGAIN = 250; // milliseconds between two looks at a run that goes on

/** What to tell a person of something that failed. @param {unknown} error */
export const trouble = (error) =>
  error instanceof Problem
    ? { title: error.title, detail: error.message }
    : { title: "Something went wrong on this page", detail: String(error) };

/**
 * @param {Store<State>} store
 * @param {Client} api
 * @param {(run: Run, place?: Partial<State>) => void} show  a run, for the first time or as it has gone on
 */
export function running(store, api, show) {
  let turn = 0;

  /**
   * Follow a run, showing what it has come to as it goes on; null when something else is wished for meanwhile.
   *
   * @param {Run} begun
   * @param {number} mine
   * @returns {Promise<Run | null>}
   */
  async function until(begun, mine) {
    if (ended(begun)) return begun;
    const { busy } = store.get();
    if (busy?.stopping && !busy.id) void api.cancel(begun.id).catch(() => {});
    store.set({ busy: busy && { ...busy, id: begun.id } });
    let news = true;
    let over = false;
    const told = new EventSource(api.events(begun.id));
    told.addEventListener("step", () => (news = true));
    let progress = store.get().busy?.progress ?? { done: 0, of: null };
    told.addEventListener("progress", ({ data }) => (progress = JSON.parse(data)));
    told.addEventListener("end", () => ((over = true), told.close()));
    told.addEventListener("error", () => (over ||= told.readyState === EventSource.CLOSED)); // then asking again has to do
    try {
      while (mine === turn) {
        const asked = over;
        if (news || over) {
          news = false;
          const run = await api.run(begun.id);
          if (mine !== turn || ended(run)) return mine === turn ? run : null;
          const now = store.get().busy;
          if (now && progress !== now.progress) store.set({ busy: { ...now, progress } });
          if (run.steps) show(run);
        }
        if (asked || !over) await new Promise((go) => setTimeout(go, AGAIN));
      }
      return null;
    } finally {
      told.close();
    }
  }

  return {
    /**
     * Run what is given, and show it.
     *
     * @param {string} body
     * @param {string} type  its media type
     */
    async run(body, type) {
      const mine = ++turn;
      store.set({ busy: { id: null, since: performance.now(), progress: { done: 0, of: null } }, playing: false, trouble: null });
      try {
        const begun = await api.post(body, { type, wait: WAIT });
        const answer = mine === turn ? await until(begun, mine) : null;
        if (answer) show(answer);
      } catch (error) {
        if (mine === turn) store.set({ busy: null, trouble: trouble(error) });
      }
    },
    /** Follow a run that was begun elsewhere. @param {Run} begun */
    async attend(begun) {
      const mine = ++turn;
      store.set({ busy: { id: begun.id, since: performance.now(), progress: { done: 0, of: null } } });
      show(begun);
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

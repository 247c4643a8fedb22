// Run programs, follow them while they run, and show how they end. A newer request replaces an older one.

import { Problem } from "../leaves/api.js";
import { ended } from "./state.js";

/** @import {Client} from "../leaves/api.js" */
/** @import {Run} from "../leaves/types.js" */
/** @import {Busy, State, Trouble} from "./state.js" */
/** @import {Store} from "./store.js" */

const WAIT = 1; // seconds that the POST of a run may take before the run is followed by its events
const AGAIN = 250; // milliseconds between two requests for a run in progress

const ASKED = 100; // times that a recording that is being made is requested; the server says after how many seconds
const SLOW = 4000; // milliseconds after which a program is slow
const GONE = 404; // status of an answer about a run that does not exist any more

/** Describe an exception for a person. @param {unknown} error @returns {Trouble} */
export function trouble(error) {
  if (!(error instanceof Problem)) return { title: "Something went wrong on this page", detail: `${error}. Reload it; your program is kept.` };
  const { status, title, message: detail } = error;
  if (status === GONE && detail.startsWith("There is no such run")) {
    return { title: "This run is gone", detail: "It was deleted or has expired. Your program is still here: run it to record it again.", retry: "new" };
  }
  return { title, detail };
}

/** Describe why a program could not be run. It can be run again, now or once a busy server has room. @param {unknown} error @returns {Trouble} */
function refusal(error) {
  const again = error instanceof Problem && (error.status === 0 || error.retryAfter !== null);
  return { ...(again ? { retry: error.retryAfter ?? 0 } : {}), ...trouble(error) };
}

/**
 * Return functions that run programs and open recordings.
 *
 * @param {Store<State>} store
 * @param {Client} api
 * @param {(run: Run, view?: Partial<State>) => void} show  show a run, for the first time or after it has grown
 */
export function runner(store, api, show) {
  let turn = 0;

  /**
   * Follow a run and show it as it grows. Return it once it has ended, or null if a newer request replaced this one.
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
    const events = new EventSource(api.events(begun.id));
    events.addEventListener("step", () => (news = true));
    const slow = setTimeout(() => {
      const now = store.get().busy;
      if (now && !now.queue && mine === turn) store.set({ busy: { ...now, slow: true } });
    }, SLOW);
    let progress = store.get().busy?.progress ?? { done: 0, of: null };
    events.addEventListener("progress", ({ data }) => (progress = JSON.parse(data)));
    /** @param {NonNullable<Busy["queue"]> | null} queue */
    const setQueue = (queue) => {
      const now = store.get().busy;
      if (now && mine === turn) store.set({ busy: { ...now, queue } });
    };
    events.addEventListener("queue", ({ data }) => setQueue(JSON.parse(data)));
    events.addEventListener("started", () => setQueue(null));
    events.addEventListener("end", () => ((over = true), events.close()));
    events.addEventListener("error", () => (over ||= events.readyState === EventSource.CLOSED)); // the loop below then polls
    try {
      while (mine === turn) {
        const last = over;
        if (news || over) {
          news = false;
          const run = await api.run(begun.id);
          if (mine !== turn || ended(run)) return mine === turn ? run : null;
          const now = store.get().busy;
          if (now && progress !== now.progress) store.set({ busy: { ...now, progress } });
          if (run.steps) show(run);
        }
        if (last || !over) await new Promise((go) => setTimeout(go, AGAIN));
      }
      return null;
    } finally {
      clearTimeout(slow);
      events.close();
    }
  }

  return {
    /**
     * Run a program and show the run.
     *
     * @param {string} body
     * @param {string} type  media type of the body
     * @param {string | null} [title]  of a body that is not JSON
     * @param {Partial<State>} [view]  where the run opens, instead of at its opening instant
     */
    async run(body, type, title = null, view = {}) {
      const mine = ++turn;
      store.set({ busy: { id: null, since: performance.now(), progress: { done: 0, of: null } }, playing: false, trouble: null });
      try {
        const begun = await api.post(body, { type, wait: WAIT, title });
        const answer = mine === turn ? await until(begun, mine) : null;
        if (answer) show(answer, view);
      } catch (error) {
        if (mine === turn) store.set({ busy: null, trouble: refusal(error) });
      }
    },
    /** Follow a run that was started elsewhere. @param {Run} begun */
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
    /**
     * Wait for a recording that the server makes as soon as it can, and show it. A program that is run meanwhile comes first.
     *
     * @param {string} id
     */
    async expect(id) {
      const mine = ++turn;
      store.set({ recording: true });
      for (let times = 1; mine === turn; times++) {
        try {
          const begun = await api.run(id);
          if (mine === turn) void this.attend(begun);
          break;
        } catch (error) {
          const after = error instanceof Problem ? error.retryAfter : null;
          if (after !== null && times < ASKED) await new Promise((go) => setTimeout(go, 1000 * after));
          else if (mine === turn) {
            store.set({ trouble: refusal(error) });
            break;
          }
        }
      }
      store.set({ recording: false });
    },
    /** Stop the running program. Its recording so far is kept. */
    stop() {
      const { busy } = store.get();
      if (!busy) return;
      store.set({ busy: { ...busy, stopping: true } });
      if (busy.id) void api.cancel(busy.id).catch(() => {});
    },
    /** Open a recording. @param {string} id @param {Partial<State>} view */
    async open(id, view) {
      const mine = ++turn;
      try {
        const answer = await api.run(id);
        if (mine === turn) show(answer, view);
      } catch (error) {
        if (mine === turn) store.set({ trouble: trouble(error) });
      }
    },
  };
}

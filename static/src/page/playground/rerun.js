// Run the program again while a number in it is dragged, and compare the new curves with those of the run before the drag.

/** @import {Client} from "../../leaves/api.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */

const EVERY = 200; // minimum milliseconds between two runs
const QUICK = 1000; // a program whose last run took more milliseconds is not run during a drag
const REST = 1500; // milliseconds without a change or a run after which a drag is over

/**
 * Return functions that run the text during a drag.
 *
 * @param {Store<State>} state
 * @param {Client} api
 * @param {() => void} run  run the text, and keep the instant
 */
export function rerun(state, api, run) {
  let drag = 0; // number of the drag
  let base = /** @type {import("../../leaves/types.js").Run | null} */ (null); // the run before the drag, while it lasts
  let latest = /** @type {string | null} */ (null); // the last run of the drag
  let since = -Infinity; // time of the last run
  let [waiting, resting] = [0, 0];

  /** Run the text, as soon as the last run is shown. */
  function go() {
    clearTimeout(waiting);
    waiting = 0;
    const { busy, coming, edited } = state.get();
    const left = since + EVERY - performance.now();
    if (busy || coming || left > 0) return void (waiting = setTimeout(go, Math.max(left, 20)));
    if (!edited) return;
    since = performance.now();
    run();
  }

  /** End the drag once nothing has happened for a while. */
  function rest() {
    clearTimeout(resting);
    resting = setTimeout(() => (waiting || state.get().busy ? rest() : (base = latest = null)), REST);
  }

  state.watch(["run"], ({ run: shown, compare }) => {
    if (!base || !shown || shown.id === base.id || shown.id === latest) return;
    if (latest) void api.remove(latest).catch(() => {}); // of the runs of a drag only the last one is kept
    latest = shown.id;
    if (shown.steps > 1 && compare === null) state.set({ compare: base.id });
    rest();
  });

  return {
    /** A number was dragged. */
    pulled() {
      const { run: shown } = state.get();
      if (base === null) {
        if (!shown || shown.duration_ms === null || shown.duration_ms > QUICK) return;
        [drag, base] = [drag + 1, shown];
      }
      rest();
      if (!waiting) go();
    },
    /** Return the number of the drag that is in progress; null if there is none. */
    drag: () => (base === null ? null : drag),
    /** Return the run before the drag that is in progress; null if there is none. */
    base: () => base,
  };
}

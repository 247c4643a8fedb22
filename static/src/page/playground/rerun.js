// Run the program again while a number in it is dragged, and keep the run before the drag as a ghost behind the new curves.

/** @import {Client} from "../../leaves/api.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */

const EVERY = 200; // minimum milliseconds between two runs
const QUICK = 1000; // milliseconds that the last run may have taken
const REST = 1500; // milliseconds without a change after which a drag is over

/**
 * Return the function to call after each change of a dragged number.
 *
 * @param {Store<State>} state
 * @param {Client} api
 * @param {() => void} run  run the text, and keep the instant
 */
export function rerun(state, api, run) {
  let since = -Infinity; // time of the last run
  let [waiting, resting] = [0, 0];
  let base = /** @type {string | null} */ (null); // the run before the drag
  let between = /** @type {string | null} */ (null); // a run during the drag, which nobody needs any more

  function go() {
    clearTimeout(waiting);
    waiting = 0;
    const { busy, run: shown, edited } = state.get();
    if (!edited) return;
    const left = since + EVERY - performance.now();
    if (busy || left > 0) return void (waiting = setTimeout(go, Math.max(left, 20)));
    since = performance.now();
    if (shown && shown.id !== base) between = shown.id;
    run();
  }

  state.watch(["run", "settled"], ({ run: shown, settled, compare }) => {
    if (base && settled && shown && shown.id !== base && shown.steps > 1 && compare === null) state.set({ compare: base });
    if (!between || !settled || !shown || shown.id === between) return;
    void api.remove(between).catch(() => {}); // only the first and the last run of a drag are kept
    between = null;
  });

  return () => {
    const { run: shown } = state.get();
    if (!shown || shown.duration_ms === null || shown.duration_ms > QUICK) return;
    if (base === null) {
      base = shown.id;
    }
    clearTimeout(resting);
    resting = setTimeout(() => (base = null), REST);
    if (!waiting) go();
  };
}

// Play the recording: move the playhead node by node through a backward pass, phase by phase, or step by step.

import { PHASES } from "../leaves/types.js";
import { lastStep } from "./instant.js";
import { ranIn, shownPass } from "./state.js";

/** @import {Phase} from "../leaves/types.js" */
/** @import {Speed, State} from "./state.js" */
/** @import {Store} from "./store.js" */

/** Milliseconds for which each phase is shown at normal speed. */
const PACE = { forward: 520, loss: 420, backward: 760, update: 620 };
const NODE = 170; // milliseconds for which a node of a backward pass is shown
const WAVE = 2200; // maximum milliseconds for all nodes of a backward pass
const START = 300; // milliseconds for which the first instant is shown
const WHOLE = 110; // milliseconds for which a step is shown when whole steps are played
const TAPE = 15_000; // maximum milliseconds for a tape of whole steps
const FASTEST = 33; // minimum milliseconds for which a step is shown

/** @typedef {Pick<State, "at" | "phase" | "ran">} Instant */

/** Return whether the playhead can stop at a phase of the step. Every step has a backward phase. @param {State} state @param {Phase | undefined} phase */
const has = ({ step }, phase) => phase === "backward" || Boolean(phase && step?.lines[phase]?.length);

/** Return how many nodes the engine ran in the shown pass. @param {State} state */
export const nodesRun = (state) => ranIn(shownPass(state));

/**
 * Return the instant one phase later or earlier, also in another step; null at an end of the tape.
 *
 * @param {State} state
 * @param {1 | -1} by
 * @returns {Instant | null}
 */
export function byPhase(state, by) {
  const { at, phase, run, ran } = state;
  if (phase === "backward" && ran !== null && by > 0) return { at, phase, ran: null };
  let index = PHASES.indexOf(phase) + by;
  while (PHASES[index] && !has(state, PHASES[index])) index += by;
  const next = PHASES[index];
  if (next) return { at, phase: next, ran: null };
  const step = at + by;
  return step >= 0 && step <= lastStep(run) ? { at: step, phase: by > 0 ? "forward" : "update", ran: null } : null;
}

/**
 * Return the instant one node later or earlier within a backward pass (one box if the graph is shown as a map), else one phase.
 *
 * @param {State} state
 * @param {1 | -1} by
 * @returns {Instant | null}
 */
export function byNode(state, by) {
  const { at, phase } = state;
  const all = nodesRun(state);
  const ran = beside(state, state.ran ?? all, by);
  if (phase === "backward" && ran >= (by > 0 ? 1 : 0) && ran <= all) return { at, phase, ran: ran === all ? null : ran };
  const next = byPhase({ ...state, ran: null }, by);
  if (next?.phase !== "backward" || !all || next.at !== at) return next;
  return { ...next, ran: by > 0 ? Math.min(beside(state, 0, 1), all) : null };
}

/** Return how many nodes have run at the next or the previous stop, as seen from `ran` nodes. @param {State} state @param {number} ran @param {1 | -1} by */
function beside({ stops }, ran, by) {
  if (!stops.length) return ran + by;
  if (by > 0) return stops.find((stop) => stop > ran) ?? Infinity;
  return ran > 0 ? (stops.findLast((stop) => stop < ran) ?? 0) : -1;
}

/**
 * Return the next instant when whole steps are played; null at the end of the tape.
 *
 * @param {State} state
 * @returns {Instant | null}
 */
function byStep({ at, phase, run }) {
  const last = lastStep(run);
  const stride = Math.max(1, Math.round((FASTEST * last) / TAPE));
  return at >= last ? null : { at: Math.min(last, at + stride), phase, ran: null };
}

/**
 * Return how long an instant is shown, in milliseconds.
 *
 * @param {State} state
 * @param {boolean} still
 */
function stay(state, still) {
  const { phase, speed, run } = state;
  if (speed === "steps") return Math.max(FASTEST, Math.min(WHOLE, TAPE / Math.max(1, run?.steps ?? 1)));
  const all = state.stops.length || nodesRun(state);
  if (phase !== "backward" || still || !all || state.ran === null) return PACE[phase] / speed;
  return Math.max(PACE.backward - 200, Math.min(WAVE, NODE * all)) / all / speed;
}

/**
 * Return the controls of playback.
 *
 * @param {Store<State>} store
 * @param {(instant: Instant) => void} go
 * @param {() => boolean} still       whether reduced motion is preferred
 * @param {() => boolean} opened      whether the playhead is where the run was opened
 */
export function player(store, go, still, opened) {
  let waiting = 0;

  function pause() {
    clearTimeout(waiting);
    if (store.get().playing) store.set({ playing: false, pace: 0 });
  }

  function tick() {
    const state = store.get();
    if (!state.playing) return;
    if (state.wanted) return void (waiting = setTimeout(tick, 16)); // the step is still loading
    const next = state.speed === "steps" ? byStep(state) : still() ? byPhase(state, 1) : byNode(state, 1);
    if (!next) {
      if (state.busy?.id === state.run?.id) return void (waiting = setTimeout(tick, 100)); // the run is still recording
      return pause();
    }
    const time = stay({ ...state, ...next }, still());
    store.set({ pace: still() || state.speed === "steps" ? 0 : time });
    go(next);
    waiting = setTimeout(tick, time);
  }

  return {
    pause,
    play() {
      const state = store.get();
      const last = lastStep(state.run);
      clearTimeout(waiting);
      if (state.coming) return void (waiting = setTimeout(this.play, 16)); // another run is loading
      if (last < 0) return;
      const over = state.speed === "steps" ? state.at >= last : byNode(state, 1) === null;
      const first = opened() && state.speed !== "steps"; // a visitor sees the whole step, not its end
      if (over || first) go({ at: over ? 0 : state.at, phase: state.speed === "steps" ? state.phase : "forward", ran: null });
      store.set({ playing: true });
      waiting = setTimeout(tick, over || first ? START : 0);
    },
    /** Change the speed, also while the recording is playing. @param {Speed} speed */
    setSpeed(speed) {
      store.set({ speed });
      if (!store.get().playing) return;
      clearTimeout(waiting);
      tick();
    },
  };
}

// Move the playhead as time goes by: node by node through a backward pass, phase by phase, or step by step.

import { PHASES } from "../leaves/types.js";
import { shownPass } from "./state.js";

/** @import {Phase} from "../leaves/types.js" */
/** @import {Speed, State} from "./state.js" */
/** @import {Store} from "./store.js" */

/** Milliseconds that a phase stands at once the usual speed. */
const PACE = { forward: 520, loss: 420, backward: 760, update: 620 };
const NODE = 170; // milliseconds of a node of a backward pass,
const WAVE = 2200; // and of all of them at most
const WHOLE = 110; // milliseconds of a step where whole steps are played,
const TAPE = 15_000; // and of the tape at most
const FASTEST = 33;

/** @typedef {Pick<State, "at" | "phase" | "ran">} Instant */

/** Does a step have lines in a phase? Backward is where its passes are. @param {State} state @param {Phase | undefined} phase */
const has = ({ step }, phase) => phase === "backward" || Boolean(phase && step?.lines[phase]?.length);

/** How many nodes the engine ran in the pass that is shown. @param {State} state */
export const nodesRun = (state) => shownPass(state)?.order.length ?? 0;

/**
 * The next instant by phases, over the border of the step; null at an end of the tape.
 *
 * @param {State} state
 * @param {1 | -1} by
 * @returns {Instant | null}
 */
export function byPhase(state, by) {
  const { at, phase, run, ran } = state;
  if (phase === "backward" && ran !== null && by > 0) return { at, phase, ran: null };
  let place = PHASES.indexOf(phase) + by;
  while (PHASES[place] && !has(state, PHASES[place])) place += by;
  const next = PHASES[place];
  if (next) return { at, phase: next, ran: null };
  const step = at + by;
  return step >= 0 && step < (run?.steps ?? 0) ? { at: step, phase: by > 0 ? "forward" : "update", ran: null } : null;
}

/**
 * The next instant by nodes within a backward pass, else by phases.
 *
 * @param {State} state
 * @param {1 | -1} by
 * @returns {Instant | null}
 */
export function byNode(state, by) {
  const { at, phase } = state;
  const all = nodesRun(state);
  const ran = (state.ran ?? all) + by;
  if (phase === "backward" && ran >= (by > 0 ? 1 : 0) && ran <= all) return { at, phase, ran: ran === all ? null : ran };
  const next = byPhase({ ...state, ran: null }, by);
  if (next?.phase !== "backward" || !all || next.at !== at) return next;
  return { ...next, ran: by > 0 ? Math.min(1, all) : null };
}

/**
 * The next instant where whole steps are played.
 *
 * @param {State} state
 * @returns {Instant | null}
 */
function byStep({ at, phase, run }) {
  const last = (run?.steps ?? 0) - 1;
  const stride = Math.max(1, Math.round((FASTEST * last) / TAPE));
  return at >= last ? null : { at: Math.min(last, at + stride), phase, ran: null };
}

/**
 * How long an instant is shown, in milliseconds.
 *
 * @param {State} state
 * @param {boolean} still
 */
function stay(state, still) {
  const { phase, speed, run } = state;
  if (speed === "steps") return Math.max(FASTEST, Math.min(WHOLE, TAPE / Math.max(1, run?.steps ?? 1)));
  const all = nodesRun(state);
  if (phase !== "backward" || still || !all || state.ran === null) return PACE[phase] / speed;
  return Math.max(PACE.backward - 200, Math.min(WAVE, NODE * all)) / all / speed;
}

/**
 * @param {Store<State>} store
 * @param {(instant: Instant) => void} go
 * @param {() => boolean} still       does the person want things to stand still?
 */
export function player(store, go, still) {
  let waiting = 0;

  function pause() {
    clearTimeout(waiting);
    if (store.get().playing) store.set({ playing: false, pace: 0 });
  }

  function tick() {
    const state = store.get();
    if (!state.playing) return;
    if (state.step?.index !== state.at || !state.settled) return void (waiting = setTimeout(tick, 16)); // it is on its way
    const next = state.speed === "steps" ? byStep(state) : still() ? byPhase(state, 1) : byNode(state, 1);
    if (!next) {
      if (state.busy?.id === state.run?.id) return void (waiting = setTimeout(tick, 100)); // the run goes on
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
      const last = (state.run?.steps ?? 0) - 1;
      if (last < 0) return;
      const over = state.speed === "steps" ? state.at >= last : byNode(state, 1) === null;
      if (over) go({ at: 0, phase: state.speed === "steps" ? state.phase : "forward", ran: null });
      store.set({ playing: true });
      clearTimeout(waiting);
      waiting = setTimeout(tick, over ? 300 : 0);
    },
    /** @param {Speed} speed */
    hasten(speed) {
      store.set({ speed });
      if (!store.get().playing) return;
      clearTimeout(waiting);
      tick();
    },
  };
}

// The instant that the whole page shows: one step and phase of one pass of one run. Deck, values in the editor, graph, inspector,
// findings and address read it from the state, where it changes only together with the numbers that belong to it. Until these are
// loaded, the requested instant waits in `wanted`, and another run in `coming`.

import { lastPhase } from "./playhead.js";

/** @import {Phase, Run, Step} from "../leaves/types.js" */
/** @import {State} from "./state.js" */

/**
 * @typedef {object} Instant
 * @property {number} at            index of the step
 * @property {Phase} phase
 * @property {number | null} ran    how many nodes the engine has run in a backward phase; null means all
 * @property {number | null} pass   a pass other than the step's main one
 * @property {string | null} apart  the graph of a displayed tensor, shown instead of a pass
 */

/** Return the fields of a view that do not belong to its instant. @param {Partial<State>} view @returns {Partial<State>} */
export function withoutInstant({ at: _at, phase: _phase, ran: _ran, pass: _pass, apart: _apart, ...more }) {
  return more;
}

/** Return the index of the last step at which the playhead can stop, the unfinished one included; -1 if there is none. @param {Run | null} run */
export const lastStep = (run) => (run ? run.steps - 1 + Number(run.unfinished) : -1);

/** Return the state as it will be once the recording that is loading is shown. @param {State} state @returns {State} */
export const expected = (state) => (state.coming ? { ...state, ...state.coming } : state);

/** Return the instant that the page will show once its numbers are loaded. @param {State} state @returns {Instant} */
export function wantedOf(state) {
  const { at, phase, ran, pass, apart } = state.wanted ?? state;
  return { at, phase, ran, pass, apart };
}

/**
 * Return the instant after a move. If the step or the phase changes, `ran` becomes null (all nodes have run) unless the move sets it.
 *
 * @param {Instant} before
 * @param {Partial<Instant>} move
 * @returns {Instant}
 */
export function moved(before, move) {
  const [{ at, phase, ran, pass, apart }, again] = [before, "phase" in move || "at" in move];
  return {
    at: move.at ?? at,
    phase: move.phase ?? phase,
    ran: move.ran !== undefined ? move.ran : again ? null : ran,
    pass: move.pass !== undefined ? move.pass : pass,
    apart: move.apart !== undefined ? move.apart : apart,
  };
}

/** Return the instant with a phase that the step has: a step without an update ends in backward. @param {Instant} instant @param {Step} step @returns {Instant} */
export const within = (instant, step) => (instant.phase === "update" ? { ...instant, phase: lastPhase(step) } : instant);

/**
 * Return the instant at which a run is shown first: its opening instant with the fields of a view; `at` is limited to its steps.
 *
 * @param {Run} run
 * @param {Partial<State>} view
 * @returns {Instant}
 */
export function opened(run, view) {
  const own = opening(run);
  return moved(own, view.at === undefined ? view : { ...view, at: Math.max(0, Math.min(view.at, lastStep(run))) });
}

/**
 * Return the opening instant of a run: its `opens_at`, or its last step while it is in progress.
 *
 * @param {Run} run
 * @returns {Instant}
 */
function opening(run) {
  const { opens_at: opens } = run;
  const live = run.status === "queued" || run.status === "running";
  const graph = run.lines.findLast(({ graph: own }) => own)?.graph ?? null;
  return {
    at: live ? Math.max(0, lastStep(run)) : (opens?.step ?? 0),
    phase: live ? "backward" : (opens?.phase ?? "backward"),
    ran: null,
    pass: null,
    apart: lastStep(run) < 0 ? graph : null, // without a step, the graph of the value that was displayed last
  };
}

// Compute what had run at the playhead. The server follows the same rules (`app/web/pages/playhead.py`).

import { PHASES } from "../leaves/types.js";

/** @import {Cell, Phase, Run, Step} from "../leaves/types.js" */
/** @import {State} from "./state.js" */

/** Return the last phase in which a step has lines. @param {Step} step @returns {Phase} */
export const lastPhase = ({ lines }) => PHASES.findLast((phase) => phase === "backward" || lines[phase]?.length) ?? "backward";

/**
 * Return whether a phase of a step lies at the playhead or before it.
 *
 * @param {Step} step
 * @param {Phase} at     the playhead's phase
 * @param {Phase} phase
 */
export const reached = (step, at, phase) => {
  const [here, end] = [at, lastPhase(step)].map((each) => PHASES.indexOf(each));
  return PHASES.indexOf(phase) <= Number(here) || Number(here) >= Number(end);
};

/**
 * Return whether the playhead is at the end of the recording, where the program had finished or failed.
 *
 * @param {Pick<State, "run" | "step" | "phase" | "ran">} state
 */
export function atEnd({ run, step, phase, ran }) {
  const last = run ? run.steps - 1 + Number(run.unfinished) : -1;
  if (last < 0) return true;
  if (!step || step.index < last) return false;
  return reached(step, phase, "update") && (phase !== "backward" || ran === null);
}

/**
 * Return the cells that had finished at the playhead. A cell has finished once a later cell has begun, or once none of its
 * lines runs again.
 *
 * @param {Pick<State, "run" | "step" | "phase" | "ran">} state
 * @returns {Set<Cell>}
 */
export function cellsOver({ run, step, ...playhead }) {
  const cells = run?.cells ?? [];
  if (!run || !step || atEnd({ run, step, ...playhead })) return new Set(cells);
  const during = playhead.phase === "backward" && playhead.ran !== null && step.passes.length === 1; // the pass is not over
  /** Return whether a line has run, and whether it has run for the last time. @param {{line: number, step: number | null}} entry */
  const state = ({ line, step: last }) => {
    const own = step.values[line];
    const waits = during && own?.phase === "backward" && line !== step.passes[0]?.line;
    const ran = own ? reached(step, playhead.phase, own.phase) && !waits : Boolean(step.earlier[line]);
    return { ran, over: ran && last !== null && last <= step.index };
  };
  const states = cells.map(({ start_line, end_line }) =>
    run.lines.filter(({ file, line }) => file === null && start_line <= line && line <= end_line).map(state),
  );
  const begun = states.findLastIndex((lines) => lines.some(({ ran }) => ran));
  return new Set(cells.filter((_, i) => i < begun || (i === begun && states[i]?.every(({ over }) => over))));
}

/**
 * Return the lines of the loop that a step is an iteration of, with its head; null outside of loops.
 *
 * @param {Run} run
 * @param {Step} step
 * @returns {[first: number, last: number] | null}
 */
export function loopOf({ program }, { iteration }) {
  if (!iteration) return null;
  const lines = program.split("\n");
  const indent = (/** @type {number} */ line) => (lines[line - 1] ?? "").search(/\S/);
  const own = indent(iteration.line);
  let last = iteration.line;
  for (let line = last + 1; line <= lines.length; line++) {
    const deep = indent(line);
    if (deep > own) last = line;
    else if (deep >= 0 && !/^\s*[)\]}#]/.test(lines[line - 1] ?? "")) break;
  }
  return [iteration.line, last];
}

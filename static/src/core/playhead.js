// Tell what has come to pass where the playhead stands.

import { PHASES } from "../leaves/types.js";

/** @import {Cell, Phase, Run, Step} from "../leaves/types.js" */
/** @import {State} from "./state.js" */

/** The phase that a step ends with: the last one that it has lines in. @param {Step} step @returns {Phase} */
export const lastPhase = ({ lines }) => PHASES.findLast((phase) => phase === "backward" || lines[phase]?.length) ?? "backward";

/**
 * Whether a phase of a step lies at the playhead or before it.
 *
 * @param {Step} step
 * @param {Phase} at     of the playhead
 * @param {Phase} phase
 */
export const reached = (step, at, phase) => {
  const [here, end] = [at, lastPhase(step)].map((each) => PHASES.indexOf(each));
  return PHASES.indexOf(phase) <= Number(here) || Number(here) >= Number(end);
};

/**
 * Whether the playhead stands where the recording ends: there the program had run to its end, or to its error.
 *
 * @param {Pick<State, "run" | "step" | "phase" | "ran">} state
 */
export function atEnd({ run, step, phase, ran }) {
  if (!run?.steps) return true;
  if (!step || step.index < run.steps - 1) return false;
  return reached(step, phase, "update") && (phase !== "backward" || ran === null);
}

/**
 * Which cells had run to their end where the playhead stands: those after which another had begun, or of which no line was
 * still to run.
 *
 * @param {Pick<State, "run" | "step" | "phase" | "ran">} state
 * @returns {Set<Cell>}
 */
export function cellsOver({ run, step, ...place }) {
  const cells = run?.cells ?? [];
  if (!run || !step || atEnd({ run, step, ...place })) return new Set(cells);
  /** Whether a line had run, and whether it was never to run again. @param {{line: number, step: number | null}} told */
  const state = ({ line, step: last }) => {
    const own = step.values[line];
    const ran = own ? reached(step, place.phase, own.phase) : Boolean(step.earlier[line]);
    return { ran, over: ran && last !== null && last <= step.index };
  };
  const told = cells.map(({ start_line, end_line }) =>
    run.lines.filter(({ file, line }) => file === null && start_line <= line && line <= end_line).map(state),
  );
  const begun = told.findLastIndex((lines) => lines.some(({ ran }) => ran));
  return new Set(cells.filter((_, i) => i < begun || (i === begun && told[i]?.every(({ over }) => over))));
}

/**
 * The lines of the loop that a step stands in, its head included; null where it stands in none.
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

// Say what the playground knows: the recording that is shown, and the place that is looked at.

/** @import {Graph, NodeDetail, Phase, Run, Step} from "../leaves/types.js" */

/**
 * What the server wrote into the page.
 *
 * @typedef {object} Given
 * @property {string} root            the path under which a proxy serves us
 * @property {string} api             path of the API
 * @property {boolean} home           the first visit, not a saved run
 * @property {Run | null} run
 * @property {Step | null} step
 * @property {Graph | null} graph
 * @property {boolean} svg_inline
 * @property {string | null} node
 * @property {string} program
 * @property {{wall_seconds: number, source_bytes: number, body_bytes: number}} limits
 * @property {number} keep_days
 * @property {unknown} legend
 * @property {string} mode
 * @property {Example[]} examples
 *
 * @typedef {{slug: string, title: string, summary: string, program: string}} Example
 * @typedef {"TB" | "BT" | "LR"} Direction
 */

/**
 * @typedef {object} State
 * @property {Run | null} run                     the recording shown
 * @property {boolean} edited                     the text is no longer what was run
 * @property {{id: string | null, since: number, steps: number, stopping?: boolean} | null} busy    a program runs
 * @property {boolean} settled                    the run's picture is here; until then an earlier one is shown
 * @property {{title: string, detail: string} | null} trouble    the last thing asked for got no run
 *
 * @property {number} at                          index of the step looked at
 * @property {Phase} phase                        where in the step the playhead stands
 * @property {string | null} node                 the selected node
 * @property {number | null} pass                 a pass other than the step's main one
 * @property {string | null} apart                the graph of a displayed tensor, looked at instead of a pass
 * @property {Direction} direction
 *
 * @property {Step | null} step                   what the server told of the place looked at, once it has
 * @property {Graph | null} graph
 * @property {string | null} picture              its SVG
 * @property {string | null} absent               why there is no picture
 * @property {NodeDetail | null} detail
 * @property {boolean} asking                     the detail is still to be completed
 * @property {NodeDetail | null} origin           of the one operation that a leaf's gradient comes from
 * @property {readonly (number | null)[] | null} losses    of every step
 */

/** @type {State} */
export const EMPTY = {
  run: null,
  edited: false,
  busy: null,
  settled: true,
  trouble: null,
  at: 0,
  phase: "backward",
  node: null,
  pass: null,
  apart: null,
  direction: "TB",
  step: null,
  graph: null,
  picture: null,
  absent: null,
  detail: null,
  asking: false,
  origin: null,
  losses: null,
};

/** The pass looked at, if one is. @param {Pick<State, "step" | "pass" | "apart">} state */
export function shownPass(state) {
  const { step, pass, apart } = state;
  if (apart || !step) return null;
  return (
    step.passes.find(({ index }) => index === pass) ??
    step.passes.find(({ index }) => index === step.main) ??
    step.passes[0] ??
    null
  );
}

/** Has the program of the run come to its end? @param {Run | null} run */
export const ended = (run) => run !== null && run.status !== "queued" && run.status !== "running";

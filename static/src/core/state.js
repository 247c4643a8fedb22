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
 * @property {import("../leaves/edge-style.js").Legend} legend
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
 * @property {Busy | null} busy                   a program runs
 * @property {boolean} settled                    the run's picture is here; until then an earlier one is shown
 * @property {{title: string, detail: string} | null} trouble    the last thing asked for got no run
 *
 * @property {number} at                          index of the step looked at
 * @property {Phase} phase                        where in the step the playhead stands
 * @property {number | null} ran                  how many nodes the engine has run in a backward phase; null is all of them
 * @property {string | null} node                 the selected node
 * @property {number | null} pass                 a pass other than the step's main one
 * @property {string | null} apart                the graph of a displayed tensor, looked at instead of a pass
 * @property {Direction} direction
 *
 * @property {Step | null} step                   what the server told of the place looked at, once it has
 * @property {Graph | null} graph
 * @property {Picture | null} picture             of the graph, at some pass of the same form
 * @property {string | null} absent               why there is no picture
 * @property {NodeDetail | null} detail
 * @property {boolean} asking                     the detail is still to be completed
 * @property {NodeDetail | null} origin           of the one operation that a leaf's gradient comes from
 *
 * @property {boolean} playing
 * @property {Speed} speed
 * @property {number} pace                        milliseconds in which what moves comes to rest; 0 where nothing is to move
 * @property {boolean} logarithmic                losses and charts have a logarithmic scale
 * @property {Tab} tab                            what stands beside the deck
 * @property {string | null} parameter            id of the one whose curves these are, or were last
 * @property {string | null} over                 elements of parameters over which the loss is shown, if chosen by hand
 * @property {Curves | null} curves               of the run shown
 * @property {string | null} compare              id of a run that is to be compared with it
 * @property {{run: Run, curves: Curves} | null} other    that run, once it is here
 */

/**
 * @typedef {"curves" | "loss" | "optimizer"} Tab
 * @typedef {1 | 2 | 4 | 0.5 | "steps"} Speed     times as fast; or from step to step
 *
 * @typedef {object} Busy
 * @property {string | null} id
 * @property {number} since
 * @property {{done: number, of: number | null}} progress     in steps
 * @property {boolean} [stopping]
 *
 * @typedef {object} Picture
 * @property {string} svg
 * @property {string} structure                   pictures of the same structure have everything in the same place
 * @property {string} form                        and those of the same form differ in numbers only
 *
 * @typedef {object} Curves                       numbers over steps
 * @property {readonly number[]} index            steps, ascending
 * @property {Readonly<Record<string, readonly (number | null)[]>>} values    by key; null where a step has none
 */

/** @typedef {Pick<State, "at" | "phase" | "ran" | "node" | "pass" | "apart" | "direction" | "logarithmic" | "tab" | "parameter" | "over" | "compare">} Place */

/** The place that an address without a word means. @type {Readonly<Place>} */
export const START = {
  at: 0,
  phase: "backward",
  ran: null,
  node: null,
  pass: null,
  apart: null,
  direction: "TB",
  logarithmic: false,
  tab: "curves",
  parameter: null,
  over: null,
  compare: null,
};

/** @type {State} */
export const EMPTY = {
  ...START,
  run: null,
  edited: false,
  busy: null,
  settled: true,
  trouble: null,
  step: null,
  graph: null,
  picture: null,
  absent: null,
  detail: null,
  asking: false,
  origin: null,
  playing: false,
  speed: 1,
  pace: 0,
  curves: null,
  other: null,
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

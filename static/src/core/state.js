// Define the playground's state: the shown recording, and the view of it that the address mirrors.

/** @import {Graph, MapSeries, NodeDetail, Pass, Phase, Run, Scalar, Step} from "../leaves/types.js" */

/**
 * The data that the server wrote into the page.
 *
 * @typedef {object} Given
 * @property {string} root            the path under which a proxy serves the app
 * @property {string} api             path of the API
 * @property {boolean} home           the first visit, not a saved run
 * @property {string | null} example  slug of the example that the address names
 * @property {string | null} recording   id of the recording of the example, which may not be made yet
 * @property {Run | null} run
 * @property {Step | null} step
 * @property {Phase} phase            the phase that the page was written for
 * @property {Graph | null} graph
 * @property {boolean} svg_inline
 * @property {string | null} node
 * @property {string} program
 * @property {{wall_seconds: number, source_bytes: number, body_bytes: number}} limits
 * @property {number} keep_days
 * @property {import("../leaves/edge-style.js").Legend} legend
 * @property {string} mode
 * @property {boolean} framed         other pages may show a run in a frame
 *
 * @typedef {"TB" | "BT" | "LR"} Direction
 * @typedef {"nodes" | "groups" | "graph" | "rows"} Layout    a card for each node, or a map, of which `graph` and `rows` are two layouts
 */

/**
 * @typedef {object} State
 * @property {Run | null} run                     the recording shown
 * @property {boolean} edited                     the text differs from the program that was run
 * @property {Busy | null} busy                   the program in progress
 * @property {boolean} recording                  the page waits for the recording of its example
 * @property {Coming | null} coming               the recording that is loading; until it is loaded, the earlier one is shown
 * @property {Trouble | null} trouble             why the last request failed
 *
 * @property {import("./instant.js").Instant | null} wanted    the instant that is loading; null if it is shown
 * @property {number} at                          index of the step at the playhead
 * @property {Phase} phase                        phase at the playhead
 * @property {number | null} ran                  how many nodes the engine has run in a backward phase; null means all
 * @property {string | null} node                 the selected node
 * @property {number | null} pass                 a pass other than the step's main one
 * @property {string | null} apart                the graph of a displayed tensor, shown instead of a pass
 * @property {Direction} direction
 * @property {"full" | "compact"} density          size of the cards: compact ones have their numbers in one row, for a presentation
 * @property {string | null} view                 the open groups of a map; null for the view that the server chooses
 * @property {Layout | null} layout               how the graph is laid out; null for the way that the server chooses first
 * @property {string | null} viewOf               the graph that `view` was chosen for; null if it came with the address
 * @property {"graph" | "models"} pane            whether the graph is shown, or the modules as rows
 *
 * @property {Step | null} step                   the step at the playhead
 * @property {Graph | null} graph
 * @property {Picture | null} picture             a picture of the graph, drawn for some pass of the same form
 * @property {string | null} absent               why there is no picture
 * @property {string | null} target               the selected node, when the picture has to bring it into view
 * @property {string | null} goal                 the group of a map that the picture has to bring into view
 * @property {NodeDetail | null} detail           detail of the selected node
 * @property {boolean} asking                     the rest of the detail is loading
 * @property {NodeDetail | null} origin           detail of the only operation that a leaf's gradient comes from
 *
 * @property {ReadonlyMap<string, "right" | "wrong">} verdicts    of the checked nodes of the shown pass, by id
 * @property {readonly number[]} stops            numbers of nodes after which a box of the shown map has run, ascending
 * @property {boolean} playing
 * @property {Speed} speed
 * @property {number} pace                        milliseconds that an animation takes; 0 for none
 * @property {boolean} logarithmic                losses and charts have a logarithmic scale
 * @property {Tab} tab                            the pane beside the deck
 * @property {string | null} parameter            id of the parameter whose curves are shown, or were shown last
 * @property {string | null} over                 elements of parameters on the axes of the loss pane, if chosen by hand
 * @property {Curves | null} curves               curves of the shown run
 * @property {string | null} compare              id of the run to compare with
 * @property {{run: Run, curves: Curves} | null} other    the run to compare with, once it is loaded
 */

/** @typedef {Partial<State> & {run: Run}} Coming    the fields that change, all at once, when another recording is shown */

/**
 * @typedef {object} Trouble
 * @property {string} title
 * @property {string} detail
 * @property {number | "new"} [retry]             seconds until the program can be run again, or "new" for a new run
 *
 * @typedef {"curves" | "loss" | "optimizer" | "watch"} Tab
 * @typedef {1 | 2 | 4 | 0.5 | "steps"} Speed     multiple of the normal speed, or whole steps
 *
 * @typedef {object} Busy
 * @property {string | null} id
 * @property {number} since
 * @property {{done: number, of: number | null}} progress     in steps
 * @property {{position: number, seconds: number} | null} [queue]    while the program waits for its turn
 * @property {boolean} [stopping]
 * @property {boolean} [slow]                     it has run for a while
 *
 * @typedef {object} Picture
 * @property {string} svg
 * @property {string} structure                   pictures of the same structure have the same layout
 * @property {string} form                        pictures of the same structure and form differ in numbers only
 * @property {boolean} map                        the graph is shown as groups, of which a view opens a few
 * @property {string | null} view                 the address of the view that a map shows
 * @property {Layout | null} layout               how a map is laid out, or `nodes` if a card for each node was asked for
 * @property {boolean} whole                      the graph can be drawn with a card for each node
 * @property {MapFigures | null} figures          the numbers of a map in the shown pass; null if the picture has them
 *
 * The numbers of a map in one pass. A norm is null if it was not recorded.
 *
 * @typedef {object} MapFigures
 * @property {Map<string, BoxFigures>} boxes      by the id of the box
 * @property {Map<string, Scalar | null>} edges   by the ids of its boxes, separated by a newline
 * @property {Map<string, Scalar | null>} leaves  by node
 *
 * @typedef {object} BoxFigures
 * @property {Scalar | null} arrives
 * @property {Scalar | null} passedOn
 * @property {Scalar | null} parameters
 * @property {MapSeries | null} series
 * @property {readonly [number, number] | null} ran
 *
 * @typedef {object} Curves                       numbers over steps
 * @property {readonly number[]} index            steps, ascending
 * @property {Readonly<Record<string, readonly (number | null)[]>>} values    by key; null where a step has none
 */

/** @typedef {Pick<State, "at" | "phase" | "ran" | "node" | "pass" | "apart" | "direction" | "density" | "view" | "layout" | "pane" | "logarithmic" | "tab" | "parameter" | "over" | "compare">} View    the part of the state that the address mirrors */

/** The view of an address without a query. @type {Readonly<View>} */
export const START = {
  at: 0,
  phase: "backward",
  ran: null,
  node: null,
  pass: null,
  apart: null,
  direction: "TB",
  density: "full",
  view: null,
  layout: null,
  pane: "graph",
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
  recording: false,
  edited: false,
  busy: null,
  coming: null,
  trouble: null,
  wanted: null,
  step: null,
  graph: null,
  picture: null,
  absent: null,
  viewOf: null,
  target: null,
  goal: null,
  detail: null,
  asking: false,
  origin: null,
  verdicts: new Map(),
  stops: [],
  playing: false,
  speed: 1,
  pace: 0,
  curves: null,
  other: null,
};

/** Return the shown pass, or null. @param {Pick<State, "step" | "pass" | "apart">} state */
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

/** Return how many nodes the engine ran in a pass. @param {Pass | null} pass */
export const ranIn = (pass) => (pass ? pass.order.length + (pass.omitted?.["order"] ?? 0) : 0);

/** Return whether the program of a run has ended. @param {Run | null} run */
export const ended = (run) => run !== null && run.status !== "queued" && run.status !== "running";

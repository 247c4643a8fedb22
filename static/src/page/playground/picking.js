// Find what a person means who points at a line, at a place in it, or in a direction.

import { back, siblings, named, nodeAt, onward } from "../../core/graph-queries.js";

/** @import {State} from "../../core/state.js" */

/**
 * What a line made, or what stands at a place in it: a node of the graph that is shown, else the graph of a displayed tensor.
 *
 * @param {State} state
 * @param {number} line
 * @param {number | null} column
 * @param {string | null} word  at that place
 * @returns {{node?: string, graph?: string}}
 */
export function meant({ graph, run, edited, apart }, line, column, word) {
  if (!run || edited) return {};
  const node = graph && ((word && named(graph, word)) || nodeAt(graph, line, column));
  if (node) return { node: node.id };
  const own = column === null && run.lines.find((each) => each.file === null && each.line === line)?.graph;
  return own && own !== apart ? { graph: own } : {};
}

/** The keys along the gradient, against it, and to the next node beside, for where the loss stands. */
const WALKS = /** @type {const} */ ({
  TB: ["ArrowDown", "ArrowUp", "ArrowRight"],
  BT: ["ArrowUp", "ArrowDown", "ArrowRight"],
  LR: ["ArrowRight", "ArrowLeft", "ArrowDown"],
});

/** The node that an arrow key leads to. @param {State} state @param {string} node @param {string} key */
export function neighbour({ graph, direction }, node, key) {
  if (!graph) return null;
  const [along, against, aside] = WALKS[direction];
  if (key === along) return onward(graph, node)[0] ?? null;
  if (key === against) return back(graph, node)[0] ?? null;
  const side = siblings(graph, node);
  return side[side.indexOf(node) + (key === aside ? 1 : -1)] ?? null;
}

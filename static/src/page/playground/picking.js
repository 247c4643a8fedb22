// Find the node that a click in the editor, or an arrow key in the graph, leads to.

import { back, siblings, named, nodeAt, onward } from "../../core/graph-queries.js";

/** @import {State} from "../../core/state.js" */

/**
 * Return the node that a line, or a word in it, refers to. If the shown graph has none, return the graph of a displayed tensor.
 *
 * @param {State} state
 * @param {number} line
 * @param {number | null} column
 * @param {string | null} word  the word at that column
 * @returns {{node?: string, graph?: string}}
 */
export function picked({ graph, run, edited, apart }, line, column, word) {
  if (!run || edited) return {};
  const node = graph && ((word && named(graph, word)) || nodeAt(graph, line, column));
  if (node) return { node: node.id };
  const own = column === null && run.lines.find((each) => each.file === null && each.line === line)?.graph;
  return own && own !== apart ? { graph: own } : {};
}

/** The keys that lead along the gradient, against it, and to the next sibling, by the graph's direction. */
const WALKS = /** @type {const} */ ({
  TB: ["ArrowDown", "ArrowUp", "ArrowRight"],
  BT: ["ArrowUp", "ArrowDown", "ArrowRight"],
  LR: ["ArrowRight", "ArrowLeft", "ArrowDown"],
});

/** Return the node that an arrow key leads to, or null. @param {State} state @param {string} node @param {string} key */
export function neighbour({ graph, direction }, node, key) {
  if (!graph) return null;
  const [along, against, aside] = WALKS[direction];
  if (key === along) return onward(graph, node)[0] ?? null;
  if (key === against) return back(graph, node)[0] ?? null;
  const side = siblings(graph, node);
  return side[side.indexOf(node) + (key === aside ? 1 : -1)] ?? null;
}

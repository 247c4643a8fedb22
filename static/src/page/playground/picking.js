// Find the node that a click in the editor refers to.

import { named, nodeAt } from "../../core/graph-queries.js";

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

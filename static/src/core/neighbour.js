// Find the node that an arrow key leads to from a node of a graph.

import { back, onward, siblings } from "./graph-queries.js";

/** @import {State} from "./state.js" */

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

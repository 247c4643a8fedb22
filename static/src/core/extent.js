// Decide whether the reader can choose between a map of groups and a card for every node.

/** @import {Graph} from "../leaves/types.js" */
/** @import {Picture} from "./state.js" */

const FEW = 18; // nodes up to which a graph without modules has no groups worth a map, as in `app/drawing/readable.py`

/**
 * Return whether a graph can be drawn in both ways, and a map of it would have groups that a reader knows.
 *
 * @param {Picture | null} picture
 * @param {Graph | null} graph
 */
export function offersBoth(picture, graph) {
  if (!picture?.whole || !graph) return false;
  return picture.map || graph.nodes.length > FEW || graph.nodes.some(({ module }) => module !== "");
}

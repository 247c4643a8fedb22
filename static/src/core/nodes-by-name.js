// Find a node by the name that a lesson gives it: its variable, else its source text.

import { sourceOf } from "./graph-queries.js";

/** @import {Graph} from "../leaves/types.js" */

/** @param {string | null} text */
const bare = (text) => (text ?? "").replace(/\s+/g, "").replace(/^\((.*)\)$/, "$1");

/**
 * Return the id of the node with a name, or null. Of several nodes with the same variable, the last one is meant.
 *
 * @param {Graph} graph
 * @param {string} program
 * @param {string} name
 */
export function nodeByName(graph, program, name) {
  const named = graph.nodes.filter((node) => node.name === name);
  const latest = named.sort((one, other) => (other.line ?? 0) - (one.line ?? 0))[0];
  if (latest) return latest.id;
  const wanted = bare(name);
  return graph.nodes.find((node) => bare(sourceOf(node, program)) === wanted)?.id ?? null;
}

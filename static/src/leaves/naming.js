// Name nodes as a person would.

/** @import {GraphNode} from "./types.js" */

/** The title of a node: the tensor's own name for a leaf or a constant, else the operation. @param {GraphNode} node */
export const title = (node) => (node.kind === "op" ? node.op : (node.name ?? node.op));

/** What a node's value is called in a sentence: its variable, else its text, else the operation. @param {GraphNode} node @param {string | null} source */
export const called = (node, source) => node.name ?? (source && source.length <= 18 ? source : node.op);

/** @param {number} n  from 1 */
export function ordinal(n) {
  const tail = n % 100 >= 11 && n % 100 <= 13 ? "th" : (["th", "st", "nd", "rd"][n % 10] ?? "th");
  return `${n}${tail}`;
}

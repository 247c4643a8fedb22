// Name nodes as a person would.

/** @import {GraphNode} from "./types.js" */

/**
 * What the person wrote, as on the picture's cards: `y_pred = m * x`, `y_pred - y`, `m`; else the class.
 *
 * @param {GraphNode} node
 * @param {string | null} source  the text that the node was made by
 */
export function title({ kind, name, module, op }, source) {
  if (kind === "leaf") return name ?? "leaf";
  if (kind === "constant") return name ?? source ?? "constant";
  if (name && source && name !== source) return `${name} = ${source}`;
  return name ?? (module || source || op);
}

/**
 * The same in at most so many characters: all of it, else the variable, else the class.
 *
 * @param {GraphNode} node
 * @param {string | null} source
 * @param {number} room
 */
export function called(node, source, room) {
  const whole = title(node, source);
  return whole.length <= room ? whole : (node.name ?? node.op);
}

/** @param {number} n  from 1 */
export function ordinal(n) {
  const tail = n % 100 >= 11 && n % 100 <= 13 ? "th" : (["th", "st", "nd", "rd"][n % 10] ?? "th");
  return `${n}${tail}`;
}

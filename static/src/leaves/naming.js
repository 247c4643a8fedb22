// Name nodes and positions for people.

/** @import {GraphNode} from "./types.js" */

/** The start of an assignment such as `y += 1`, whose text has the name already. */
const UPDATE = /^[\w.[\]]+ *(?:[-+*\/%@&|^]|\/\/|\*\*|<<|>>)=/;

/**
 * Return a node's title, as on the picture's cards: its source (`y_pred = m * x`, `y_pred - y`, `m`), else its class.
 *
 * @param {GraphNode} node
 * @param {string | null} source  the source text that created the node
 */
export function title({ kind, name, module, op }, source) {
  if (kind === "leaf") return name ?? "leaf";
  if (kind === "constant") return name ?? source ?? "constant";
  if (name && source && name !== source) return UPDATE.test(source) ? source : `${name} = ${source}`;
  return name ?? (module || source || op);
}

/**
 * Return a node's title if it fits, else its variable's name, else its class.
 *
 * @param {GraphNode} node
 * @param {string | null} source
 * @param {number} room  maximum characters of the title
 */
export function shortTitle(node, source, room) {
  const whole = title(node, source);
  return whole.length <= room ? whole : (node.name ?? node.op);
}

/** Return `1st`, `2nd`, `3rd` and so on. @param {number} n  from 1 */
export function ordinal(n) {
  const tail = n % 100 >= 11 && n % 100 <= 13 ? "th" : (["th", "st", "nd", "rd"][n % 10] ?? "th");
  return `${n}${tail}`;
}

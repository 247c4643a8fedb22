// Find and describe the numbers of a curve that are not finite.

import * as format from "../../leaves/format.js";

/**
 * @typedef {object} NonFinite    consecutive steps with the same non-finite number
 * @property {number} value
 * @property {number} first
 * @property {number} last
 * @property {boolean} open     no finite number follows
 */

/**
 * Find the non-finite numbers of a curve.
 *
 * @param {{index: readonly number[], values: readonly (number | null)[]}} curve
 * @returns {NonFinite[]}
 */
export function nonFinite({ index, values }) {
  /** @type {NonFinite[]} */
  const found = [];
  /** @type {NonFinite | null} */
  let now = null;
  for (const [i, value] of values.entries()) {
    if (value === null) continue; // a step of another loss
    const step = index[i] ?? i;
    if (Number.isFinite(value)) now = null;
    else if (now && Object.is(now.value, value)) now.last = step;
    else found.push((now = { value, first: step, last: step, open: false }));
  }
  if (now) now.open = true;
  return found;
}

/** Describe one stretch. @param {NonFinite} stretch */
function describe({ value, first, last, open }) {
  const what = format.number(value);
  if (first === last) return `${what} at step ${first}`;
  return open
    ? `${what} from step ${first} on`
    : `${what} from step ${first} to ${last}`;
}

/** Describe all non-finite numbers of a curve; of many, the first and their count. @param {readonly NonFinite[]} found */
export function summary(found) {
  const [first] = found;
  if (!first || found.length < 3) return found.map(describe).join(", ");
  return `${describe(first)}, and ${found.length - 1} more times`;
}

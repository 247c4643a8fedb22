// Say where the numbers of a curve are not finite.

import * as format from "../../leaves/format.js";

/**
 * @typedef {object} Flaw       steps on end with the same number
 * @property {number} value
 * @property {number} first
 * @property {number} last
 * @property {boolean} open     no finite number follows
 */

/**
 * @param {{index: readonly number[], values: readonly (number | null)[]}} curve
 * @returns {Flaw[]}
 */
export function flaws({ index, values }) {
  /** @type {Flaw[]} */
  const found = [];
  /** @type {Flaw | null} */
  let now = null;
  for (const [i, value] of values.entries()) {
    if (value === null) continue; // a step of another curve
    const step = index[i] ?? i;
    if (Number.isFinite(value)) now = null;
    else if (now && Object.is(now.value, value)) now.last = step;
    else found.push((now = { value, first: step, last: step, open: false }));
  }
  if (now) now.open = true;
  return found;
}

/** @param {Flaw} flaw */
function tell({ value, first, last, open }) {
  const what = format.number(value);
  if (first === last) return `${what} at step ${format.thousands(first)}`;
  return open
    ? `${what} from step ${format.thousands(first)} on`
    : `${what} from step ${format.thousands(first)} to ${format.thousands(last)}`;
}

/** All of a curve's flaws in a few words; of many, how many and the first. @param {readonly Flaw[]} found */
export function words(found) {
  const [first] = found;
  if (!first || found.length < 3) return found.map(tell).join(", ");
  return `${tell(first)}, and ${found.length - 1} more times`;
}

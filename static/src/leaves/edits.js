// Apply edits. Lines count from 1; columns count from 0, in code points as in Python.

/** @import {Edit} from "./types.js" */

/**
 * Return the offset of a line and column in a text, in UTF-16 units.
 *
 * @param {string} text
 * @param {[line: number, column: number]} position
 */
export function offset(text, [line, column]) {
  let start = 0;
  for (let n = 1; n < line; n++) {
    const end = text.indexOf("\n", start);
    if (end < 0) return text.length;
    start = end + 1;
  }
  const end = text.indexOf("\n", start);
  const whole = text.slice(start, end < 0 ? text.length : end);
  return start + units(whole, column);
}

/** Return the length of a line's first `column` code points, in UTF-16 units. @param {string} line @param {number} column */
export const units = (line, column) => [...line].slice(0, column).join("").length;

/** Return a text with edits applied. @param {string} text @param {Edit[]} edits */
export function apply(text, edits) {
  const spans = edits.map((edit) => ({ from: offset(text, edit.start), to: offset(text, edit.end), text: edit.text }));
  spans.sort((a, b) => b.from - a.from);
  return spans.reduce((done, { from, to, text: insert }) => done.slice(0, from) + insert + done.slice(to), text);
}

/**
 * Return the effect of edits, as whole lines removed and added.
 *
 * @param {string} text
 * @param {Edit[]} edits
 * @returns {{line: number, removed: string[], added: string[]}}
 */
export function difference(text, edits) {
  const before = text.split("\n");
  const after = apply(text, edits).split("\n");
  let head = 0;
  while (head < before.length && head < after.length && before[head] === after[head]) head++;
  let tail = 0;
  while (tail < before.length - head && tail < after.length - head && before.at(-1 - tail) === after.at(-1 - tail)) tail++;
  return { line: head + 1, removed: before.slice(head, before.length - tail), added: after.slice(head, after.length - tail) };
}

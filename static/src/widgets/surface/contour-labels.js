// Choose the positions of the labels on a contour's lines.

import * as format from "../../leaves/format.js";

/** @typedef {{x: number, y: number}} Pixel */

const LABELLED = 4; // maximum number of lines with a label
const WIDE = 40; // width of a label with its margins, in pixels
const HIGH = 16; // height of a label, in pixels

/** Format a loss with two significant digits. @param {number} loss */
export function digits(loss) {
  const size = Math.abs(loss);
  return format.number(loss, size >= 10 || size < 0.01 ? (size < 0.01 ? 1 : 0) : size >= 1 ? 1 : size >= 0.1 ? 2 : 3);
}

/**
 * Return positions of labels: where a line is flat, away from the border, the other labels and the trajectory.
 *
 * @param {readonly {loss: number, rings: readonly (readonly Pixel[])[]}[]} lines
 * @param {{left: number, right: number, top: number, bottom: number}} plane
 * @param {readonly Pixel[]} trajectory
 * @returns {{loss: number, x: number, y: number}[]}
 */
export function labelPositions(lines, { left, right, top, bottom }, trajectory) {
  /** @type {{loss: number, x: number, y: number}[]} */
  const found = [];
  const stride = Math.max(1, Math.ceil(lines.length / LABELLED));
  for (const { loss, rings } of lines.filter((_, i) => i % stride === Math.floor(stride / 2))) {
    /** @type {{x: number, y: number, steep: number} | null} */
    let best = null;
    for (const ring of rings)
      for (const [i, { x, y }] of ring.entries()) {
        const [before, after] = [ring[i - 1], ring[i + 1]];
        if (!before || !after || x < left + WIDE / 2 || x > right - WIDE / 2 || y < top + HIGH / 2 || y > bottom - HIGH / 2) continue;
        if ([...found, ...trajectory].some((other) => Math.abs(other.x - x) < WIDE && Math.abs(other.y - y) < HIGH)) continue;
        const steep = Math.abs(after.y - before.y) / (Math.abs(after.x - before.x) || 1e-9);
        if (!best || steep < best.steep) best = { x, y, steep };
      }
    if (best) found.push({ loss, x: best.x, y: best.y });
  }
  return found;
}

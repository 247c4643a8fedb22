// Draw the tangent, whose slope is the gradient, on a linear or logarithmic scale.

import { bent } from "./loss-scale.js";

/** @import {LossPoint} from "./loss-scale.js" */

/**
 * @typedef {object} Plane
 * @property {(value: number) => number} x    pixel of a parameter's value
 * @property {(value: number) => number} y    pixel of a loss
 * @property {number | null} least            the loss at the bottom of a logarithmic scale; null for a linear scale
 *
 * @typedef {[x: number, y: number]} Pixel
 */

const PARTS = 32; // parts of a bent line to each side

/**
 * Return the path of a tangent.
 *
 * @param {Plane} plane
 * @param {{a: number, b: number}} here   the parameter's value and the loss
 * @param {number} slope
 * @param {number} reach                  change of the parameter to each side
 * @param {number} most                   maximum pixels to each side, so that a steep tangent is not longer than a flat one
 */
export function tangent(plane, here, slope, reach, most) {
  const [back, on] = [-reach, reach].map((by) => shortened(side(plane, here, slope, by), most));
  const points = [...(back ?? [])].reverse().concat((on ?? []).slice(1));
  return `M${points.map((point) => point.map((each) => each.toFixed(1)).join(" ")).join("L")}`;
}

/**
 * Return one side of the tangent, from its point of contact. On a logarithmic scale it ends at the bottom of the plot.
 *
 * @param {Plane} plane
 * @param {{a: number, b: number}} here
 * @param {number} slope
 * @param {number} by
 * @returns {Pixel[]}
 */
function side({ x, y, least }, { a, b }, slope, by) {
  /** @type {LossPoint} */
  let far = [a + by, b + slope * by];
  if (least !== null && far[1] < least) {
    const end = Math.min(b, least);
    far = [a + (end - b) / slope, end];
  }
  const points = least === null ? [/** @type {LossPoint} */ ([a, b]), far] : bent([a, b], far, PARTS);
  return points.map(([value, loss]) => [x(value), y(loss)]);
}

/** Return the beginning of a line, at most `most` pixels long. @param {Pixel[]} points @param {number} most @returns {Pixel[]} */
function shortened(points, most) {
  const found = points.slice(0, 1);
  let rest = most;
  for (const [i, [px, py]] of points.slice(1).entries()) {
    const [bx, by] = points[i] ?? [px, py];
    const long = Math.hypot(px - bx, py - by);
    const k = Math.min(1, rest / (long || 1));
    found.push([bx + (px - bx) * k, by + (py - by) * k]);
    rest -= long;
    if (rest <= 0) break;
  }
  return found;
}

// Draw the line whose slope is the gradient, as it looks on the scale of the losses.

import { bent } from "./loss-scale.js";

/** @import {Point} from "./loss-scale.js" */

/**
 * @typedef {object} Plane
 * @property {(value: number) => number} x    pixels of a parameter
 * @property {(value: number) => number} y    and of a loss
 * @property {number | null} least            the loss at the foot of a logarithmic scale
 *
 * @typedef {[x: number, y: number]} Pixel
 */

const PARTS = 32; // to each side, of a line that is bent

/**
 * The path of a tangent.
 *
 * @param {Plane} plane
 * @param {{a: number, b: number}} here   the parameter and the loss
 * @param {number} slope
 * @param {number} reach                  of the parameter, to each side
 * @param {number} most                   pixels, to each side: a steep one is no longer than a flat one
 */
export function tangent(plane, here, slope, reach, most) {
  const [back, on] = [-reach, reach].map((by) => shortened(side(plane, here, slope, by), most));
  const points = [...(back ?? [])].reverse().concat((on ?? []).slice(1));
  return `M${points.map((point) => point.map((each) => each.toFixed(1)).join(" ")).join("L")}`;
}

/**
 * One side of it, from the point where it touches. Where the scale is logarithmic it leaves the plane as it nears zero.
 *
 * @param {Plane} plane
 * @param {{a: number, b: number}} here
 * @param {number} slope
 * @param {number} by
 * @returns {Pixel[]}
 */
function side({ x, y, least }, { a, b }, slope, by) {
  /** @type {Point} */
  let far = [a + by, b + slope * by];
  if (least !== null && far[1] < least) {
    const end = Math.min(b, least);
    far = [a + (end - b) / slope, end];
  }
  const points = least === null ? [/** @type {Point} */ ([a, b]), far] : bent([a, b], far, PARTS);
  return points.map(([value, loss]) => [x(value), y(loss)]);
}

/** The beginning of a way, so many pixels long at most. @param {Pixel[]} points @param {number} most @returns {Pixel[]} */
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

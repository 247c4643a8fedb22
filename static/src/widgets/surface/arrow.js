// Draw labelled arrows over a plot.

import { s } from "../../leaves/dom.js";

const HEAD = 6; // length of the head, in pixels
const WIDE = 4; // width of the head to each side, in pixels
const APART = 12; // pixels between the labels of two arrows
const [HIGH, LOW] = [11, 4]; // pixels of a label above and below its baseline
const LETTER = 5.4; // width of a letter of a label, in pixels

/**
 * @typedef {object} Arrow
 * @property {{x: number, y: number}} from
 * @property {[x: number, y: number]} vector   in pixels
 * @property {string} tone                     CSS class
 * @property {string} label
 */

/**
 * Draw arrows with their labels.
 *
 * @param {readonly Arrow[]} arrows
 * @param {{left: number, right: number, top: number, bottom: number}} plane    the bounds of the labels
 */
export function draw(arrows, { left, right, top, bottom }) {
  /** @type {{x: number, y: number}[]} */
  const labels = [];
  return arrows.map(({ from, vector: [dx, dy], tone, label }) => {
    const long = Math.hypot(dx, dy);
    if (!(long > 0)) return null;
    const [ux, uy] = [dx / long, dy / long];
    const head = Math.min(1, long / HEAD / 2); // a short arrow has a small head
    /** @param {number} along @param {number} aside */
    const point = (along, aside) =>
      `${(from.x + ux * along - uy * aside).toFixed(1)} ${(from.y + uy * along + ux * aside).toFixed(1)}`;
    const back = long - HEAD * head;
    const d = `M${point(0, 0)}L${point(long, 0)}M${point(back, WIDE * head)}L${point(long, 0)}L${point(back, -WIDE * head)}`;
    const tip = { x: from.x + dx + ux * 6, y: from.y + dy + uy * 9 + 3.5 };
    const start = ux >= 0 ? tip.x + LETTER * label.length < right : tip.x - LETTER * label.length < left;
    const position = { x: tip.x, y: Math.max(top + HIGH, Math.min(bottom - LOW, tip.y)) };
    for (const other of labels) if (Math.abs(other.y - position.y) < APART && Math.abs(other.x - position.x) < 80) position.y = other.y + APART;
    labels.push(position);
    return [
      s("path", { class: `arrow ${tone}`, d }),
      s("text", { class: `said ${tone}`, ...position, "text-anchor": start ? "start" : "end" }, label),
    ];
  });
}

// Draw an arrow over a plane, with what it is beside its head.

import { s } from "../../leaves/dom.js";

const HEAD = 6; // pixels of the head, along the arrow,
const WIDE = 4; // and to each side
const APART = 12; // pixels from one arrow's words to another's
const [HIGH, LOW] = [11, 4]; // pixels of words above their line, and below it
const LETTER = 5.4; // pixels of a letter of the words

/**
 * @typedef {object} Arrow
 * @property {{x: number, y: number}} from
 * @property {[x: number, y: number]} way      pixels
 * @property {string} tone                     its class
 * @property {string} words
 */

/**
 * @param {readonly Arrow[]} arrows
 * @param {{left: number, right: number, top: number, bottom: number}} plane    in which the words stay
 */
export function draw(arrows, { left, right, top, bottom }) {
  /** @type {{x: number, y: number}[]} */
  const said = [];
  return arrows.map(({ from, way: [dx, dy], tone, words }) => {
    const long = Math.hypot(dx, dy);
    if (!(long > 0)) return null;
    const [ux, uy] = [dx / long, dy / long];
    const head = Math.min(1, long / HEAD / 2); // a short arrow has a small one
    /** @param {number} along @param {number} aside */
    const point = (along, aside) =>
      `${(from.x + ux * along - uy * aside).toFixed(1)} ${(from.y + uy * along + ux * aside).toFixed(1)}`;
    const back = long - HEAD * head;
    const d = `M${point(0, 0)}L${point(long, 0)}M${point(back, WIDE * head)}L${point(long, 0)}L${point(back, -WIDE * head)}`;
    const tip = { x: from.x + dx + ux * 6, y: from.y + dy + uy * 9 + 3.5 };
    const start = ux >= 0 ? tip.x + LETTER * words.length < right : tip.x - LETTER * words.length < left;
    const place = { x: tip.x, y: Math.max(top + HIGH, Math.min(bottom - LOW, tip.y)) };
    for (const other of said) if (Math.abs(other.y - place.y) < APART && Math.abs(other.x - place.x) < 80) place.y = other.y + APART;
    said.push(place);
    return [
      s("path", { class: `arrow ${tone}`, d }),
      s("text", { class: `said ${tone}`, ...place, "text-anchor": start ? "start" : "end" }, words),
    ];
  });
}

// Compute where a picture is placed in its view when it opens.

const WHOLE = 0.8; // minimum scale for the whole picture when it opens: below it, text of 11 px is hard to read
const FIT = 0.75; // minimum scale of a fitted picture: text of 12 px is then 9 px high
const PART = 1; // scale for a part of the picture; smaller if one side of the picture then fits
const SMALLER = [0.9, FIT]; // scales for a part of the picture with what is beside it
const LARGEST = 1.12; // largest initial scale
const CARD = { wide: 125, high: 40 }; // half the size of a node, in pixels of the picture
const MARGIN = 8; // free pixels around a part of the picture
const BESIDE = 2; // free pixels around the whole picture, which has a border of its own

/** @typedef {{x: number, y: number}} Point */
/** @typedef {{x: number, y: number, width: number, height: number}} Box    in pixels of the picture */
/** @typedef {{across: number, down: number}} Room    size of the view, in pixels */
/** @typedef {{x: number, y: number, k: number}} Placement    `k` is the scale, `x` and `y` where the picture's corner is */
/** @typedef {{root: Point | null, selected: Point | null, lit: readonly Point[], all?: () => readonly Point[]}} Focus    middles of the root, of the selected node, of the nodes in focus, and of all nodes */

/**
 * Show the whole picture if it stays readable, else its full width or the readable part of it, starting at the root.
 *
 * @param {Box} bounds
 * @param {Room} room
 * @param {Point | null} root
 * @returns {Placement | null}  null if the view has no room
 */
export function fitted({ x, y, width, height }, { across, down }, root) {
  const [wide, high] = [(across - 2 * BESIDE) / width, (down - 2 * BESIDE) / height];
  const whole = Math.min(LARGEST, wide, high);
  const k = whole >= FIT ? whole : Math.max(FIT, Math.min(LARGEST, wide));
  if (!Number.isFinite(k) || k <= 0) return null;
  const middle = whole >= FIT ? { x: width / 2, y: height / 2 } : (root ?? { x: width / 2, y: 0 });
  return { k, x: along(k, middle.x - x, width, across) - x * k, y: along(k, middle.y - y, height, down) - y * k };
}

/**
 * Show the whole picture if it is easy to read, else the part around its root, or around the selected node if that is far from it.
 *
 * @param {Box} bounds
 * @param {Room} room
 * @param {Focus} focus
 * @returns {Placement | null}  null if the view has no room
 */
export function settled(bounds, room, { root: first, selected, lit, all = () => lit }) {
  const { x, y, width, height } = bounds;
  const { across, down } = room;
  const fits = [(across - 2 * BESIDE) / width, (down - 2 * BESIDE) / height];
  if (Math.min(LARGEST, ...fits) >= WHOLE || !width) return fitted(bounds, room, first);
  if (lit.length) return together(bounds, room, lit, all());
  const most = Math.max(...fits); // the largest scale at which one of its sides fits
  const k = most < WHOLE ? PART : Math.min(PART, most);
  const root = first ?? { x: width / 2, y: 0 };
  const other = selected ?? root;
  const far = Math.abs(other.x - root.x) * k > across - 2 * (CARD.wide * k + MARGIN) || Math.abs(other.y - root.y) * k > down - 2 * (CARD.high * k + MARGIN);
  const middle = far ? other : root;
  const [left, top] = [along(k, middle.x - x, width, across) - x * k, along(k, middle.y - y, height, down) - y * k];
  // move the selected node into view, unless the root would then be out of view
  const by = nudge(left + other.x * k, left + middle.x * k, across, CARD.wide * k);
  const on = nudge(top + other.y * k, top + middle.y * k, down, CARD.high * k);
  return { k, x: left + by, y: top + on };
}

/**
 * Show nodes together, or the first of them if they do not fit. All nodes beside them are shown if there is a scale for it.
 *
 * @param {Box} bounds
 * @param {Room} room
 * @param {readonly Point[]} middles  of the nodes
 * @param {readonly Point[]} all  middles of all nodes
 * @returns {Placement}
 */
function together({ x, y, width, height }, { across, down }, middles, all) {
  const [first = { x: 0, y: 0 }] = middles;
  const [left, right] = sides(middles);
  const [top, bottom] = [Math.min(...middles.map((each) => each.y)) - CARD.high, Math.max(...middles.map((each) => each.y)) + CARD.high];
  const most = Math.min(PART, (across - 2 * MARGIN) / (right - left), (down - 2 * MARGIN) / (bottom - top));
  const fits = most >= FIT;
  const middle = fits ? { x: (left + right) / 2, y: (top + bottom) / 2 } : first;
  const toTop = (/** @type {number} */ k) => along(k, middle.y - y, height, down) - y * k;
  for (const k of [fits ? most : PART, ...SMALLER].filter((each) => !fits || each <= most)) {
    const [start, end] = sides(all.filter((each) => each.y * k + toTop(k) > 0 && each.y * k + toTop(k) < down));
    if ((end - start) * k <= across - 2 * MARGIN) return { k, x: across / 2 - ((start + end) / 2) * k, y: toTop(k) };
  }
  const k = fits ? most : FIT;
  const toLeft = along(k, middle.x - x, width, across) - x * k;
  return { k, x: toLeft + (fits ? 0 : inward(toLeft + first.x * k, across, CARD.wide * k)), y: toTop(k) };
}

/** Return the left and the right side of nodes. @param {readonly Point[]} middles @returns {[number, number]} */
const sides = (middles) => [Math.min(...middles.map((each) => each.x)) - CARD.wide, Math.max(...middles.map((each) => each.x)) + CARD.wide];

/**
 * Return the middle of a part of a picture, in pixels of the picture.
 *
 * @param {SVGSVGElement | null} picture
 * @param {Element | null} part
 * @returns {Point | null}
 */
export function middleOf(picture, part) {
  if (!part || !picture) return null;
  const own = part.getBoundingClientRect();
  const whole = picture.getBoundingClientRect();
  const k = whole.width / (picture.width.baseVal.value || 1) || 1;
  return { x: (own.x + own.width / 2 - whole.x) / k, y: (own.y + own.height / 2 - whole.y) / k };
}

/** Return the element of a picture around which it opens. @param {ParentNode} picture */
export const rootOf = (picture) => picture.querySelector(".node.root") ?? picture.querySelector(".box");

/** Return the transform of a placement in a style sheet. @param {Placement} placement */
export const transformOf = ({ x, y, k }) => `translate(${x}px,${y}px) scale(${k})`;

/**
 * Return the offset along an axis that centres a point as far as possible without wasting room.
 *
 * @param {number} k      the scale
 * @param {number} point
 * @param {number} size   of the picture
 * @param {number} room   of the view
 */
function along(k, point, size, room) {
  if (size * k <= room - 2 * BESIDE + 0.5) return (room - size * k) / 2;
  return Math.min(MARGIN, Math.max(room - MARGIN - size * k, room / 2 - point * k));
}

/**
 * Return how far to move so that a card comes into view while another one stays in view; 0 if both do not fit.
 *
 * @param {number} middle  of the card
 * @param {number} other  middle of the other card
 * @param {number} room  of the view
 * @param {number} half  half the size of a card
 */
function nudge(middle, other, room, half) {
  const by = inward(middle, room, half);
  return other + by >= half && other + by <= room - half ? by : 0;
}

/**
 * Return how far to move so that a card comes into view.
 *
 * @param {number} middle  of the card
 * @param {number} room  of the view
 * @param {number} half  half the size of a card
 */
function inward(middle, room, half) {
  return Math.max(0, half + MARGIN - middle) + Math.min(0, room - half - MARGIN - middle);
}

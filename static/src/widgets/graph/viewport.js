// Pan and zoom a picture, and choose the part of it that is in view.

import { select } from "d3-selection";
import { zoom, zoomIdentity, zoomTransform } from "d3-zoom";

const WHOLE = 0.8; // minimum scale for the whole picture when it opens: below it, text of 11 px is hard to read
const FIT = 0.75; // minimum scale of a fitted picture: text of 12 px is then 9 px high
const PART = 1; // scale for a part of the picture; smaller if one side of the picture then fits
const LARGEST = 1.12; // largest initial scale
const CARD = { wide: 125, high: 40 }; // half the size of a node, in pixels of the picture
const MARGIN = 8; // free pixels around a part of the picture
const BESIDE = 2; // free pixels around the whole picture, which has a border of its own
const AMID = 32; // pixels that a revealed node stays away from the border of the view, which is faded there
const NEAR = 80; // pixels around the view in which numbers are written at once, because they may grow into the view
const EDGE = 16; // border of the server's pictures, in pixels of the picture

/** @typedef {{x: number, y: number}} Point */
/** @typedef {{x: number, y: number, width: number, height: number}} Box */
/** @typedef {{x: number, y: number, k: number}} Transform    `k` is the scale, `x` and `y` where the picture's corner is */

/**
 * Make a viewport.
 *
 * @param {object} options
 * @param {HTMLElement} options.element         the view
 * @param {HTMLElement} options.frame           the picture, which is moved
 * @param {HTMLElement} options.fades           marks the sides behind which the picture continues
 * @param {() => SVGSVGElement | null} options.svg
 * @param {() => readonly Box[]} options.more   boxes around the picture
 * @param {() => {root: Element | null, selected: Element | null, lit: readonly Element[]}} options.focus  lit: the nodes in focus, which are shown together if the picture does not fit
 * @param {(transform: Transform) => void} options.onmove
 */
export function viewport({ element, frame, fades, svg, more, focus, onmove }) {
  const around = select(element);
  let moved = false; // the user has moved the picture: do not move it again
  let beyond = false; // the picture continues outside of the view

  const behaviour = /** @type {import("d3-zoom").ZoomBehavior<HTMLElement, unknown>} */ (zoom())
    .scaleExtent([0.1, 4])
    .clickDistance(4)
    .filter((event) => {
      if (event.type === "wheel") return !pageScrolls() || event.ctrlKey;
      if (event.type.startsWith("touch")) return !pageScrolls() || beyond || event.touches.length > 1;
      return !event.button;
    })
    .on("zoom", ({ transform, sourceEvent }) => {
      frame.style.transform = `translate(${transform.x}px,${transform.y}px) scale(${transform.k})`;
      if (sourceEvent) moved = true;
      fade(transform);
      onmove(transform);
    });
  around.call(behaviour).on("dblclick.zoom", null);

  /** Return whether the page scrolls past the picture, as on small screens. */
  const pageScrolls = () => matchMedia("(max-width: 760px)").matches;

  /** Return the bounds of the picture with the boxes around it, in pixels of the picture. */
  function bounds() {
    const shown = svg();
    let [left, top, right, bottom] = [0, 0, shown?.width.baseVal.value ?? 0, shown?.height.baseVal.value ?? 0];
    for (const each of more()) {
      [left, top] = [Math.min(left, each.x), Math.min(top, each.y)];
      [right, bottom] = [Math.max(right, each.x + each.width + 2 * EDGE), Math.max(bottom, each.y + each.height + 2 * EDGE)];
    }
    return { x: left, y: top, width: right - left, height: bottom - top };
  }

  /** Fade the sides of the view behind which the picture continues. Only then can touch pan the picture. @param {Transform} transform */
  function fade({ x, y, k }) {
    const { x: left, y: top, width, height } = bounds();
    const by = {
      top: -(y + top * k),
      right: x + (left + width) * k - element.clientWidth,
      bottom: y + (top + height) * k - element.clientHeight,
      left: -(x + left * k),
    };
    const sides = Object.entries(by).filter(([, each]) => each > EDGE * k && !frame.hidden);
    fades.dataset.more = sides.map(([side]) => side).join(" ");
    beyond = sides.length > 0;
    element.classList.toggle("roams", beyond);
  }

  let gliding = 0;
  /** Animate the next move. The style sheet has the transition, and omits it if reduced motion is preferred. */
  function glide() {
    frame.classList.add("gliding");
    clearTimeout(gliding);
    gliding = setTimeout(() => frame.classList.remove("gliding"), 220);
  }

  /** Set scale and position of the picture. @param {number} k @param {number} x @param {number} y @param {boolean} [smooth] */
  function move(k, x, y, smooth = false) {
    if (smooth) glide();
    around.call(behaviour.transform, zoomIdentity.translate(x, y).scale(k));
  }

  /** Move the picture by pixels of the screen. @param {number} dx @param {number} dy */
  function moveBy(dx, dy) {
    const { k } = zoomTransform(element);
    around.call(behaviour.translateBy, dx / k, dy / k);
  }

  /** Show the whole picture if it stays readable, else its full width or the readable part of it, starting at the root. @param
   * {boolean} [smooth] */
  function fit(smooth = false) {
    const { x, y, width, height } = bounds();
    const [across, down] = [element.clientWidth, element.clientHeight];
    const [wide, high] = [(across - 2 * BESIDE) / width, (down - 2 * BESIDE) / height];
    const whole = Math.min(LARGEST, wide, high);
    const k = whole >= FIT ? whole : Math.max(FIT, Math.min(LARGEST, wide));
    if (!Number.isFinite(k) || k <= 0) return;
    const root = whole >= FIT ? { x: width / 2, y: height / 2 } : (middleOf(focus().root) ?? { x: width / 2, y: 0 });
    move(k, along(k, root.x - x, width, across) - x * k, along(k, root.y - y, height, down) - y * k, smooth);
    moved = false;
  }

  /** Show the whole picture if it is easy to read, else the part around its root, or around the selected node if that is far from it. @param {boolean} [smooth] */
  function settle(smooth = false) {
    const { x, y, width, height } = bounds();
    const [across, down] = [element.clientWidth, element.clientHeight];
    const fits = [(across - 2 * BESIDE) / width, (down - 2 * BESIDE) / height];
    if (Math.min(LARGEST, ...fits) >= WHOLE || !width) return fit(smooth);
    const { lit } = focus();
    if (lit.length) return together(lit, smooth);
    const most = Math.max(...fits); // the largest scale at which one of its sides fits
    const k = most < WHOLE ? PART : Math.min(PART, most);
    const { root: first, selected } = focus();
    const root = middleOf(first) ?? { x: width / 2, y: 0 };
    const other = middleOf(selected) || root;
    const far = Math.abs(other.x - root.x) * k > across - 2 * (CARD.wide * k + MARGIN) || Math.abs(other.y - root.y) * k > down - 2 * (CARD.high * k + MARGIN);
    const middle = far ? other : root;
    const [left, top] = [along(k, middle.x - x, width, across) - x * k, along(k, middle.y - y, height, down) - y * k];
    // move the selected node into view, unless the root would then be out of view
    const by = nudge(left + other.x * k, left + middle.x * k, across, CARD.wide * k);
    const on = nudge(top + other.y * k, top + middle.y * k, down, CARD.high * k);
    move(k, left + by, top + on, smooth);
    moved = false;
  }

  /** Show elements together, the first one whole, at the scale for a part of the picture or at a smaller one at which they fit. @param {readonly Element[]} shown @param {boolean} smooth */
  function together(shown, smooth) {
    const { x, y, width, height } = bounds();
    const [across, down] = [element.clientWidth, element.clientHeight];
    const middles = shown.flatMap((each) => middleOf(each) ?? []);
    const [left, right] = [Math.min(...middles.map((each) => each.x)) - CARD.wide, Math.max(...middles.map((each) => each.x)) + CARD.wide];
    const [top, bottom] = [Math.min(...middles.map((each) => each.y)) - CARD.high, Math.max(...middles.map((each) => each.y)) + CARD.high];
    const k = Math.max(FIT, Math.min(PART, (across - 2 * MARGIN) / (right - left), (down - 2 * MARGIN) / (bottom - top)));
    const [toLeft, toTop] = [along(k, (left + right) / 2 - x, width, across) - x * k, along(k, (top + bottom) / 2 - y, height, down) - y * k];
    const [first = { x: 0, y: 0 }] = middles; // if they do not all fit, the first one is whole
    move(k, toLeft + inward(toLeft + first.x * k, across, CARD.wide * k), toTop + inward(toTop + first.y * k, down, CARD.high * k), smooth);
    moved = false;
  }

  /** Return the middle of an element, in pixels of the picture. @param {Element | null} shown @returns {Point | null} */
  function middleOf(shown) {
    const picture = svg();
    if (!shown || !picture) return null;
    const own = shown.getBoundingClientRect();
    const whole = picture.getBoundingClientRect();
    const k = whole.width / (picture.width.baseVal.value || 1) || 1;
    return { x: (own.x + own.width / 2 - whole.x) / k, y: (own.y + own.height / 2 - whole.y) / k };
  }

  /** Return where an element will be in the view once animations have ended. @param {Element} shown */
  function placeOf(shown) {
    const picture = svg();
    const own = shown.getBoundingClientRect();
    const whole = (picture ?? element).getBoundingClientRect();
    const { x, y, k } = zoomTransform(element);
    const scale = picture ? (k * (picture.width.baseVal.value || 1)) / (whole.width || 1) : 1;
    const [left, top] = [x + (own.left - whole.left) * scale, y + (own.top - whole.top) * scale];
    return { left, top, right: left + own.width * scale, bottom: top + own.height * scale };
  }

  return {
    move,
    moveBy,
    fit,
    settle,
    /** Settle again, unless the user has moved the picture. @param {boolean} [smooth] */
    resettle: (smooth) => void (moved || !element.clientWidth || settle(smooth)),
    /** Keep the picture where it is from now on. */
    keep: () => (moved = true),
    transform: () => zoomTransform(element),
    /** Zoom by a factor. @param {number} factor */
    by(factor) {
      moved = true;
      glide();
      around.call(behaviour.scaleBy, factor);
    },
    /** Move a point of the picture to the middle of the view. @param {Point} point */
    centre({ x, y }) {
      moved = true;
      const { k } = zoomTransform(element);
      move(k, element.clientWidth / 2 - x * k, element.clientHeight / 2 - y * k);
    },
    /**
     * Move an element into view.
     *
     * @param {Element} shown
     * @param {boolean} [amid]  move it to the middle of the view, if it has to move and the picture continues
     */
    show(shown, amid = false) {
      const own = placeOf(shown);
      const margin = amid ? AMID : MARGIN;
      if (amid) moved = true; // keep this position when the size of the view changes
      /** @param {number} start @param {number} end @param {number} first @param {number} last  of the view */
      const by = (start, end, first, last) => {
        const least = Math.max(first + margin - start, 0) || Math.min(last - margin - end, 0);
        return least && amid ? (first + last - start - end) / 2 : least;
      };
      const dx = by(own.left, own.right, 0, element.clientWidth);
      const dy = by(own.top, own.bottom, 0, element.clientHeight);
      if (!dx && !dy) return;
      glide();
      moveBy(dx, dy);
    },
    /** Move an element to the middle of the view if it is not in view as a whole, or to its top if it is too large. @param {Element} shown */
    showWhole(shown) {
      const own = placeOf(shown);
      const [across, down] = [element.clientWidth, element.clientHeight];
      const inside = own.top >= 0 && own.bottom <= down && own.left >= 0 && own.right <= across;
      moved = true;
      if (inside) return;
      /** @param {number} start @param {number} end @param {number} room */
      const by = (start, end, room) => (end - start <= room - 2 * AMID ? (room - end + start) / 2 : AMID) - start;
      glide();
      moveBy(by(own.left, own.right, across), by(own.top, own.bottom, down));
    },
    /** Return the part of the picture in view and near it, in pixels of the picture. */
    seen() {
      const { x, y, k } = zoomTransform(element);
      const [left, top] = [-x / k, -y / k];
      const [right, bottom] = [left + element.clientWidth / k, top + element.clientHeight / k];
      return { left: left - NEAR, top: top - NEAR, right: right + NEAR, bottom: bottom + NEAR };
    },
  };
}

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

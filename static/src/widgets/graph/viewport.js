// Pan and zoom a picture, and choose the part of it that is in view.

import { select } from "d3-selection";
import { zoom, zoomIdentity, zoomTransform } from "d3-zoom";
import { fitted, middleOf, settled, transformOf } from "../../leaves/placement.js";

const MARGIN = 8; // free pixels around a node that is moved into view
const AMID = 32; // pixels that a revealed node stays away from the border of the view, which is faded there
const NEAR = 80; // pixels around the view in which numbers are written at once, because they may grow into the view
const EDGE = 16; // border of the server's pictures, in pixels of the picture

/** @import {Box, Placement, Point} from "../../leaves/placement.js" */
/** @typedef {Placement} Transform */

/**
 * Make a viewport.
 *
 * @param {object} options
 * @param {HTMLElement} options.element         the view
 * @param {HTMLElement} options.frame           the picture, which is moved
 * @param {HTMLElement} options.fades           marks the sides behind which the picture continues
 * @param {() => SVGSVGElement | null} options.svg
 * @param {() => readonly Box[]} options.more   boxes around the picture
 * @param {() => {root: Element | null, selected: Element | null, lit: readonly Element[], all: () => readonly Element[]}} options.focus  lit: the nodes in focus, which are shown together if the picture does not fit
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
      frame.style.transform = transformOf(transform);
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

  const room = () => ({ across: element.clientWidth, down: element.clientHeight });
  /** Show the picture at a placement. @param {Placement | null} placement @param {boolean} smooth */
  function place(placement, smooth) {
    if (!placement) return;
    move(placement.k, placement.x, placement.y, smooth);
    moved = false;
  }

  /** Show the whole picture if it stays readable, else a part of it. @param {boolean} [smooth] */
  const fit = (smooth = false) => place(fitted(bounds(), room(), middleOf(svg(), focus().root)), smooth);

  /** Show the whole picture if it is easy to read, else the part that is in focus. @param {boolean} [smooth] */
  function settle(smooth = false) {
    const [picture, { root, selected, lit, all }] = [svg(), focus()];
    const middles = (/** @type {readonly Element[]} */ of) => of.flatMap((each) => middleOf(picture, each) ?? []);
    place(settled(bounds(), room(), { root: middleOf(picture, root), selected: middleOf(picture, selected), lit: middles(lit), all: () => middles(all()) }), smooth);
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
     * @param {boolean} [keep]  keep this position when the size of the view changes
     */
    show(shown, amid = false, keep = amid) {
      const own = placeOf(shown);
      const margin = amid ? AMID : MARGIN;
      if (keep) moved = true;
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

// Show a picture of a graph, to pan and zoom, to point into and to walk with the arrow keys.

import { select } from "d3-selection";
import { zoom, zoomIdentity, zoomTransform } from "d3-zoom";
import { fill, h, widget } from "../leaves/dom.js";
import { morph } from "../leaves/morph.js";

/** @import {Phase} from "../leaves/types.js" */

const WHOLE = 0.72; // below this, 11 px labels are no longer read: show a part instead
const PART = 0.8; // at this scale
const LARGEST = 1.12;
const MARGIN = 8;

/**
 * @param {object} options
 * @param {(node: string) => void} options.onpick
 * @param {(node: string, key: "ArrowUp" | "ArrowDown" | "ArrowLeft" | "ArrowRight") => string | null} options.onwalk  where a key leads
 * @param {(scale: number) => void} options.onzoom
 */
export function graph({ onpick, onwalk, onzoom }) {
  const place = h("div", { class: "picture" });
  const message = h("div", { class: "void", role: "status" });
  const element = h("div", { class: "canvas" }, place, message);
  const around = select(/** @type {HTMLElement} */ (element));
  /** @type {string | null} */
  let selected = null;
  let key = ""; // of the structure that is shown
  let moved = false; // by hand: leave it where it was put

  const behaviour = /** @type {import("d3-zoom").ZoomBehavior<HTMLElement, unknown>} */ (zoom())
    .scaleExtent([0.1, 4])
    .clickDistance(4)
    .filter((event) => {
      if (event.type === "wheel") return !flowing() || event.ctrlKey;
      if (event.type.startsWith("touch")) return !flowing() || event.touches.length > 1;
      return !event.button;
    })
    .on("zoom", ({ transform, sourceEvent }) => {
      place.style.transform = `translate(${transform.x}px,${transform.y}px) scale(${transform.k})`;
      if (sourceEvent) moved = true;
      onzoom(transform.k);
    });
  around.call(behaviour).on("dblclick.zoom", null);

  /** Does the page itself scroll past the picture? */
  const flowing = () => matchMedia("(max-width: 760px)").matches;
  const svg = () => place.querySelector("svg");
  const box = () => {
    const shown = svg();
    return { width: shown?.width.baseVal.value ?? 0, height: shown?.height.baseVal.value ?? 0 };
  };

  let gliding = 0;
  /** Let the next change of place be seen (the sheet says how, and not at all to who wants things to stand still). */
  function glide() {
    place.classList.add("gliding");
    clearTimeout(gliding);
    gliding = setTimeout(() => place.classList.remove("gliding"), 220);
  }

  /** @param {number} k @param {number} x @param {number} y @param {boolean} [smooth] */
  function move(k, x, y, smooth = false) {
    if (smooth) glide();
    around.call(behaviour.transform, zoomIdentity.translate(x, y).scale(k));
  }

  /** The whole picture, however small. @param {boolean} [smooth] */
  function fit(smooth = false) {
    const { width, height } = box();
    const k = Math.min(LARGEST, (element.clientWidth - 2 * MARGIN) / width, (element.clientHeight - 2 * MARGIN) / height);
    if (Number.isFinite(k) && k > 0)
      move(k, (element.clientWidth - width * k) / 2, (element.clientHeight - height * k) / 2, smooth);
    moved = false;
  }

  /** The whole picture where it can be read, else what lies around the selected node. */
  function settle() {
    const { width, height } = box();
    const [across, down] = [element.clientWidth, element.clientHeight];
    const k = Math.min(LARGEST, (across - 2 * MARGIN) / width, (down - 2 * MARGIN) / height);
    if (k >= WHOLE || !width) return fit();
    const scale = PART;
    const middle = centre(selected) ?? { x: width / 2, y: 0 };
    move(scale, along(middle.x, width, across, scale), along(middle.y, height, down, scale));
    moved = false;
  }

  /**
   * Where to put an axis, so that a point is in the middle and no room is wasted.
   *
   * @param {number} point
   * @param {number} size
   * @param {number} room
   * @param {number} k
   */
  function along(point, size, room, k) {
    if (size * k <= room - 2 * MARGIN) return (room - size * k) / 2;
    return Math.min(MARGIN, Math.max(room - MARGIN - size * k, room / 2 - point * k));
  }

  /** @param {string | null} id in the picture's own pixels */
  function centre(id) {
    const shown = id === null ? null : group(id);
    const frame = svg();
    if (!(shown instanceof SVGGElement) || !frame) return null;
    const own = shown.getBoundingClientRect();
    const whole = frame.getBoundingClientRect();
    const k = whole.width / (box().width || 1) || 1;
    return { x: (own.x + own.width / 2 - whole.x) / k, y: (own.y + own.height / 2 - whole.y) / k };
  }

  const groups = () => /** @type {SVGGElement[]} */ ([...place.querySelectorAll("[data-node]")]);
  /** @param {string} id */
  const group = (id) =>
    groups().find((each) => each.dataset.node === id && !each.classList.contains("stub")) ??
    groups().find((each) => each.dataset.node === id) ??
    null;

  /** One tab stop, on the selected node or the first; and the marks of what is selected. */
  function mark() {
    const shown = groups();
    const stop = (selected !== null && group(selected)) || shown[0];
    for (const each of shown) {
      each.classList.toggle("selected", each.dataset.node === selected);
      each.setAttribute("role", "button");
      each.setAttribute("aria-pressed", String(each.dataset.node === selected));
      each.tabIndex = each === stop ? 0 : -1;
    }
    for (const edge of place.querySelectorAll(".edge")) {
      const { source, target } = /** @type {SVGGElement} */ (edge).dataset;
      edge.classList.toggle("touching", selected !== null && (source === selected || target === selected));
    }
  }

  /** Bring a node into view, if it is out of it. @param {string} id */
  function reveal(id) {
    const shown = group(id);
    if (!shown) return;
    const own = shown.getBoundingClientRect();
    const whole = element.getBoundingClientRect();
    const dx = Math.max(whole.left + MARGIN - own.left, 0) || Math.min(whole.right - MARGIN - own.right, 0);
    const dy = Math.max(whole.top + MARGIN - own.top, 0) || Math.min(whole.bottom - MARGIN - own.bottom, 0);
    if (!dx && !dy) return;
    const { k } = zoomTransform(element);
    glide();
    around.call(behaviour.translateBy, dx / k, dy / k);
  }

  element.addEventListener("click", (event) => {
    const hit = /** @type {Element} */ (event.target).closest("[data-node]");
    if (hit instanceof SVGElement && hit.dataset.node) {
      onpick(hit.dataset.node);
      hit.focus({ preventScroll: true });
    }
  });
  element.addEventListener("keydown", (event) => {
    const hit = /** @type {Element} */ (event.target).closest("[data-node]");
    const id = hit instanceof SVGElement ? hit.dataset.node : null;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "+" || event.key === "=") by(1.25);
    else if (event.key === "-") by(0.8);
    else if (event.key === "0") fit(true);
    else if (id && (event.key === "Enter" || event.key === " ")) onpick(id);
    else if (
      id &&
      !event.shiftKey &&
      (event.key === "ArrowUp" || event.key === "ArrowDown" || event.key === "ArrowLeft" || event.key === "ArrowRight")
    ) {
      const next = onwalk(id, event.key);
      if (next !== null) {
        onpick(next);
        group(next)?.focus({ preventScroll: true });
        reveal(next);
      }
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  element.addEventListener("focusin", (event) => {
    const hit = /** @type {Element} */ (event.target).closest("[data-node]");
    if (hit instanceof SVGElement && hit.dataset.node && hit.matches(":focus-visible")) reveal(hit.dataset.node);
  });
  new ResizeObserver(() => {
    if (!moved) settle();
  }).observe(element);

  /** @param {number} factor */
  function by(factor) {
    moved = true;
    glide();
    around.call(behaviour.scaleBy, factor);
  }

  return widget(element, {
    /**
     * Show a picture; one of the same structure takes over new numbers in place.
     *
     * @param {string} text  SVG as the server writes it
     * @param {string} structure
     */
    draw(text, structure) {
      message.hidden = true;
      place.hidden = false;
      const parsed = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
      if (parsed.nodeName !== "svg") return;
      const shown = svg();
      if (shown && structure === key) morph(shown, parsed);
      else fill(place, document.importNode(parsed, true));
      const same = structure === key;
      key = structure;
      mark();
      if (!same) settle();
    },
    /** Take over the picture that the server wrote into the page. @param {Element} picture @param {string} structure */
    adopt(picture, structure) {
      message.hidden = true;
      fill(place, picture);
      key = structure;
      mark();
      settle();
    },
    /** Say why there is no picture. @param {...import("../leaves/dom.js").Child} children */
    say(...children) {
      place.hidden = true;
      message.hidden = false;
      fill(message, ...children);
    },
    /** @param {string | null} node @param {Phase} phase */
    select(node, phase) {
      selected = node;
      element.dataset.phase = phase;
      mark();
    },
    /** Bring the selected node into view. */
    reveal: () => void (selected !== null && reveal(selected)),
    by,
    fit: () => fit(true),
  });
}

// Show a picture of a graph, to pan and zoom, to point into and to walk with the arrow keys.

import { select } from "d3-selection";
import { zoom, zoomIdentity, zoomTransform } from "d3-zoom";
import { fill, h, widget } from "../leaves/dom.js";
import { morph } from "../leaves/morph.js";
import { ink } from "./graph/numbers.js";
import { flow, moves } from "./graph/motion.js";

/** @import {Scale} from "../leaves/edge-style.js" */
/** @import {Rebind} from "../leaves/types.js" */
/** @import {Written} from "./graph/numbers.js" */

const WHOLE = 0.9; // below this, numbers of 11 px are hard to read: show a part of the picture instead,
const PART = 1; // at this scale, or a smaller one at which one of its sides has room
const LARGEST = 1.12;
const CARD = { wide: 125, high: 40 }; // half of a node
const HASTE = 150; // milliseconds: steps that follow each other faster are not shown in transition
const MARGIN = 8;
const NEAR = 80; // pixels of the picture around what is in view: numbers grow longer
const EDGE = 16; // pixels around what the server draws

/**
 * @typedef {{svg: string, structure: string, form: string}} Picture
 * @typedef {Written & {step: number, moves: readonly {from: string, rebind: Rebind}[]}} Scene
 */

/**
 * @param {object} options
 * @param {Scale} options.scale
 * @param {(node: string) => void} options.onpick
 * @param {(node: string, key: "ArrowUp" | "ArrowDown" | "ArrowLeft" | "ArrowRight") => string | null} options.onwalk  where a key leads
 * @param {(scale: number) => void} options.onzoom
 */
export function graph({ scale, onpick, onwalk, onzoom }) {
  const place = h("div", { class: "picture" });
  const message = h("div", { class: "void", role: "status" });
  const fades = h("div", { class: "fades", "aria-hidden": "true" });
  const element = h("div", { class: "canvas" }, place, fades, message);
  const around = select(/** @type {HTMLElement} */ (element));
  /** @type {string | null} */
  let selected = null;
  let chosen = false; // by somebody: it is what the picture begins with, where not all of it has room
  /** @type {Picture | null} */
  let drawn = null;
  let [written, hasty] = [-Infinity, 0];
  let pace = 0; // milliseconds that a gradient takes on its way
  /** @type {ReturnType<typeof ink> | null} */
  let pen = null;
  /** @type {ReturnType<typeof moves> | null} */
  let names = null;
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
      pen?.complete();
      place.style.transform = `translate(${transform.x}px,${transform.y}px) scale(${transform.k})`;
      if (sourceEvent) moved = true;
      fade(transform);
      onzoom(transform.k);
    });
  around.call(behaviour).on("dblclick.zoom", null);

  /** Does the page itself scroll past the picture? */
  const flowing = () => matchMedia("(max-width: 760px)").matches;
  const svg = () => place.querySelector("svg");
  /** What there is to see, in the picture's own pixels: the picture, and what stands beside it since a name has moved. */
  const box = () => {
    const shown = svg();
    const [width, height] = [shown?.width.baseVal.value ?? 0, shown?.height.baseVal.value ?? 0];
    let [left, top, right, bottom] = [0, 0, width, height];
    for (const each of names?.boxes ?? []) {
      [left, top] = [Math.min(left, each.x), Math.min(top, each.y)];
      [right, bottom] = [Math.max(right, each.x + each.width + 2 * EDGE), Math.max(bottom, each.y + each.height + 2 * EDGE)];
    }
    return { x: left, y: top, width: right - left, height: bottom - top };
  };

  /** Let the picture fade out at the sides where there is more of it. @param {import("d3-zoom").ZoomTransform} transform */
  function fade({ x, y, k }) {
    const { x: left, y: top, width, height } = box();
    const beyond = {
      top: -(y + top * k),
      right: x + (left + width) * k - element.clientWidth,
      bottom: y + (top + height) * k - element.clientHeight,
      left: -(x + left * k),
    };
    const sides = Object.entries(beyond).filter(([, by]) => by > EDGE * k && !place.hidden);
    fades.dataset.more = sides.map(([side]) => side).join(" ");
  }

  /** What of the picture is in view, in its own pixels. */
  function view() {
    const { x, y, k } = zoomTransform(element);
    const [left, top] = [-x / k, -y / k];
    const [right, bottom] = [left + element.clientWidth / k, top + element.clientHeight / k];
    return { left: left - NEAR, top: top - NEAR, right: right + NEAR, bottom: bottom + NEAR };
  }

  /** Make ready to write numbers into the picture, as it was drawn anew. */
  function prepare() {
    const shown = svg();
    pen = shown && ink(shown, scale, (shaft, head) => pace && flow(shaft, head, pace));
    names = shown && moves(shown);
  }

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
    const { x, y, width, height } = box();
    const k = Math.min(LARGEST, (element.clientWidth - 2 * MARGIN) / width, (element.clientHeight - 2 * MARGIN) / height);
    if (Number.isFinite(k) && k > 0)
      move(k, (element.clientWidth - width * k) / 2 - x * k, (element.clientHeight - height * k) / 2 - y * k, smooth);
    moved = false;
  }

  /** The whole picture where it can be read, else what lies around its root. @param {boolean} [smooth] */
  function settle(smooth = false) {
    const { x, y, width, height } = box();
    const [across, down] = [element.clientWidth, element.clientHeight];
    const fits = [(across - 2 * MARGIN) / width, (down - 2 * MARGIN) / height];
    if (Math.min(LARGEST, ...fits) >= WHOLE || !width) return fit(smooth);
    const most = Math.max(...fits); // at which one of its sides has room, so that nothing beside is cut off
    const k = most < WHOLE ? PART : Math.min(PART, most);
    const root = middleOf(place.querySelector(".node.root")) ?? { x: width / 2, y: 0 };
    const other = (selected !== null && middleOf(group(selected))) || root;
    const far = Math.abs(other.x - root.x) * k > across - 2 * (CARD.wide * k + MARGIN) || Math.abs(other.y - root.y) * k > down - 2 * (CARD.high * k + MARGIN);
    const middle = chosen && far ? other : root;
    const [left, top] = [along(k, middle.x - x, width, across) - x * k, along(k, middle.y - y, height, down) - y * k];
    // what is selected is in view too, as long as the root is
    const by = nudge(left + other.x * k, left + middle.x * k, across, CARD.wide * k);
    const on = nudge(top + other.y * k, top + middle.y * k, down, CARD.high * k);
    move(k, left + by, top + on, smooth);
    moved = false;
  }

  /**
   * Where to put an axis, so that a point is in the middle and no room is wasted.
   *
   * @param {number} k      the scale
   * @param {number} point
   * @param {number} size
   * @param {number} room
   */
  function along(k, point, size, room) {
    if (size * k <= room - 2 * MARGIN + 0.5) return (room - size * k) / 2;
    return Math.min(MARGIN, Math.max(room - MARGIN - size * k, room / 2 - point * k));
  }

  /**
   * How far to move so that the middle of a card is in view, and that of another does not leave it; 0 where both cannot be.
   *
   * @param {number} place
   * @param {number} other
   * @param {number} room
   * @param {number} half  of a card
   */
  function nudge(place, other, room, half) {
    const by = Math.max(0, half + MARGIN - place) + Math.min(0, room - half - MARGIN - place);
    return other + by >= half && other + by <= room - half ? by : 0;
  }

  /** The middle of a group, in the picture's own pixels. @param {Element | null} shown */
  function middleOf(shown) {
    const frame = svg();
    if (!(shown instanceof SVGGElement) || !frame) return null;
    const own = shown.getBoundingClientRect();
    const whole = frame.getBoundingClientRect();
    const k = whole.width / (frame.width.baseVal.value || 1) || 1;
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
  function show(id) {
    const shown = group(id);
    if (shown) reveal(shown);
  }

  /** @param {Element} shown */
  function reveal(shown) {
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
    // a selected node has been chosen already: there the space bar is left to the deck
    const hit = /** @type {Element} */ (event.target).closest("[data-node]");
    const id = hit instanceof SVGElement ? hit.dataset.node : null;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "+" || event.key === "=") by(1.25);
    else if (event.key === "-") by(0.8);
    else if (event.key === "0") fit(true);
    else if (id && (event.key === "Enter" || (event.key === " " && id !== selected))) onpick(id);
    else if (
      id &&
      !event.shiftKey &&
      (event.key === "ArrowUp" || event.key === "ArrowDown" || event.key === "ArrowLeft" || event.key === "ArrowRight")
    ) {
      const next = onwalk(id, event.key);
      if (next !== null) {
        onpick(next);
        group(next)?.focus({ preventScroll: true });
        show(next);
      }
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  element.addEventListener("focusin", (event) => {
    const hit = /** @type {Element} */ (event.target).closest("[data-node]");
    if (hit instanceof SVGElement && hit.dataset.node && hit.matches(":focus-visible")) show(hit.dataset.node);
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
     * Show a picture; one of the same structure takes the place of the one before without a move.
     *
     * @param {Picture} picture
     */
    draw(picture) {
      message.hidden = true;
      place.hidden = false;
      if (picture === drawn || (picture.structure === drawn?.structure && picture.form === drawn.form)) return;
      const parsed = new DOMParser().parseFromString(picture.svg, "image/svg+xml").documentElement;
      if (parsed.nodeName !== "svg") return;
      const shown = svg();
      const same = picture.structure === drawn?.structure;
      names?.layer.remove();
      if (shown && same) morph(shown, parsed);
      else fill(place, document.importNode(parsed, true));
      drawn = picture;
      prepare();
      mark();
      if (!same) settle();
    },
    /** Take over the picture that the server wrote into the page. @param {Element} element @param {Picture} picture */
    adopt(element, picture) {
      message.hidden = true;
      fill(place, element);
      drawn = picture;
      prepare();
      mark();
      settle();
    },
    /**
     * Write what is true at the playhead into the picture.
     *
     * @param {Scene} scene
     * @param {number} milliseconds  in which what moves comes to rest; 0 where nothing is to move
     */
    write(scene, milliseconds) {
      pace = milliseconds;
      const time = performance.now();
      const haste = time - written < HASTE;
      if (haste) {
        // who drags the playhead sees each step as it is, not on its way from the one before
        element.classList.add("hasty");
        clearTimeout(hasty);
        hasty = setTimeout(() => element.classList.remove("hasty"), 2 * HASTE);
      }
      written = time;
      pen?.write(scene, haste ? view() : null);
      element.dataset.step = String(scene.step); // whose numbers these are, for who looks from outside
      if (!names?.show(scene.moves, milliseconds) || !names.layer.lastElementChild) return;
      if (!moved) settle(true);
      reveal(names.layer.lastElementChild);
    },
    /** Say why there is no picture. @param {...import("../leaves/dom.js").Child} children */
    say(...children) {
      place.hidden = true;
      message.hidden = false;
      fill(message, ...children);
    },
    /** @param {string | null} node @param {boolean} byHand  it is not only where one looks first */
    select(node, byHand) {
      selected = node;
      chosen = byHand;
      mark();
    },
    /** Bring the selected node into view. */
    reveal: () => void (selected !== null && show(selected)),
    by,
    fit: () => fit(true),
  });
}

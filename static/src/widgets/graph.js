// Show the picture of a graph, with pan, zoom, selection, and arrow keys that walk along the edges.

import { select } from "d3-selection";
import { zoom, zoomIdentity, zoomTransform } from "d3-zoom";
import { fill, h, widget } from "../leaves/dom.js";
import { morph } from "../leaves/morph.js";
import { numberWriter } from "./graph/numbers.js";
import { flow, rebindCards } from "./graph/motion.js";

/** @import {EdgeStyle} from "../leaves/edge-style.js" */
/** @import {Rebind} from "../leaves/types.js" */
/** @import {PictureNumbers} from "./graph/numbers.js" */

const WHOLE = 0.9; // minimum scale for the whole picture: below it, text of 11 px is hard to read
const PART = 1; // scale for a part of the picture; smaller if one side of the picture then fits
const LARGEST = 1.12; // largest initial scale
const CARD = { wide: 125, high: 40 }; // half the size of a node, in pixels of the picture
const HASTE = 150; // steps that follow each other within this many milliseconds are shown without transitions
const MARGIN = 8; // free pixels around the picture
const NEAR = 80; // pixels around the view in which numbers are written at once, because they may grow into the view
const EDGE = 16; // border of the server's pictures, in pixels of the picture

/**
 * @typedef {{svg: string, structure: string, form: string}} Picture
 * @typedef {PictureNumbers & {step: number, moves: readonly {from: string, rebind: Rebind}[]}} Scene
 */

/**
 * Make the graph's canvas.
 *
 * @param {object} options
 * @param {EdgeStyle} options.edgeStyle
 * @param {(node: string) => void} options.onpick
 * @param {(view: string) => void} options.onview  open or close a group of a map
 * @param {(node: string, key: "ArrowUp" | "ArrowDown" | "ArrowLeft" | "ArrowRight") => string | null} options.onwalk  the node that a key leads to
 * @param {(scale: number) => void} options.onzoom
 */
export function graph({ edgeStyle, onpick, onview, onwalk, onzoom }) {
  const frame = h("div", { class: "picture" });
  const message = h("div", { class: "void", role: "status" });
  const fades = h("div", { class: "fades", "aria-hidden": "true" });
  const element = h("div", { class: "canvas" }, frame, fades, message);
  const around = select(/** @type {HTMLElement} */ (element));
  /** @type {string | null} */
  let selected = null;
  let chosen = false; // the user selected the node: a picture that does not fit opens around it
  /** @type {Picture | null} */
  let drawn = null;
  let [written, hasty] = [-Infinity, 0];
  let pace = 0; // milliseconds of a gradient's animation along an edge
  /** @type {ReturnType<typeof numberWriter> | null} */
  let pen = null;
  /** @type {ReturnType<typeof rebindCards> | null} */
  let names = null;
  /** The group that is being opened or closed, and where it is on the screen. @type {{id: string, left: number, top: number, focused: boolean} | null} */
  let pinned = null;
  let moved = false; // the user has moved the picture: do not move it again

  const behaviour = /** @type {import("d3-zoom").ZoomBehavior<HTMLElement, unknown>} */ (zoom())
    .scaleExtent([0.1, 4])
    .clickDistance(4)
    .filter((event) => {
      if (event.type === "wheel") return !pageScrolls() || event.ctrlKey;
      if (event.type.startsWith("touch")) return !pageScrolls() || event.touches.length > 1;
      return !event.button;
    })
    .on("zoom", ({ transform, sourceEvent }) => {
      pen?.complete();
      frame.style.transform = `translate(${transform.x}px,${transform.y}px) scale(${transform.k})`;
      if (sourceEvent) moved = true;
      fade(transform);
      onzoom(transform.k);
    });
  around.call(behaviour).on("dblclick.zoom", null);

  /** Return whether the page scrolls past the picture, as on small screens. */
  const pageScrolls = () => matchMedia("(max-width: 760px)").matches;
  const svg = () => frame.querySelector("svg");
  /** Return the bounds of the picture with the cards of reassigned names, in pixels of the picture. */
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

  /** Fade the sides of the view behind which the picture continues. @param {import("d3-zoom").ZoomTransform} transform */
  function fade({ x, y, k }) {
    const { x: left, y: top, width, height } = box();
    const beyond = {
      top: -(y + top * k),
      right: x + (left + width) * k - element.clientWidth,
      bottom: y + (top + height) * k - element.clientHeight,
      left: -(x + left * k),
    };
    const sides = Object.entries(beyond).filter(([, by]) => by > EDGE * k && !frame.hidden);
    fades.dataset.more = sides.map(([side]) => side).join(" ");
  }

  /** Return the part of the picture in view, in pixels of the picture. */
  function view() {
    const { x, y, k } = zoomTransform(element);
    const [left, top] = [-x / k, -y / k];
    const [right, bottom] = [left + element.clientWidth / k, top + element.clientHeight / k];
    return { left: left - NEAR, top: top - NEAR, right: right + NEAR, bottom: bottom + NEAR };
  }

  /** Prepare a new picture for its numbers. */
  function prepare() {
    const shown = svg();
    pen = shown && numberWriter(shown, edgeStyle, (shaft, head) => pace && flow(shaft, head, pace));
    names = shown && rebindCards(shown);
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

  /** Show the whole picture, however small. @param {boolean} [smooth] */
  function fit(smooth = false) {
    const { x, y, width, height } = box();
    const k = Math.min(LARGEST, (element.clientWidth - 2 * MARGIN) / width, (element.clientHeight - 2 * MARGIN) / height);
    if (Number.isFinite(k) && k > 0)
      move(k, (element.clientWidth - width * k) / 2 - x * k, (element.clientHeight - height * k) / 2 - y * k, smooth);
    moved = false;
  }

  /** Show the whole picture if it is readable, else the part around its root. @param {boolean} [smooth] */
  function settle(smooth = false) {
    const { x, y, width, height } = box();
    const [across, down] = [element.clientWidth, element.clientHeight];
    const fits = [(across - 2 * MARGIN) / width, (down - 2 * MARGIN) / height];
    if (Math.min(LARGEST, ...fits) >= WHOLE || !width) return fit(smooth);
    const most = Math.max(...fits); // the largest scale at which one of its sides fits
    const k = most < WHOLE ? PART : Math.min(PART, most);
    const root = middleOf(frame.querySelector(".node.root")) ?? { x: width / 2, y: 0 };
    const other = (selected !== null && middleOf(group(selected))) || root;
    const far = Math.abs(other.x - root.x) * k > across - 2 * (CARD.wide * k + MARGIN) || Math.abs(other.y - root.y) * k > down - 2 * (CARD.high * k + MARGIN);
    const middle = chosen && far ? other : root;
    const [left, top] = [along(k, middle.x - x, width, across) - x * k, along(k, middle.y - y, height, down) - y * k];
    // move the selected node into view, unless the root would leave it
    const by = nudge(left + other.x * k, left + middle.x * k, across, CARD.wide * k);
    const on = nudge(top + other.y * k, top + middle.y * k, down, CARD.high * k);
    move(k, left + by, top + on, smooth);
    moved = false;
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
    if (size * k <= room - 2 * MARGIN + 0.5) return (room - size * k) / 2;
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
    const by = Math.max(0, half + MARGIN - middle) + Math.min(0, room - half - MARGIN - middle);
    return other + by >= half && other + by <= room - half ? by : 0;
  }

  /** Return the middle of a group, in pixels of the picture. @param {Element | null} shown */
  function middleOf(shown) {
    const picture = svg();
    if (!(shown instanceof SVGGElement) || !picture) return null;
    const own = shown.getBoundingClientRect();
    const whole = picture.getBoundingClientRect();
    const k = whole.width / (picture.width.baseVal.value || 1) || 1;
    return { x: (own.x + own.width / 2 - whole.x) / k, y: (own.y + own.height / 2 - whole.y) / k };
  }

  const groups = () => /** @type {SVGGElement[]} */ ([...frame.querySelectorAll("[data-node]")]);
  /** Return the element of a node, or null. @param {string} id */
  const group = (id) =>
    groups().find((each) => each.dataset.node === id && !each.classList.contains("stub")) ??
    groups().find((each) => each.dataset.node === id) ??
    null;

  /** Mark the selected node and its edges, and make it (else the first node) the picture's tab stop. */
  function mark() {
    const shown = groups();
    const stop = (selected !== null && group(selected)) || shown[0];
    for (const each of shown) {
      each.classList.toggle("selected", each.dataset.node === selected);
      each.setAttribute("role", "button");
      each.setAttribute("aria-pressed", String(each.dataset.node === selected));
      each.tabIndex = each === stop ? 0 : -1;
    }
    for (const edge of frame.querySelectorAll(".edge")) {
      const { source, target } = /** @type {SVGGElement} */ (edge).dataset;
      edge.classList.toggle("touching", selected !== null && (source === selected || target === selected));
    }
  }

  /** Move a node into view. @param {string} id */
  function show(id) {
    const shown = group(id);
    if (shown) reveal(shown);
  }

  /** Move an element into view. @param {Element} shown */
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

  const grouped = /** @param {string} id */ (id) =>
    /** @type {SVGGElement[]} */ ([...frame.querySelectorAll("[data-group]")]).find((each) => each.dataset.group === id) ?? null;

  /** Open or close the group of a map that an event is about. Return whether there is one. @param {Event} event */
  function turn(event) {
    const hit = /** @type {Element} */ (event.target).closest("[data-view]");
    if (!(hit instanceof SVGElement) || hit.dataset.view === undefined || hit === svg()) return false;
    const { left, top } = hit.getBoundingClientRect();
    pinned = { id: hit.dataset.group ?? "", left, top, focused: event.type === "keydown" };
    onview(hit.dataset.view);
    return true;
  }

  /** Keep the group that was opened or closed where it was. Return false if the picture does not have it. */
  function stay() {
    const shown = pinned && grouped(pinned.id);
    if (!pinned || !shown) return false;
    const { left, top } = shown.getBoundingClientRect();
    const { k } = zoomTransform(element);
    around.call(behaviour.translateBy, (pinned.left - left) / k, (pinned.top - top) / k);
    if (pinned.focused) shown.focus({ preventScroll: true });
    pinned = null;
    return true;
  }

  element.addEventListener("click", (event) => {
    if (turn(event)) return;
    const hit = /** @type {Element} */ (event.target).closest("[data-node]");
    if (hit instanceof SVGElement && hit.dataset.node) {
      onpick(hit.dataset.node);
      hit.focus({ preventScroll: true });
    }
  });
  element.addEventListener("keydown", (event) => {
    // the space bar selects a node; on a selected node it plays
    const hit = /** @type {Element} */ (event.target).closest("[data-node]");
    const id = hit instanceof SVGElement ? hit.dataset.node : null;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if ((event.key === "Enter" || event.key === " ") && turn(event)) return void (event.preventDefault(), event.stopPropagation());
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

  /** Zoom by a factor. @param {number} factor */
  function by(factor) {
    moved = true;
    glide();
    around.call(behaviour.scaleBy, factor);
  }

  return widget(element, {
    /**
     * Show a picture. A picture of the same structure replaces the previous one without a move.
     *
     * @param {Picture} picture
     */
    draw(picture) {
      message.hidden = true;
      frame.hidden = false;
      if (picture === drawn || (picture.structure === drawn?.structure && picture.form === drawn.form)) return;
      const parsed = new DOMParser().parseFromString(picture.svg, "image/svg+xml").documentElement;
      if (parsed.nodeName !== "svg") return;
      const shown = svg();
      const same = picture.structure === drawn?.structure;
      names?.layer.remove();
      if (shown && same) morph(shown, parsed);
      else fill(frame, document.importNode(parsed, true));
      drawn = picture;
      prepare();
      mark();
      if (!same && !stay()) settle();
    },
    /** Adopt the picture that the server wrote into the page. @param {Element} element @param {Picture} picture */
    adopt(element, picture) {
      message.hidden = true;
      fill(frame, element);
      drawn = picture;
      prepare();
      mark();
      settle();
    },
    /**
     * Write the numbers at the playhead into the picture.
     *
     * @param {Scene} scene
     * @param {number} milliseconds  duration of animations; 0 for none
     */
    write(scene, milliseconds) {
      pace = milliseconds;
      const time = performance.now();
      const haste = time - written < HASTE;
      if (haste) {
        // while the playhead is dragged, steps are shown without transitions
        element.classList.add("hasty");
        clearTimeout(hasty);
        hasty = setTimeout(() => element.classList.remove("hasty"), 2 * HASTE);
      }
      written = time;
      pen?.write(scene, haste ? view() : null);
      element.dataset.step = String(scene.step); // tests read the step of the shown numbers here
      if (!names?.show(scene.moves, milliseconds) || !names.layer.lastElementChild) return;
      if (!moved) settle(true);
      reveal(names.layer.lastElementChild);
    },
    /** Show a message instead of a picture. @param {...import("../leaves/dom.js").Child} children */
    showMessage(...children) {
      frame.hidden = true;
      message.hidden = false;
      fill(message, ...children);
    },
    /** Select a node. @param {string | null} node @param {boolean} byHand  the node is not the one selected by default */
    select(node, byHand) {
      selected = node;
      chosen = byHand;
      mark();
    },
    /** Move the selected node into view. */
    reveal: () => void (selected !== null && show(selected)),
    by,
    fit: () => fit(true),
  });
}

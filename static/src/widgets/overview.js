// The overview in the corner of a map: its boxes, and the part in view, which can be dragged.

import { fill, h, s, widget } from "../leaves/dom.js";

/** @typedef {{x: number, y: number, k: number}} Transform */

const WIDE = 132; // largest width, in pixels
const HIGH = 176; // largest height
const NARROW = 0.4; // its size on a phone, as a share of the usual size
const PAN = 40; // pixels of the picture by which an arrow key moves the view

/** Return the position of a group in its parent. @param {SVGGElement | null} group */
function positionOf(group) {
  const matrix = group?.transform.baseVal.consolidate()?.matrix;
  return { x: matrix?.e ?? 0, y: matrix?.f ?? 0 };
}

/**
 * Make the overview.
 *
 * @param {object} options
 * @param {(point: {x: number, y: number}) => void} options.oncentre  move a point of the picture to the middle of the view
 */
export function overview({ oncentre }) {
  const shapes = s("g");
  const view = s("rect", { class: "view" });
  const drawing = s("svg", { "aria-hidden": "true" }, shapes, view);
  const element = h("div", { class: "overview", role: "application", "aria-label": "Overview of the map: arrow keys move the part in view", tabindex: 0, hidden: true }, drawing);
  /** @type {SVGSVGElement | null} */
  let drawn = null;
  let scale = 1; // pixels of the overview for a pixel of the picture
  let middle = { x: 0, y: 0 }; // middle of the part in view, in pixels of the picture

  /** Draw the boxes and open groups of a map. @param {SVGSVGElement} svg */
  function draw(svg) {
    drawn = svg;
    const [width, height] = [svg.width.baseVal.value, svg.height.baseVal.value];
    scale = Math.min(WIDE / width, HIGH / height) * (innerWidth <= 760 ? NARROW : 1);
    drawing.setAttribute("width", `${Math.round(width * scale)}`);
    drawing.setAttribute("height", `${Math.round(height * scale)}`);
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const scene = /** @type {SVGGElement | null} */ (svg.querySelector(".scene"));
    const origin = positionOf(scene);
    fill(
      shapes,
      /** @type {SVGGElement[]} */ ([...svg.querySelectorAll(".frame, .box")]).map((group) => {
        const rect = group.querySelector("rect");
        const own = positionOf(group); // not the position on the screen, which changes while the picture moves
        const [x, y] = [origin.x + own.x + (rect?.x.baseVal.value ?? 0), origin.y + own.y + (rect?.y.baseVal.value ?? 0)];
        const kind = group.classList.contains("frame") ? "area" : group.matches(".selected, .user") ? "mark" : "item";
        return s("rect", { class: kind, x, y, width: rect?.width.baseVal.value ?? 0, height: rect?.height.baseVal.value ?? 0 });
      }),
    );
  }

  /** Centre the view on a point of the overview. @param {PointerEvent} event */
  function drag(event) {
    const { left, top } = drawing.getBoundingClientRect();
    oncentre({ x: (event.clientX - left) / scale, y: (event.clientY - top) / scale });
  }

  element.addEventListener("pointerdown", (event) => {
    event.stopPropagation();
    element.setPointerCapture(event.pointerId);
    drag(event);
  });
  element.addEventListener("pointermove", (event) => {
    if (element.hasPointerCapture(event.pointerId)) drag(event);
  });
  // the canvas below would pan with these events too
  for (const kind of ["mousedown", "touchstart", "wheel", "dblclick", "click"]) element.addEventListener(kind, (event) => event.stopPropagation());
  element.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
    oncentre({ x: middle.x + PAN * (by[0] ?? 0), y: middle.y + PAN * (by[1] ?? 0) });
    event.preventDefault();
    event.stopPropagation();
  });

  return widget(element, {
    /**
     * Show the part of a map that is in view. A map that is in view as a whole needs no overview.
     *
     * @param {SVGSVGElement | null} svg
     * @param {Transform} transform
     * @param {{width: number, height: number}} size  of the view
     */
    show(svg, { x, y, k }, { width, height }) {
      const [wide, high] = [svg?.width.baseVal.value ?? 0, svg?.height.baseVal.value ?? 0];
      const whole = x >= -1 && y >= -1 && x + wide * k <= width + 1 && y + high * k <= height + 1;
      element.hidden = !svg || !wide || whole;
      if (element.hidden || !svg) return;
      if (svg !== drawn) draw(svg);
      const [left, top] = [Math.max(0, -x / k), Math.max(0, -y / k)];
      const [right, bottom] = [Math.min(wide, (width - x) / k), Math.min(high, (height - y) / k)];
      middle = { x: (width / 2 - x) / k, y: (height / 2 - y) / k };
      for (const [name, value] of Object.entries({ x: left, y: top, width: Math.max(0, right - left), height: Math.max(0, bottom - top) })) view.setAttribute(name, `${value}`);
    },
    /** Draw the boxes again, because another one is selected. */
    refresh: () => void (drawn?.isConnected && !element.hidden && draw(drawn)),
  });
}

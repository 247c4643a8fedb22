// A bar between two panes, which resizes one of them with the pointer or the arrow keys.

import { h, widget } from "../leaves/dom.js";

const STEP = 24; // pixels that an arrow key moves

/**
 * Make a splitter.
 *
 * @param {object} options
 * @param {string} options.label
 * @param {string} options.controls        id of the pane that it resizes
 * @param {"x" | "y"} options.axis
 * @param {1 | -1} options.sign            1 if the pane grows when the bar moves right or down
 * @param {() => number} options.size      size of the pane in pixels
 * @param {() => [least: number, most: number]} options.range
 * @param {(size: number, done: boolean) => void} options.onresize   done: the bar was released
 * @param {() => void} options.onreset
 */
export function splitter({ label, controls, axis, sign, size, range, onresize, onreset }) {
  const element = h("div", {
    class: `splitter ${axis}`,
    role: "separator",
    tabindex: 0,
    "aria-label": label,
    "aria-controls": controls,
    "aria-orientation": axis === "x" ? "vertical" : "horizontal",
    title: "Drag to resize; double-click to reset",
  });
  const horizontal = axis === "x";
  let from = 0; // pointer's position and the pane's size when the drag began
  let start = 0;

  /** @param {number} wanted @param {boolean} done */
  function set(wanted, done) {
    const [least, most] = range();
    onresize(Math.round(Math.max(least, Math.min(most, wanted))), done);
    describe();
  }
  function describe() {
    const [least, most] = range();
    element.setAttribute("aria-valuemin", String(Math.round(least)));
    element.setAttribute("aria-valuemax", String(Math.round(Math.max(least, most))));
    element.setAttribute("aria-valuenow", String(Math.round(Math.max(least, Math.min(most, size())))));
  }
  element.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    element.focus({ preventScroll: true });
    element.setPointerCapture(event.pointerId);
    [from, start] = [horizontal ? event.clientX : event.clientY, size()];
    element.classList.add("dragged");
  });
  element.addEventListener("pointermove", (event) => {
    if (element.hasPointerCapture(event.pointerId)) set(start + sign * ((horizontal ? event.clientX : event.clientY) - from), false);
  });
  for (const end of /** @type {const} */ (["pointerup", "pointercancel"])) {
    element.addEventListener(end, () => {
      if (element.classList.contains("dragged")) set(size(), true);
      element.classList.remove("dragged");
    });
  }
  element.addEventListener("dblclick", () => (onreset(), describe()));
  element.addEventListener("keydown", (event) => {
    const by = { ArrowRight: horizontal ? 1 : 0, ArrowLeft: horizontal ? -1 : 0, ArrowDown: horizontal ? 0 : 1, ArrowUp: horizontal ? 0 : -1 }[event.key];
    if (by) set(size() + sign * by * STEP, true);
    else if (event.key === "Home") set(range()[0], true);
    else if (event.key === "End") set(range()[1], true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return widget(element, { describe });
}

// Find the box of a map that an arrow key leads to.

import { groupsOf } from "./map.js";

/** @typedef {"ArrowUp" | "ArrowDown" | "ArrowLeft" | "ArrowRight"} Arrow */

/**
 * Return the box that a key leads to, or null. Down follows the gradient, and up goes against it. Left and right go between the
 * boxes that receive a gradient from the same box. From the first of them, left goes to the open group around it. From an open
 * group, down and right lead into it.
 *
 * @param {SVGElement} from  a box or frame
 * @param {Arrow} key
 * @returns {SVGElement | null}
 */
export function walk(from, key) {
  const svg = from.ownerSVGElement;
  const own = /** @type {SVGElement | null} */ (from.closest("[data-group]"));
  if (!svg || !own) return null;
  const boxes = groupsOf(svg, ".box");
  const around = own.dataset["frame"] === undefined ? null : (groupsOf(svg, ".frame").get(own.dataset["frame"]) ?? null);
  const id = own.dataset["group"] ?? "";
  const inOrder = [...boxes.values()];
  if (own.classList.contains("frame")) {
    const inside = inOrder.filter((box) => box.dataset["frame"] === id);
    const [first] = inside;
    const above = first && inOrder[inOrder.indexOf(first) - 1];
    return key === "ArrowLeft" ? around : ((key === "ArrowUp" ? above : first) ?? null);
  }
  const links = /** @type {SVGElement[]} */ ([...svg.querySelectorAll(".link:has(.shaft)")]).map(({ dataset }) => dataset);
  /** @param {string} of */
  const onward = (of) => links.filter(({ source }) => source === of).map(({ target }) => target ?? "");
  /** @param {string} of */
  const back = (of) => links.filter(({ target }) => target === of).map(({ source }) => source ?? "");
  const aside = [...new Set(back(id).flatMap(onward))];
  const row = inOrder.indexOf(/** @type {SVGGElement} */ (own));
  const next = {
    ArrowDown: onward(id)[0] ?? inOrder[row + 1]?.dataset["group"],
    ArrowUp: back(id)[0] ?? inOrder[row - 1]?.dataset["group"],
    ArrowRight: aside[aside.indexOf(id) + 1],
    ArrowLeft: aside[aside.indexOf(id) - 1],
  }[key];
  return (next !== undefined && boxes.get(next)) || (key === "ArrowLeft" ? around : null);
}

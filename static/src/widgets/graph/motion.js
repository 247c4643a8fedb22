// Animate the picture: a gradient that flows along an edge, a name that is reassigned from a leaf to another tensor.

import * as format from "../../leaves/format.js";
import { s } from "../../leaves/dom.js";

/** @import {Rebind} from "../../leaves/types.js" */

const WIDE = 200; // width of a card, in pixels of the picture
const HIGH = 62; // height of a card
const NAME = 22; // maximum characters of a name beside its line
const APART = 44; // distance between a leaf and the card of the tensor that has its name now
const STEADY = "cubic-bezier(0.3, 0, 0.2, 1)";

/** @typedef {{x: number, y: number, width: number, height: number}} Box */

/**
 * Animate the shaft of an edge from its source to its target.
 *
 * @param {SVGPathElement} shaft
 * @param {Element | null} head
 * @param {number} milliseconds
 */
export function flow(shaft, head, milliseconds) {
  const length = Number(shaft.dataset.length ?? 0);
  shaft.animate([{ strokeDashoffset: `${length}` }, { strokeDashoffset: "0" }], { duration: milliseconds, easing: "ease-in-out" });
  head?.animate([{ opacity: 0, offset: 0 }, { opacity: 0, offset: 0.75 }, { opacity: 1, offset: 1 }], { duration: milliseconds });
}

/** Return the box of a group, in pixels of the picture. @param {SVGGElement} group @returns {Box} */
function boxOf(group) {
  const { e: x, f: y } = group.transform.baseVal.consolidate()?.matrix ?? { e: 0, f: 0 };
  const border = group.querySelector("rect");
  return { x, y, width: border?.width.baseVal.value ?? 0, height: border?.height.baseVal.value ?? 0 };
}

/** Return whether two boxes overlap. @param {Box} a @param {Box} b */
const overlap = (a, b) => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

/**
 * Prepare to show reassigned names: a card for each tensor that took a leaf's name, joined to the leaf by a line.
 *
 * @param {SVGSVGElement} svg
 */
export function rebindCards(svg) {
  const layer = s("g", { class: "moves" });
  svg.querySelector(".scene")?.append(layer);
  let shown = "";
  /** @type {Box[]} */
  const boxes = [];

  /** Return a free box for a card: below the leaf, left, right, else below everything. @param {Box} leaf @param {Box[]} taken @returns {Box} */
  function freeBox(leaf, taken) {
    const middle = leaf.y + (leaf.height - HIGH) / 2;
    const tries = [
      { x: leaf.x + (leaf.width - WIDE) / 2, y: leaf.y + leaf.height + APART },
      { x: leaf.x - APART - WIDE, y: middle },
      { x: leaf.x + leaf.width + APART, y: middle },
    ].map((corner) => ({ ...corner, width: WIDE, height: HIGH }));
    const free = tries.find((box) => !taken.some((other) => overlap(box, other)));
    return free ?? { x: leaf.x, y: Math.max(...taken.map(({ y, height }) => y + height)) + APART, width: WIDE, height: HIGH };
  }

  /** Return the path of the line from a leaf to a card. @param {Box} leaf @param {Box} box */
  function line(leaf, box) {
    if (box.y > leaf.y + leaf.height) {
      const x = box.x + box.width / 2;
      return `M${x} ${leaf.y + leaf.height + 3}V${box.y - 3}`;
    }
    const [from, to] = box.x > leaf.x ? [leaf.x + leaf.width + 3, box.x - 3] : [leaf.x - 3, box.x + box.width + 3];
    return `M${from} ${leaf.y + leaf.height / 2}H${to}`;
  }

  return {
    layer,
    /** The boxes of the cards. @type {readonly Box[]} */
    boxes,
    /**
     * Show the reassigned names.
     *
     * @param {readonly {from: string, rebind: Rebind}[]} names
     * @param {number} milliseconds  duration of the animation; 0 for none
     * @returns {boolean} whether the cards have changed
     */
    show(names, milliseconds) {
      const key = names.map(({ from, rebind }) => `${from} ${rebind.name} ${rebind.line} ${format.all(rebind.to)}`).join("\n");
      if (key === shown) return false;
      shown = key;
      boxes.length = 0;
      layer.replaceChildren();
      const groups = /** @type {SVGGElement[]} */ ([...svg.querySelectorAll(".node")]);
      const taken = groups.map(boxOf);
      for (const { from, rebind } of names) {
        const group = groups.find(({ dataset, classList }) => dataset.node === from && !classList.contains("stub"));
        if (!group) continue;
        const leaf = boxOf(group);
        const box = freeBox(leaf, taken);
        taken.push(box);
        boxes.push(box);
        const made = card(rebind);
        made.setAttribute("transform", `translate(${box.x} ${box.y})`);
        const trail = s("path", { class: "trail", d: line(leaf, box) });
        layer.append(trail, made);
        const chip = made.querySelector(".name");
        if (milliseconds && chip) {
          const [dx, dy] = [leaf.x - box.x, leaf.y - box.y];
          const timing = { duration: milliseconds, easing: STEADY };
          chip.animate([{ transform: `translate(${dx}px,${dy}px)` }, { transform: "none" }], timing);
          for (const other of [trail, ...made.querySelectorAll(":scope > :not(.name)")])
            other.animate([{ opacity: 0 }, { opacity: 0, offset: 0.5 }, { opacity: 1 }], timing);
        }
      }
      return true;
    },
  };
}

/** Make the card of the tensor that took a name. @param {Rebind} rebind */
function card({ name, line, to }) {
  const leaf = to?.is_leaf ?? true;
  const second = leaf ? (to?.requires_grad ? "a new leaf" : "needs no gradient · not trained") : `${to?.grad_fn ?? "made by an operation"} · not a leaf`;
  return s(
    "g",
    { class: "taker", role: "img", "aria-label": `${name} now refers to another tensor: ${format.all(to)}, ${second}` },
    s("rect", { class: "border", width: WIDE, height: HIGH, rx: 6 }),
    s("g", { class: "name" }, s("text", { x: 10, y: 18, "font-size": 12, "font-weight": 600 }, format.cut(name, NAME))),
    s("text", { class: "small", x: WIDE - 10, y: 18, "text-anchor": "end" }, `line ${line}`),
    s("text", { class: "small", x: 10, y: 33 }, second),
    s("text", { class: "mono", x: 10, y: 51 }, format.tensor(to, 25)),
  );
}

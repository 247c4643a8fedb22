// Draw a badge on each card whose gradient was checked: ✓ if it was right, ✗ if not.

import { s } from "../../leaves/dom.js";

const RADIUS = 8; // pixels of the picture
const WORDS = { right: "The gradient was checked and is right.", wrong: "The gradient was checked and is wrong." };

/** @typedef {ReadonlyMap<string, "right" | "wrong">} Verdicts    by node */

/**
 * Draw the badges into a picture, in place of earlier ones. They are in a layer of their own, which a comparison of two pictures
 * has to leave out.
 *
 * @param {SVGSVGElement} svg
 * @param {Verdicts} verdicts
 */
export function showVerdicts(svg, verdicts) {
  hideVerdicts(svg);
  const badges = [];
  for (const card of /** @type {NodeListOf<SVGGElement>} */ (svg.querySelectorAll("[data-node]:not(.stub)"))) {
    const verdict = verdicts.get(card.dataset["node"] ?? "");
    if (!verdict) {
      card.removeAttribute("aria-description");
      continue;
    }
    card.setAttribute("aria-description", WORDS[verdict]);
    const width = card.querySelector(".border")?.getAttribute("width");
    const place = card.getAttribute("transform");
    if (!width || !place) continue;
    badges.push(
      s(
        "g",
        { class: `verdict ${verdict}`, "data-of": card.dataset["node"] ?? "", transform: `${place} translate(${width} 0)` },
        s("circle", { r: RADIUS }),
        s("text", { "text-anchor": "middle", y: 4 }, verdict === "right" ? "✓" : "✗"),
      ),
    );
  }
  const cards = svg.querySelector("[data-node]")?.parentElement;
  if (cards && badges.length) cards.append(s("g", { class: "verdicts", "aria-hidden": "true" }, ...badges));
}

/** Remove the layer of badges. @param {SVGSVGElement} svg */
export function hideVerdicts(svg) {
  svg.querySelector(".verdicts")?.remove();
}

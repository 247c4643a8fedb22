// On small screens: the menu with the controls that the top bar has no room for, the switch between code and graph, and the comparison.

import { find, h } from "../../leaves/dom.js";

const PHONE = "(max-width: 760px)";
const SEEN = 0.3; // share of the window that a graph in view takes at least

/** Set up the menu, the switch and the place of the comparison. Return a function that brings the graph into view, the first time that it is called. */
export function smallScreen() {
  for (const button of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-press]"))) {
    button.addEventListener("click", () => find(button.dataset["press"] ?? "").click());
  }
  const jumps = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-jump]")]);
  const parts = jumps.map((button) => find(`#${button.dataset["jump"]}`));
  const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
  for (const [i, button] of jumps.entries()) {
    button.addEventListener("click", () => parts[i]?.scrollIntoView({ behavior: reducedMotion.matches ? "auto" : "smooth", block: "start" }));
  }
  moveComparison();
  /** @type {Map<Element, number>} */
  const seen = new Map(); // height in view of each part, in pixels
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { target, intersectionRect } of entries) seen.set(target, intersectionRect.height);
      const most = scrollY < 1 ? (seen.get(parts[0] ?? document.body) ?? 0) : Math.max(...seen.values()); // a page that was not scrolled shows its first part
      for (const [i, button] of jumps.entries()) button.setAttribute("aria-pressed", String(most > 0 && seen.get(parts[i] ?? button) === most));
    },
    { threshold: Array.from({ length: 11 }, (_, i) => i / 10) },
  );
  for (const part of parts) watcher.observe(part);

  let turned = false;
  return () => {
    const jump = jumps.findIndex(({ dataset }) => dataset["jump"] === "graph");
    const { top, bottom } = find("#graph").getBoundingClientRect();
    if (!turned && matchMedia(PHONE).matches && Math.min(bottom, innerHeight) - Math.max(top, 0) < SEEN * innerHeight) jumps[jump]?.click();
    turned = true;
  };
}

/** Keep the comparison above the charts, because the tape of a small screen has no caption. */
function moveComparison() {
  const [compare, place, slot] = [find(".compare"), new Comment(), h("div", { class: "slot" })];
  compare.before(place);
  const phone = matchMedia(PHONE);
  const settle = () => {
    if (phone.matches) find("#charts").prepend(slot);
    else slot.remove();
    if (phone.matches) slot.append(compare);
    else place.after(compare);
  };
  phone.addEventListener("change", settle);
  settle();
}

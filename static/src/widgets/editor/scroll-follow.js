// Keep lines in view as the playhead moves, until the person scrolls.

/** @import {EditorView} from "@codemirror/view" */

const MARGIN = 22; // pixels left above and below: a line
const HANDS = /** @type {const} */ (["wheel", "touchmove", "pointerdown", "keydown"]);

/** @param {EditorView} view */
export function following(view) {
  const box = view.scrollDOM;
  const standing = matchMedia("(prefers-reduced-motion: reduce)");
  let away = false; // the person looks elsewhere
  /** @type {[first: number, last: number] | null} */
  let goal = null; // of the scrolling under way
  for (const kind of HANDS) box.addEventListener(kind, () => ((away = true), (goal = null)), { passive: true });
  // only now are the lines measured that came into view
  box.addEventListener("scrollend", () => {
    if (goal) bring(goal, MARGIN);
    goal = null;
  });

  /** @param {[first: number, last: number]} lines @param {number} least  pixels without which they are not in view */
  function bring([first, last], least) {
    view.requestMeasure({
      key: "follow",
      read() {
        if (getComputedStyle(box).overflowY === "visible") return null; // the page scrolls, and shows more than the program
        const { doc } = view.state;
        const top = view.lineBlockAt(doc.line(Math.min(first, doc.lines)).from).top;
        const bottom = view.lineBlockAt(doc.line(Math.min(last, doc.lines)).from).bottom;
        const [from, height] = [box.scrollTop, box.clientHeight];
        if (top - least >= from && bottom + least <= from + height) return null;
        const to = Math.max(0, Math.min(top - MARGIN, Math.max(from, bottom + MARGIN - height), box.scrollHeight - height));
        return Math.abs(to - from) < 1 ? null : to;
      },
      write(to) {
        if (to === null) return;
        if (!least) goal = [first, last];
        box.scrollTo({ top: to, behavior: standing.matches ? "auto" : "smooth" });
      },
    });
  }

  return {
    /** Bring lines into view, the first one before all; what is in view stays where it is. @param {number} first @param {number} last */
    follow(first, last) {
      if (!away) bring([first, last], 0);
    },
    /** Follow again: the person has moved the playhead. */
    heed() {
      away = false;
    },
  };
}

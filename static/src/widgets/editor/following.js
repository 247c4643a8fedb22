// Keep lines in view as the playhead moves, until the person scrolls.

/** @import {EditorView} from "@codemirror/view" */

const MARGIN = 22; // pixels left above and below: a line
const HANDS = /** @type {const} */ (["wheel", "touchmove", "pointerdown", "keydown"]);

/** @param {EditorView} view */
export function following(view) {
  const box = view.scrollDOM;
  const standing = matchMedia("(prefers-reduced-motion: reduce)");
  let away = false; // the person looks elsewhere
  for (const kind of HANDS) box.addEventListener(kind, () => (away = true), { passive: true });

  return {
    /** Bring lines into view, the first one before all; what is in view stays where it is. @param {number} first @param {number} last */
    follow(first, last) {
      const { doc } = view.state;
      if (away || first < 1 || first > doc.lines) return;
      view.requestMeasure({
        key: "follow",
        read() {
          if (getComputedStyle(box).overflowY === "visible") return null; // the page scrolls, and shows more than the program
          const top = view.lineBlockAt(doc.line(first).from).top - MARGIN;
          const bottom = view.lineBlockAt(doc.line(Math.min(last, doc.lines)).from).bottom + MARGIN;
          const [from, height] = [box.scrollTop, box.clientHeight];
          const to = Math.max(0, Math.min(top, Math.max(from, bottom - height)));
          return to === from || (top + MARGIN >= from && bottom - MARGIN <= from + height) ? null : to;
        },
        write(to) {
          if (to !== null) box.scrollTo({ top: to, behavior: standing.matches ? "auto" : "smooth" });
        },
      });
    },
    heed() {
      away = false;
    },
  };
}

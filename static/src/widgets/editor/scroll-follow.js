// Keep the playhead's lines in view until the user scrolls.

/** @import {EditorView} from "@codemirror/view" */

const MARGIN = 22; // free pixels above and below: the height of a line
const USER_EVENTS = /** @type {const} */ (["wheel", "touchmove", "pointerdown", "keydown"]);

/** Return functions that keep lines of an editor in view. @param {EditorView} view */
export function scrollFollow(view) {
  const box = view.scrollDOM;
  const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
  let away = false; // the user has scrolled elsewhere
  let fresh = false; // the text is another one: there is nothing to scroll from
  /** @type {[first: number, last: number] | null} */
  let goal = null; // the lines to which a smooth scroll is in progress
  for (const kind of USER_EVENTS) box.addEventListener(kind, () => ((away = true), (goal = null)), { passive: true });
  // the editor measures lines only when they come into view: correct the final position
  box.addEventListener("scrollend", () => {
    if (goal) scrollTo(goal, MARGIN);
    goal = null;
  });

  /** Scroll to lines. @param {[first: number, last: number]} lines @param {number} least  pixels that must be free around lines in view */
  function scrollTo([first, last], least) {
    view.requestMeasure({
      key: "follow",
      read() {
        if (getComputedStyle(box).overflowY === "visible") return null; // on small screens the page scrolls, not the editor
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
        box.scrollTo({ top: to, behavior: reducedMotion.matches || fresh ? "auto" : "smooth" });
        fresh = false;
      },
    });
  }

  return {
    /** Scroll lines into view, at least the first line. Lines in view do not move. @param {number} first @param {number} last
     * */
    follow(first, last) {
      if (!away) scrollTo([first, last], 0);
    },
    /** Start at the top of another text. */
    restart() {
      fresh = true;
      goal = null;
      box.scrollTop = 0;
    },
    /** Follow again, because the user has moved the playhead. */
    resume() {
      away = false;
    },
  };
}

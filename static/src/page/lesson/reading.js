// Find the passage that is being read, as the page scrolls, and go to the next or the previous one.

const LINE = 0.42; // the passage at this fraction of the free height is the one that is being read

/**
 * Follow the reader.
 *
 * @param {readonly HTMLElement[]} passages  in reading order
 * @param {() => {top: number, bottom: number}} room   the part of the window in which the article is seen
 * @param {(passage: HTMLElement) => void} onread
 * @param {() => boolean} still                whether reduced motion is preferred
 */
export function reading(passages, room, onread, still) {
  let current = /** @type {HTMLElement | null} */ (null);
  let waiting = false;
  /** A passage that was asked for: it stays until the reader scrolls away from it. @type {HTMLElement | null} */
  let asked = null;
  let arrived = false; // the passage that was asked for has been in view

  /** Keep a passage until the reader scrolls away from it. @param {HTMLElement} passage */
  function keep(passage) {
    [asked, arrived] = [passage, false];
    read(passage);
  }

  /** @param {HTMLElement} passage */
  function read(passage) {
    if (passage === current) return;
    current?.classList.remove("reading");
    current?.removeAttribute("data-reading");
    current = passage;
    passage.classList.add("reading");
    onread(passage);
  }

  function look() {
    waiting = false;
    const { top, bottom } = room();
    if (asked) {
      const { top: start, bottom: end } = asked.getBoundingClientRect();
      const inside = start < bottom && end > top;
      if (inside || !arrived) return void (arrived ||= inside);
      asked = null;
    }
    const line = top + (bottom - top) * LINE;
    const ended = scrollY + innerHeight >= document.documentElement.scrollHeight - 2;
    const above = passages.filter((each) => each.getBoundingClientRect().top <= (ended ? bottom : line));
    const found = above.at(-1) ?? passages[0];
    if (found) read(found);
  }
  const soon = () => void (waiting || ((waiting = true), requestAnimationFrame(look)));
  addEventListener("scroll", soon, { passive: true });
  addEventListener("resize", soon);
  for (const sign of ["wheel", "touchmove"]) addEventListener(sign, () => (asked = null), { passive: true });

  return {
    look,
    /** Show the view of a passage without scrolling. */
    ask: keep,
    /** Scroll to the next or the previous passage. @param {1 | -1} by */
    move(by) {
      const at = current ? passages.indexOf(current) : -1;
      const next = passages[Math.max(0, Math.min(passages.length - 1, at + by))];
      if (!next) return;
      const { top, bottom } = room();
      const own = next.getBoundingClientRect();
      scrollTo({ top: scrollY + own.top - top - (bottom - top) * (LINE / 2), behavior: still() ? "auto" : "smooth" });
      keep(next);
    },
  };
}

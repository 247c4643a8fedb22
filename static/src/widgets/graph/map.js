// The picture of a map: open and close its groups, show how far a pass has come, and hide text that would be too small.

/** @typedef {{id: string, name: string, view: string}} Crumb   an open group; `view` is the map with the group closed */

const LEFT = 10; // where the bars of a box begin, in pixels of the picture, as in `app/drawing/map_parts.py`
const MOST_BARS = 200; // maximum number of bars of a box; if there are more turns, each bar shows several
const [TEXT, SMALL] = [12, 11]; // heights of text and of small text in the picture, in pixels
const SMALLEST = 9; // minimum height of text on the screen, in pixels
const OPENING = 180; // milliseconds of the animation of a group that opens or closes
const STEP = 1.06; // the scale of the text is written when the zoom has changed by this factor

/** Return the name of a group's box or frame. @param {Element} shown */
const nameOf = (shown) => shown.querySelector("text")?.textContent ?? "";

/** Return the elements with a group, by its id. @param {SVGSVGElement} svg @param {string} [selector] */
export function groupsOf(svg, selector = "[data-group]") {
  const found = /** @type {SVGGElement[]} */ ([...svg.querySelectorAll(selector)]);
  return new Map(found.map((each) => [each.dataset["group"] ?? "", each]));
}

/** Return the open groups around a box, the outermost first. @param {SVGSVGElement} svg @param {SVGElement} box @returns {Crumb[]} */
export function groupsAround(svg, box) {
  const frames = groupsOf(svg, ".frame");
  /** @type {Crumb[]} */
  const around = [];
  for (let id = box.dataset["frame"]; id !== undefined; ) {
    const frame = frames.get(id);
    if (!frame) break;
    around.unshift({ id, name: nameOf(frame), view: frame.dataset["view"] ?? "" });
    id = frame.dataset["frame"];
  }
  return around;
}

/**
 * Prepare to show on a map how far a pass has come.
 *
 * @param {SVGSVGElement} svg
 */
export function progress(svg) {
  const boxes = [...groupsOf(svg, ".box").values()].map((box) => ({
    box,
    first: Number(box.dataset["first"] ?? Infinity),
    last: Number(box.dataset["last"] ?? Infinity),
    state: "",
  }));
  const byId = new Map(boxes.map((each) => [each.box.dataset["group"] ?? "", each]));
  const links = /** @type {SVGGElement[]} */ ([...svg.querySelectorAll(".link")]).map((link) => ({
    link,
    shaft: link.querySelector(".shaft"),
    from: byId.get(link.dataset["source"] ?? ""),
    dry: false,
  }));

  return {
    /**
     * Show the boxes that a pass has reached.
     *
     * @param {number} ran  number of nodes that the engine has run; Infinity if the pass is over
     * @returns {Element | null}  the box with the node that the engine has just run
     */
    show(ran) {
      let now = null;
      svg.classList.toggle("passing", Number.isFinite(ran)); // gradients of leaves are complete when the pass is over
      for (const each of boxes) {
        const waiting = Number.isFinite(ran) && each.first >= ran;
        const running = ran > 0 && Number.isFinite(ran) && ran === each.last + 1;
        const state = waiting ? "waiting" : running ? "now" : "";
        if (running) now = each.box;
        if (state === each.state) continue;
        each.box.classList.toggle("waiting", waiting);
        each.box.classList.toggle("now", running);
        each.state = state;
      }
      for (const each of links) {
        const dry = each.from !== undefined && Number.isFinite(ran) && each.from.first >= ran;
        if (dry !== each.dry) each.link.classList.toggle("dry", dry);
        each.dry = dry;
      }
      return now;
    },
  };
}

/** Return the numbers of nodes of the pass after which a box of the map has run, ascending. @param {SVGSVGElement} svg */
export function stopsOf(svg) {
  const lasts = [...groupsOf(svg, ".box").values()].flatMap(({ dataset }) => (dataset["last"] === undefined ? [] : [Number(dataset["last"]) + 1]));
  return [...new Set(lasts)].sort((a, b) => a - b);
}

/** Return the turns that a box contains: the loop's id, the first turn, the number of bars and their distance; null if there are none. @param {SVGElement} box */
function turnsOf(box) {
  const bars = /** @type {SVGElement | null} */ (box.querySelector("[data-turns]"));
  if (!bars) return null;
  const id = box.dataset["group"] ?? "";
  const [, loop = id, first = "0"] = /^(.*)\/(\d+)-\d+$/.exec(id) ?? [];
  return { loop, first: Number(first), bars: Number(bars.dataset["turns"]), step: Number(bars.dataset["step"]) };
}

/**
 * Return the id of one turn of a loop or repetition.
 *
 * @param {SVGElement} box
 * @param {number} turn  as counted by the program, from 0
 */
export function turnId(box, turn) {
  const turns = turnsOf(box);
  return turns && `${turns.loop}/${turn}`;
}

/**
 * Return the id of the turn whose bar is at a position on the screen; null if there is none. The last turn has the first bar.
 *
 * @param {SVGGElement} box
 * @param {{clientX: number, clientY: number}} position
 */
export function turnAt(box, { clientX, clientY }) {
  const turns = turnsOf(box);
  const [matrix, bars] = [box.getScreenCTM(), box.querySelector("[data-turns]")];
  if (!turns || !matrix || !bars) return null;
  const { top, bottom } = bars.getBoundingClientRect();
  if (clientY < Math.min(top, bottom - 24 * matrix.d) || clientY > bottom + 2) return null;
  const x = new DOMPoint(clientX, clientY).matrixTransform(matrix.inverse()).x - LEFT;
  const size = Math.ceil(turns.bars / MOST_BARS);
  const bar = Math.floor(x / turns.step);
  const index = Math.ceil(turns.bars / size) - 1 - bar;
  if (bar < 0 || index < 0) return null;
  return turnId(box, turns.first + index * size);
}

/**
 * Mark the boxes that show hits of a search, or that contain them.
 *
 * @param {SVGSVGElement} svg
 * @param {readonly {node: string, way: readonly string[]}[]} hits  way: ids of the groups around the node, the outermost first
 */
export function flag(svg, hits) {
  const boxes = /** @type {SVGGElement[]} */ ([...svg.querySelectorAll(".box, .node, .leaf")]);
  const byNode = new Map(boxes.map((each) => [each.dataset["node"], each]));
  const byGroup = new Map(boxes.map((each) => [each.dataset["group"], each]));
  // a box of several turns: the id of the loop, and the numbers of its first and last turn
  const turns = boxes.flatMap((box) => {
    const [, loop, first, last] = /^(.*)\/(\d+)-(\d+)$/.exec(box.dataset["group"] ?? "") ?? [];
    return loop === undefined ? [] : [{ box, loop, first: Number(first), last: Number(last) }];
  });
  const marked = new Set(
    hits.flatMap(({ node, way }) => {
      const shown = byNode.get(node) ?? way.map((id) => byGroup.get(id)).findLast((box) => box !== undefined);
      if (shown) return [shown];
      return turns.filter(({ loop, first, last }) => {
        const turn = way[way.indexOf(loop) + 1];
        const number = Number(turn?.startsWith(`${loop}/`) ? turn.slice(loop.length + 1) : NaN);
        return way.includes(loop) && (Number.isNaN(number) || (first <= number && number <= last));
      }).map(({ box }) => box);
    }),
  );
  for (const each of boxes) each.classList.toggle("hit", marked.has(each));
}

/**
 * Animate the change from one view of a map to another: boxes move to where they are now, and new ones appear out of the group
 * that was opened.
 *
 * @param {Map<string, DOMRect>} before  where the groups were on the screen
 * @param {SVGSVGElement} svg            the picture, in its final position
 * @param {number} k                     scale of the picture
 * @param {string} from                  the group that was opened or closed
 */
export function animateOpening(before, svg, k, from) {
  const source = before.get(from);
  const timing = { duration: OPENING, easing: "cubic-bezier(0.2, 0, 0, 1)" };
  for (const [id, box] of groupsOf(svg)) {
    const now = box.getBoundingClientRect();
    const then = before.get(id);
    const start = then ?? source;
    const matrix = box.transform.baseVal.consolidate()?.matrix;
    const [x, y] = [matrix?.e ?? 0, matrix?.f ?? 0];
    if (!start) continue;
    const [dx, dy] = then ? [(start.left - now.left) / k, (start.top - now.top) / k] : [0, (start.top - now.top) / k / 3];
    if (then && Math.abs(dx) < 0.5 && Math.abs(dy) < 0.5) continue;
    const opacity = then ? [1, 1] : [0, 1];
    box.animate(
      [
        { transform: `translate(${x + dx}px,${y + dy}px)`, opacity: opacity[0] ?? 1 },
        { transform: `translate(${x}px,${y}px)`, opacity: opacity[1] ?? 1 },
      ],
      timing,
    );
  }
  svg.querySelector(".edges")?.animate([{ opacity: 0 }, { opacity: 0, offset: 0.5 }, { opacity: 1 }], timing);
}

/**
 * Return a function that enlarges text that would be too small at a scale, or hides it: first everything but names, then the
 * names of boxes.
 *
 * @param {SVGSVGElement} svg
 */
export function levels(svg) {
  let [written, level] = [0, ""];
  return (/** @type {number} */ k) => {
    const next = k * SMALL >= SMALLEST ? "" : k * TEXT >= SMALLEST - 0.01 ? "small-larger" : k >= 0.5 ? "names-only" : "frames-only";
    if (next !== level) {
      if (level) svg.classList.remove(level);
      if (next) svg.classList.add(next);
      level = next;
    }
    if (!next || (k < written * STEP && k > written / STEP)) return;
    svg.style.setProperty("--text", `${(SMALLEST * STEP) / k}px`);
    written = k;
  };
}

// Draw one chart: a few columns over the steps, coloured as far as they have been played, with the number at the pointer.

import { positionOf } from "../../core/curves.js";
import { fill, h } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";
import { ticks } from "../../leaves/ticks.js";

/** @typedef {import("uplot")} Plot */

/**
 * @typedef {(number | null)[]} Column
 *
 * @typedef {object} Chart
 * @property {string} title
 * @property {"param" | "grad" | "ink"} tone
 * @property {string | null} norm               set if the norm is drawn instead of the elements
 * @property {readonly number[]} index          steps
 * @property {readonly Column[]} columns        one for each element; null for a step without a number
 * @property {readonly Column[]} others         columns of the other run, at the same steps
 * @property {number | null} settles          the number that the only column settles at
 * @property {string} none                      remark for a chart without numbers
 */

const INSET = 6; // pixels before the first step and after the last, where a dot needs room
const HEAD = 4; // radius of the dot at the playhead, in pixels
const LONE = 2; // radius of a dot without a curve, in pixels
const SIDE = 34; // minimum width of the y axis, in pixels
const LETTER = 5.6; // width of a letter on the y axis, in pixels
const APART = 26; // distance between numbers on the y axis, in pixels
const FOOT = 20; // height of the x axis, in pixels
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000]; // distances between ticks of the x axis
const BESIDE = 25; // free pixels beside the caption
const PLAIN = 6.3; // width of a letter of the title, in pixels
const MONO = 6.95; // width of a letter of the number, in pixels

/**
 * Make a chart: a caption with the number at the playhead, above a plot of curves.
 *
 * @param {typeof import("uplot")} Plot
 * @param {(step: number) => void} onstep
 */
export function chart(Plot, onstep) {
  const value = h("span", { class: "value" });
  const title = h("span");
  const drawn = h("div", { class: "plot" });
  const words = h("p", { class: "remark", hidden: true });
  const settled = h("p", { class: "settled" });
  const element = h("figure", { class: "chart" }, h("figcaption", null, title, value), drawn, words);
  /** @type {Plot | null} */
  let plot = null;
  /** @type {Chart | null} */
  let shown = null;
  let logarithmic = false;
  let [at, reached] = [0, true];
  /** @type {readonly number[] | null} */
  let after = null; // the numbers after the update
  /** @type {number | null} */
  let pointed = null;
  /** @type {Map<number, {stroke: Path2D, clip: Path2D | null}>} */
  const paths = new Map();
  /** @type {Map<string, string>} */
  const colours = new Map(); // reading a colour forces a style recalculation: do it once for each theme
  /** @param {string} name */
  function colour(name) {
    const value = colours.get(name) ?? getComputedStyle(element).getPropertyValue(`--${name}`);
    colours.set(name, value);
    return value;
  }
  const INK = { param: "param-fill", grad: "grad-fill", ink: "ink-2" };

  function make() {
    colours.clear();
    plot?.destroy();
    plot = null;
    const { width, height } = drawn.getBoundingClientRect();
    if (!shown || width < 40 || height < 30) return;
    const { columns, others, index } = shown;
    const linear = Plot.paths.linear?.();
    const [grey, line] = [colour("ink-3"), colour("line")];
    const least = smallest([...columns, ...others]);
    const axis = { stroke: grey, font: `10px ${colour("sans")}`, ticks: { show: false }, gap: 3, labelSize: 0 };
    /** @type {number | null} */
    let constant = null;
    /** @type {import("uplot").Options} */
    const options = {
      width,
      height,
      padding: [6, 8, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: false, y: false },
        points: { show: false },
        bind: {
          mousedown: () => () => {
            const step = plot?.cursor.idx == null ? null : index[plot.cursor.idx];
            if (step !== null && step !== undefined) onstep(step);
            return null;
          },
        },
      },
      scales: {
        x: {
          time: false,
          range(u, low, high) {
            const beside = ((high - low || 1) * INSET) / Math.max(INSET, u.width - SIDE - 2 * INSET);
            return [low - beside, high + beside];
          },
        },
        y: {
          distr: logarithmic ? 4 : 1,
          asinh: least,
          range(_, low, high) {
            constant = low === high ? low : null;
            if (constant !== null) return [constant - (Math.abs(constant) / 2 || 1), constant + (Math.abs(constant) / 2 || 1)];
            return logarithmic ? Plot.rangeAsinh(low, high, 10, true) : Plot.rangeNum(low, high, 0.1, true);
          },
        },
      },
      axes: [
        {
          ...axis,
          size: FOOT,
          gap: HEAD + 2,
          grid: { show: false },
          space: 40,
          incrs: STEPS,
          values: (_, splits) => splits.map((step) => (step < 0 || step > (shown?.index.at(-1) ?? 0) ? "" : step === 0 ? "step 0" : String(step))),
        },
        {
          ...axis,
          size: (_, texts) => Math.max(SIDE, ...(texts ?? []).map((text) => 8 + LETTER * String(text).length)),
          grid: { stroke: line, width: 1 },
          space: APART,
          // uPlot finds no ticks between large numbers: compute them here instead
          incrs: (_, __, low, high) => [Math.max(10, high - low)],
          splits: (u, _, low, high) => (constant !== null ? [constant] : logarithmic ? decades(low, high, least) : ticks(low, high, (u.height - FOOT) / APART)),
          filter: (_, found) => found,
          values: (_, splits) => format.axis(splits),
        },
      ],
      series: [
        {},
        ...others.map(() => ({ stroke: grey, width: 1, dash: [4, 3], points: { show: false } })),
        ...columns.map(() => ({
          stroke: grey,
          width: 1,
          points: { show: false },
          /** @type {import("uplot").Series.PathBuilder} */
          paths: (u, series, from, to) => {
            const built = linear?.(u, series, from, to) ?? null;
            if (built?.stroke instanceof Path2D) paths.set(series, { stroke: built.stroke, clip: built.clip ?? null });
            return built;
          },
        })),
      ],
      hooks: { draw: [drawSettled, drawPlayed], setCursor: [({ cursor }) => ((pointed = cursor.idx ?? null), writeValue())] },
    };
    plot = new Plot(options, data(shown), drawn);
  }

  /** Draw a line at the number that the curve settles at, and name it on the side of the line from which the curve comes. @param {Plot} u */
  function drawSettled(u) {
    settled.hidden = shown?.settles === null || logarithmic || u.height < 60;
    if (!shown || shown.settles === null || settled.hidden) return;
    const { ctx, bbox } = u;
    const y = u.valToPos(shown.settles, "y", true);
    ctx.save();
    ctx.strokeStyle = colour("ink-3");
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([1.5 * devicePixelRatio, 2.5 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.restore();
    const below = (shown.columns[0]?.find((each) => each !== null) ?? 0) < shown.settles;
    settled.style.top = `${y / devicePixelRatio - bbox.top / devicePixelRatio + (below ? 2 : -17)}px`;
    fill(settled, `settles at ${format.number(shown.settles)}`);
    if (settled.parentNode !== u.over) u.over.append(settled);
  }

  /** Colour the played part of the curves, and draw dots at the playhead. @param {Plot} u */
  function drawPlayed(u) {
    if (!shown) return;
    const { ctx, bbox } = u;
    const position = positionOf(shown.index, at) - (reached ? 0 : 1);
    const now = shown.index[position];
    for (const column of shown.columns)
      for (const alone of lone(column)) {
        const step = shown.index[alone] ?? alone;
        ctx.beginPath();
        ctx.arc(u.valToPos(step, "x", true), u.valToPos(column[alone] ?? 0, "y", true), LONE * devicePixelRatio, 0, 2 * Math.PI);
        ctx.fillStyle = colour(now !== undefined && step <= now ? INK[shown.tone] : "ink-3");
        ctx.fill();
      }
    if (now === undefined) return;
    const x = u.valToPos(now, "x", true);
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, 0, Math.max(0, x - bbox.left), bbox.height + bbox.top + 20);
    ctx.clip();
    ctx.strokeStyle = colour(INK[shown.tone]);
    ctx.lineWidth = 2 * devicePixelRatio;
    for (const { stroke, clip } of paths.values()) {
      ctx.save();
      if (clip) ctx.clip(clip);
      ctx.stroke(stroke);
      ctx.restore();
    }
    ctx.restore();
    ctx.save();
    for (const [columns, fill] of /** @type {const} */ ([
      [shown.others, "surface"],
      [shown.columns, INK[shown.tone]],
    ]))
      for (const column of columns) {
        const value = column[position];
        if (value === null || value === undefined || !Number.isFinite(value)) continue;
        ctx.beginPath();
        ctx.arc(x, u.valToPos(value, "y", true), HEAD * devicePixelRatio, 0, 2 * Math.PI);
        ctx.fillStyle = colour(fill);
        ctx.strokeStyle = colour(fill === "surface" ? "ink-3" : "surface");
        ctx.lineWidth = 1.5 * devicePixelRatio;
        ctx.fill();
        ctx.stroke();
      }
    ctx.restore();
  }

  /** Write the number at the pointer, else at the playhead. */
  function writeValue() {
    if (!shown) return;
    const position = pointed ?? positionOf(shown.index, at);
    const step = shown.index[position];
    const there = pointed !== null || (step === at && reached);
    /** @param {readonly Column[]} columns */
    const numbers = (columns) => (there ? columns.map((column) => column[position] ?? null) : []);
    const [own, theirs] = [numbers(shown.columns), numbers(shown.others)];
    const then = pointed === null && step === at && after?.length === own.length ? after : null;
    const room = Math.floor((element.clientWidth - BESIDE - PLAIN * shown.title.length) / MONO);
    const [before, updated] = then ? format.change(listed(own), listed(then), own.length > 1 ? 2 : 4) : [write(own, room), null];
    const both = `${around(before)} → ${around(updated ?? "")}`;
    const text = updated === null ? around(before) : both.length > room ? `→ ${around(updated.length + 2 > room ? write(then ?? [], room - 2) : updated)}` : both;
    value.title = updated === null ? text : both;
    const next = then && shown.index[position + 1] === at + 1 ? shown.others.map((column) => column[position + 1] ?? null) : [];
    const pair = [theirs, next].map((numbers) => around(write(numbers, room))).join(" → ");
    const compared = !then ? around(write(theirs, room)) : pair.length > room ? `→ ${around(write(next, room - 2))}` : pair;
    fill(
      value,
      pointed !== null && h("small", null, `step ${step} `),
      h("b", { class: shown.tone }, text),
      theirs.some((each) => each !== null) && h("small", { class: "dashed" }, ` ${compared}`),
    );
  }

  /** @param {readonly (number | null)[]} numbers */
  const listed = (numbers) => (numbers.length > 1 ? numbers.map((each) => each ?? format.NONE) : (numbers[0] ?? format.NONE));
  /** @param {readonly (number | null)[]} numbers @param {number} room */
  function write(numbers, room) {
    if (numbers.every((each) => each === null)) return format.NONE;
    const large = numbers.some((each) => Math.abs(each ?? 0) >= 10);
    const texts = (numbers.length < 2 ? [4] : large ? [2, 1, 0] : [2, 1]).map((decimals) => format.nested(listed(numbers), { decimals }));
    const norm = numbers.length > 1 && numbers.every((each) => Number.isFinite(each)) ? `‖${format.number(Math.hypot(...numbers.map(Number)))}‖` : null;
    return texts.find((text) => text.length <= room) ?? norm ?? texts.at(-1) ?? "";
  }
  /** @param {string} text */
  const around = (text) => (shown?.norm && text !== format.NONE ? `‖${text}‖` : text);

  const watcher = new ResizeObserver(() => {
    const { width, height } = drawn.getBoundingClientRect();
    if (plot && width >= 40) plot.setSize({ width, height });
    else make();
  });
  watcher.observe(drawn);
  const themed = new MutationObserver(make);
  themed.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", make);

  return {
    element,
    /** @param {Chart} now @param {boolean} log */
    show(now, log) {
      const same = shown && shown.columns.length === now.columns.length && shown.others.length === now.others.length;
      const alike = same && log === logarithmic && shown?.tone === now.tone && plot !== null && !log;
      shown = now;
      logarithmic = log;
      fill(title, now.title);
      const none = [...now.columns, ...now.others].every((column) => column.every((each) => each === null || !Number.isFinite(each)));
      drawn.hidden = none;
      words.hidden = !none;
      const some = now.columns.some((column) => column.some((each) => each !== null));
      fill(words, none && (some ? "not finite in any step" : now.none));
      if (alike) plot?.setData(data(now));
      else {
        paths.clear();
        make();
      }
    },
    /** Move the playhead. @param {number} step @param {boolean} here @param {readonly number[] | null} then  the numbers after the update */
    seek(step, here, then) {
      after = then;
      if (plot && step === at && here === reached) return writeValue();
      at = step;
      reached = here;
      plot?.redraw(false, false);
      writeValue();
    },
    destroy() {
      watcher.disconnect();
      themed.disconnect();
      scheme.removeEventListener("change", make);
      plot?.destroy();
    },
  };
}

/** Return the data for uPlot: a curve skips steps without a number, and breaks at a number that is not finite. @param {Chart} chart */
function data({ index, others, columns }) {
  /** @param {Column} column */
  const drawn = (column) => column.map((each) => (each === null ? undefined : Number.isFinite(each) ? each : null));
  return /** @type {import("uplot").AlignedData} */ ([[...index], ...others.map(drawn), ...columns.map(drawn)]);
}

/** Return the positions of numbers without a neighbour, which no curve reaches. @param {Column} column */
function lone(column) {
  const filled = [...column.keys()].filter((i) => column[i] !== null);
  const drawn = (/** @type {number | undefined} */ i) => i !== undefined && Number.isFinite(column[i]);
  return filled.filter((position, i) => drawn(position) && !drawn(filled[i - 1]) && !drawn(filled[i + 1]));
}

/** Return the smallest nonzero absolute value, the threshold of a scale that is logarithmic on both sides of zero. @param {readonly Column[]} columns */
function smallest(columns) {
  let least = Infinity;
  for (const column of columns) for (const value of column) if (value && Number.isFinite(value)) least = Math.min(least, Math.abs(value));
  return Number.isFinite(least) ? Math.max(least, 1e-12) : 1;
}

/** Return powers of ten between two numbers, on both sides of zero, few enough to be readable. @param {number} low @param {number} high @param {number} least */
function decades(low, high, least) {
  const first = Math.ceil(Math.log10(least));
  const last = Math.floor(Math.log10(Math.max(Math.abs(low), Math.abs(high))));
  const sides = (low < 0 ? 1 : 0) + (high > 0 ? 1 : 0);
  const stride = Math.max(1, Math.ceil(((last - first + 1) * sides) / 4));
  const found = low <= 0 && high >= 0 ? [0] : [];
  for (let power = last; power >= first; power -= stride) found.push(10 ** power, -(10 ** power));
  return found.filter((each) => each >= low && each <= high).sort((a, b) => a - b);
}

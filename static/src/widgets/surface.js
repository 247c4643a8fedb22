// Draw the loss over one or two elements of parameters: the way that was taken, and the gradient as the slope at the playhead.

import { fill, h, s, widget } from "../leaves/dom.js";
import * as format from "../leaves/format.js";
import { draw as arrows } from "./surface/arrow.js";
import { digits, places } from "./surface/contour-labels.js";
import { bent, decades, scaleOf } from "./surface/loss-scale.js";
import { tangent } from "./surface/tangent.js";

/** @import {Point, Scale} from "./surface/loss-scale.js" */

/**
 * @typedef {object} Axis
 * @property {string} name
 * @property {readonly number[]} values
 *
 * @typedef {object} Way                         steps, in order
 * @property {readonly number[]} steps
 * @property {readonly (number | null)[][]} values     for each axis
 * @property {readonly (number | null)[]} losses
 *
 * @typedef {object} Shown
 * @property {readonly Axis[]} axes              one or two
 * @property {readonly (number | null)[]} losses    over the grid, the last axis running fastest
 * @property {string} loss                       its name
 * @property {Way} way
 * @property {boolean} logarithmic               wished for
 *
 * @typedef {object} Place
 * @property {number} at
 * @property {readonly (number | null)[] | null} slope    the gradient by each axis; null before backward
 * @property {readonly (number | null)[] | null} update   what was added along each axis; null before the update
 */

const EDGE = { left: 44, right: 10, top: 8, bottom: 20 };
const INSET = 10; // pixels between a curve's least point and the axis
const APART = 22; // pixels from a number beside a curve to the next
const FINE = 3; // pixels of height in which a straight piece is bent
const ARROW = 30; // pixels of the arrow against the gradient
const TANGENT = 0.16; // of the width, to each side

/** Draw nothing, a curve or a contour. */
export function surface() {
  const ground = s("g");
  const clip = s("rect");
  const mark = s("g", { "clip-path": "url(#surface)" });
  const svg = s("svg", { class: "plane", role: "img" }, s("clipPath", { id: "surface" }, clip), ground, mark);
  const element = h("div", { class: "surface" }, svg);
  /** @type {Shown | null} */
  let shown = null;
  /** @type {Place} */
  let place = { at: 0, slope: null, update: null };
  /** @type {Scale} */
  let scale = scaleOf([], [], false);
  /** @type {typeof import("d3-contour").contours | null} */
  let contours = null; // what draws them, once one is to be drawn
  let [width, height] = [0, 0];
  /** @type {(value: number) => number} */
  let x = () => 0;
  /** @type {(value: number) => number} */
  let y = () => 0;
  /** @type {number | null} */
  let least = null; // the loss at the foot of a plane that is logarithmic

  /** @param {readonly number[]} domain @param {number} from @param {number} to @returns {(value: number) => number} */
  function linear(domain, from, to) {
    const [low, high] = [domain[0] ?? 0, domain.at(-1) ?? 1];
    return (value) => from + ((value - low) / (high - low || 1)) * (to - from);
  }

  function draw() {
    ({ width, height } = element.getBoundingClientRect());
    if (!shown || width < 80 || height < 60) return fill(ground);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const [left, right, top, bottom] = [EDGE.left, width - EDGE.right, EDGE.top, height - EDGE.bottom];
    const inset = shown.axes.length > 1 ? 1 : 0; // contours are closed along the border, where they end
    for (const [name, value] of Object.entries({
      x: left + inset,
      y: inset && top + inset,
      width: right - left - 2 * inset,
      height: bottom - (inset && top + 2 * inset),
    }))
      clip.setAttribute(name, String(value));
    const [first, second] = shown.axes;
    if (!first) return fill(ground);
    x = linear(first.values, left, right);
    /** @type {readonly number[]} */
    let range = second?.values ?? [];
    if (!second) {
      // each step is to be seen also where it is far below the curve, which is known at some points only
      const known = [...shown.losses, ...(scale.logarithmic ? shown.way.losses : [])].filter((value) => value !== null);
      range = [Math.min(...known), Math.max(...known)];
    }
    const [foot, head] = second ? [bottom, top] : [bottom - INSET, top + INSET / 2]; // the least is a place to be seen, too
    const logarithmic = scale.logarithmic && !second;
    const scaled = linear(logarithmic ? range.map(Math.log10) : range, foot, head);
    y = logarithmic ? (value) => scaled(Math.log10(value)) : scaled;
    const [low, high] = [range[0] ?? 0, range.at(-1) ?? 1];
    least = logarithmic ? low * (low / high) ** (INSET / (foot - head)) : null;
    const rungs = logarithmic ? decades(low, high, (foot - head) / APART) : [];
    const wide = Math.abs((range.at(-1) ?? 0) - (range[0] ?? 0));
    const end = (/** @type {number} */ value) => (Math.abs(value) < wide / 1000 ? "0" : format.number(value, 2));
    fill(
      ground,
      rungs.map((value) => s("path", { class: "rung", d: `M${left} ${y(value).toFixed(1)}H${right}` })),
      second ? s("g", { "clip-path": "url(#surface)" }, heights(shown, first, second, { left, right, top, bottom })) : s("path", { class: "curve", d: curve(first, shown.losses) }),
      s("path", { class: "frame", d: `M${left} ${top}V${bottom}H${right}` }),
      [first.values[0], first.values.at(-1)].map((value, i) =>
        s("text", { class: "axis", x: i ? right : left, y: height - 6, "text-anchor": i ? "end" : "start" }, end(value ?? 0)),
      ),
      s("text", { class: "axis name", x: (left + right) / 2, y: height - 6, "text-anchor": "middle" }, first.name),
      rungs.length > 1
        ? format.axis(rungs).map((text, i) => s("text", { class: "axis", x: left - 5, y: y(rungs[i] ?? 1) + 3.5, "text-anchor": "end" }, text))
        : [low, high].map((value, i) =>
            s(
              "text",
              { class: "axis", x: left - 5, y: i ? head + 8 - (second ? 0 : 5) : foot + (second ? 0 : 3), "text-anchor": "end" },
              logarithmic ? format.number(value, 2) : end(value),
            ),
          ),
      second &&
        s("text", { class: "axis name", x: left - 5, y: (top + bottom) / 2, "text-anchor": "end" }, second.name),
    );
    move();
  }

  /** @param {Axis} axis @param {readonly (number | null)[]} losses */
  function curve({ values }, losses) {
    /** @type {[string, Point | null]} */
    let [path, last] = ["", null];
    for (const [i, value] of values.entries()) {
      const loss = losses[i];
      /** @type {Point | null} */
      const next = loss === null || loss === undefined ? null : [value, loss]; // it cannot be computed everywhere
      if (next && last) {
        const parts = 1 + Math.floor(Math.abs(y(next[1]) - y(last[1])) / FINE);
        const piece = least === null ? [next] : bent(last, next, parts).slice(1);
        for (const [at, height] of piece) path += `L${x(at).toFixed(1)} ${y(height).toFixed(1)}`;
      } else if (next) path += `M${x(next[0]).toFixed(1)} ${y(next[1]).toFixed(1)}`;
      last = next;
    }
    return path;
  }

  /**
   * Lines of equal loss, some of them with their loss.
   *
   * @param {Shown} now
   * @param {Axis} first
   * @param {Axis} second
   * @param {{left: number, right: number, top: number, bottom: number}} plane
   */
  function heights({ losses, way }, first, second, plane) {
    if (!contours) return [];
    const known = losses.filter((value) => value !== null);
    const high = Math.max(...known);
    const [wide, high_] = [first.values.length, second.values.length];
    // the grid comes a row for each value of the first axis: the contour wants one for each of the second
    const rows = Array.from({ length: wide * high_ }, (_, i) => losses[(i % wide) * high_ + Math.floor(i / wide)] ?? high);
    const [dx, dy] = [
      (x(first.values.at(-1) ?? 1) - x(first.values[0] ?? 0)) / (wide - 1),
      (y(second.values.at(-1) ?? 1) - y(second.values[0] ?? 0)) / (high_ - 1),
    ];
    const [x0, y0] = [x(first.values[0] ?? 0), y(second.values[0] ?? 0)];
    const lines = contours()
      .size([wide, high_])
      .thresholds([...scale.levels])(rows)
      .map(({ coordinates, value }) => ({
        loss: value,
        rings: coordinates.flat().map((ring) => ring.map(([i, j]) => ({ x: x0 + ((i ?? 0) - 0.5) * dx, y: y0 + ((j ?? 0) - 0.5) * dy }))),
      }));
    const walked = way.steps.flatMap((_, i) => {
      const [a, b] = [way.values[0]?.[i] ?? null, way.values[1]?.[i] ?? null];
      return a === null || b === null ? [] : [{ x: x(a), y: y(b) }];
    });
    return [
      lines.map(({ loss, rings }) =>
        s(
          "path",
          {
            class: "height",
            d: rings.map((ring) => `M${ring.map((each) => `${each.x.toFixed(1)} ${each.y.toFixed(1)}`).join("L")}Z`).join(""),
          },
          s("title", null, format.number(loss)),
        ),
      ),
      places(lines, plane, walked).map(({ loss, ...at }) => s("text", { class: "level", ...at, dy: 3, "text-anchor": "middle" }, digits(loss))),
    ];
  }

  /** What moves with the playhead: the way up to it, and the gradient. */
  function move() {
    if (!shown || !width) return fill(mark);
    const { steps, values, losses } = shown.way;
    const flat = shown.axes.length === 1;
    const points = steps.flatMap((step, i) => {
      const [a, b] = [values[0]?.[i] ?? null, flat ? (losses[i] ?? null) : (values[1]?.[i] ?? null)];
      return a === null || b === null || step > place.at ? [] : [{ step, a, b, x: x(a), y: y(b) }];
    });
    const last = points.at(-1);
    const here = last?.step === place.at ? last : null;
    const few = points.length > 160 ? points.filter((_, i) => i % Math.ceil(points.length / 160) === 0) : points;
    fill(
      mark,
      !flat && s("path", { class: "way", d: points.map((each, i) => `${i ? "L" : "M"}${each.x.toFixed(1)} ${each.y.toFixed(1)}`).join("") }),
      few.map((each) => each !== here && s("circle", { class: "before", cx: each.x, cy: each.y, r: 1.75 })),
      here && (flat ? touching(here) : pointing(here)),
      here && s("circle", { class: "here", cx: here.x, cy: here.y, r: 4.5 }),
    );
  }

  /** A line whose slope is the gradient. @param {{a: number, b: number}} here */
  function touching(here) {
    const slope = place.slope?.[0] ?? null;
    const axis = shown?.axes[0]?.values;
    if (slope === null || !axis) return null;
    const reach = ((axis.at(-1) ?? 1) - (axis[0] ?? 0)) * TANGENT;
    return s("path", { class: "tangent", d: tangent({ x, y, least }, here, slope, reach, TANGENT * width) });
  }

  /** Where the loss falls fastest, which is against the gradient; and where the update went. @param {{a: number, b: number, x: number, y: number}} from */
  function pointing(from) {
    /** @param {readonly (number | null)[] | null} by @param {number} sign @returns {[number, number] | null} */
    const way = (by, sign) => {
      const [da, db] = [by?.[0] ?? null, by?.[1] ?? null];
      return da === null || db === null ? null : [x(from.a + sign * da) - from.x, y(from.b + sign * db) - from.y];
    };
    const [against, update] = [way(place.slope, -1), way(place.update, 1)];
    const long = against && Math.hypot(...against);
    return arrows(
      [
        ...(against && long ? [{ from, way: /** @type {[number, number]} */ (against.map((each) => (each / long) * ARROW)), tone: "grad", words: "−gradient" }] : []),
        ...(update ? [{ from, way: update, tone: "param", words: "update" }] : []),
      ],
      { left: EDGE.left, right: width - EDGE.right, top: EDGE.top, bottom: height - EDGE.bottom },
    );
  }

  new ResizeObserver(draw).observe(element);

  return widget(element, {
    /** @param {Shown | null} now */
    show(now) {
      shown = now;
      scale = scaleOf(now?.losses ?? [], now?.axes.length === 1 ? now.way.losses : [], now?.logarithmic ?? false);
      const said = scale.logarithmic && now?.axes.length === 1 ? ", on a logarithmic scale" : "";
      svg.setAttribute("aria-label", now ? `${now.loss} vs. ${now.axes.map(({ name }) => name).join(" and ")}${said}` : "");
      draw();
      if (!now || now.axes.length < 2 || contours) return;
      void import("d3-contour").then((module) => {
        contours = module.contours;
        draw();
      });
    },
    /** On what scale it is shown. */
    scale: () => scale,
    /** @param {Place} now */
    seek(now) {
      place = now;
      move();
    },
  });
}

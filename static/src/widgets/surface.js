// Draw the loss as a function of one or two elements of parameters, with the trajectory of the training and the gradient at the
// playhead.

import { fill, h, s, widget } from "../leaves/dom.js";
import * as format from "../leaves/format.js";
import { draw as arrows } from "./surface/arrow.js";
import { digits, labelPositions } from "./surface/contour-labels.js";
import { bent, decades, scaleOf } from "./surface/loss-scale.js";
import { tangent } from "./surface/tangent.js";

/** @import {LossPoint, LossScale} from "./surface/loss-scale.js" */

/**
 * @typedef {object} ParameterAxis
 * @property {string} name
 * @property {readonly number[]} values
 *
 * @typedef {object} Trajectory                  the values of each step, in order
 * @property {readonly number[]} steps
 * @property {readonly (number | null)[][]} values     for each axis, one for each step
 * @property {readonly (number | null)[]} losses
 *
 * @typedef {object} Shown
 * @property {readonly ParameterAxis[]} axes              one or two
 * @property {readonly (number | null)[]} losses    at the grid's points; the last axis varies fastest
 * @property {string} loss                       name of the loss
 * @property {Trajectory} trajectory
 * @property {boolean} logarithmic               a logarithmic scale is requested
 *
 * @typedef {object} SurfacePlayhead
 * @property {number} at
 * @property {readonly (number | null)[] | null} slope    the gradient along each axis; null before backward
 * @property {readonly (number | null)[] | null} update   the update along each axis; null before the update phase
 */

const EDGE = { left: 44, right: 10, top: 8, bottom: 20 };
const INSET = 10; // pixels between a curve's lowest point and the axis
const APART = 22; // pixels between numbers beside a curve
const FINE = 3; // on a logarithmic scale, a straight piece is drawn in parts of this height in pixels
const ARROW = 30; // length of the arrow opposite to the gradient, in pixels
const TANGENT = 0.16; // length of the tangent to each side, as a part of the width

/** Make the plot: a curve for one axis, a contour for two. */
export function surface() {
  const ground = s("g");
  const clip = s("rect");
  const mark = s("g", { "clip-path": "url(#surface)" });
  const svg = s("svg", { class: "plane", role: "img" }, s("clipPath", { id: "surface" }, clip), ground, mark);
  const element = h("div", { class: "surface" }, svg);
  /** @type {Shown | null} */
  let shown = null;
  /** @type {SurfacePlayhead} */
  let playhead = { at: 0, slope: null, update: null };
  /** @type {LossScale} */
  let scale = scaleOf([], [], false);
  /** @type {typeof import("d3-contour").contours | null} */
  let contours = null; // loaded with the first contour
  let [width, height] = [0, 0];
  /** @type {(value: number) => number} */
  let x = () => 0;
  /** @type {(value: number) => number} */
  let y = () => 0;
  /** @type {number | null} */
  let least = null; // the loss at the bottom of a logarithmic scale

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
    const inset = shown.axes.length > 1 ? 1 : 0; // hides the border along which d3 closes contours
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
      // the curve has few points: a step's loss may lie far below it, and must be visible on a logarithmic scale
      const finite = [...shown.losses, ...(scale.logarithmic ? shown.trajectory.losses : [])].filter((value) => value !== null);
      range = [Math.min(...finite), Math.max(...finite)];
    }
    const [foot, head] = second ? [bottom, top] : [bottom - INSET, top + INSET / 2]; // room below the lowest point of a curve
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
      second ? s("g", { "clip-path": "url(#surface)" }, contourLines(shown, first, second, { left, right, top, bottom })) : s("path", { class: "curve", d: curve(first, shown.losses) }),
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

  /** Return the path of a curve. @param {ParameterAxis} axis @param {readonly (number | null)[]} losses */
  function curve({ values }, losses) {
    /** @type {[string, LossPoint | null]} */
    let [path, last] = ["", null];
    for (const [i, value] of values.entries()) {
      const loss = losses[i];
      /** @type {LossPoint | null} */
      const next = loss === null || loss === undefined ? null : [value, loss]; // not every loss is finite
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
   * Draw lines of equal loss, some of them with a label.
   *
   * @param {Shown} now
   * @param {ParameterAxis} first
   * @param {ParameterAxis} second
   * @param {{left: number, right: number, top: number, bottom: number}} plane
   */
  function contourLines({ losses, trajectory }, first, second, plane) {
    if (!contours) return [];
    const finite = losses.filter((value) => value !== null);
    const high = Math.max(...finite);
    const [wide, high_] = [first.values.length, second.values.length];
    // transpose: the grid has a row for each value of the first axis, d3-contour expects one for each of the second
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
    const taken = trajectory.steps.flatMap((_, i) => {
      const [a, b] = [trajectory.values[0]?.[i] ?? null, trajectory.values[1]?.[i] ?? null];
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
      labelPositions(lines, plane, taken).map(({ loss, ...at }) => s("text", { class: "level", ...at, dy: 3, "text-anchor": "middle" }, digits(loss))),
    ];
  }

  /** Draw the parts that follow the playhead: the trajectory up to it, the gradient and the update. */
  function move() {
    if (!shown || !width) return fill(mark);
    const { steps, values, losses } = shown.trajectory;
    const flat = shown.axes.length === 1;
    const points = steps.flatMap((step, i) => {
      const [a, b] = [values[0]?.[i] ?? null, flat ? (losses[i] ?? null) : (values[1]?.[i] ?? null)];
      return a === null || b === null || step > playhead.at ? [] : [{ step, a, b, x: x(a), y: y(b) }];
    });
    const last = points.at(-1);
    const here = last?.step === playhead.at ? last : null;
    const few = points.length > 160 ? points.filter((_, i) => i % Math.ceil(points.length / 160) === 0) : points;
    fill(
      mark,
      !flat && s("path", { class: "way", d: points.map((each, i) => `${i ? "L" : "M"}${each.x.toFixed(1)} ${each.y.toFixed(1)}`).join("") }),
      few.map((each) => each !== here && s("circle", { class: "before", cx: each.x, cy: each.y, r: 1.75 })),
      here && (flat ? tangentLine(here) : gradientArrows(here)),
      here && s("circle", { class: "here", cx: here.x, cy: here.y, r: 4.5 }),
    );
  }

  /** Draw the tangent, whose slope is the gradient. @param {{a: number, b: number}} here */
  function tangentLine(here) {
    const slope = playhead.slope?.[0] ?? null;
    const axis = shown?.axes[0]?.values;
    if (slope === null || !axis) return null;
    const reach = ((axis.at(-1) ?? 1) - (axis[0] ?? 0)) * TANGENT;
    return s("path", { class: "tangent", d: tangent({ x, y, least }, here, slope, reach, TANGENT * width) });
  }

  /** Draw one arrow opposite to the gradient, where the loss falls fastest, and one along the update. @param {{a: number, b: number, x: number, y: number}} from */
  function gradientArrows(from) {
    /** @param {readonly (number | null)[] | null} by @param {number} sign @returns {[number, number] | null} */
    const vector = (by, sign) => {
      const [da, db] = [by?.[0] ?? null, by?.[1] ?? null];
      return da === null || db === null ? null : [x(from.a + sign * da) - from.x, y(from.b + sign * db) - from.y];
    };
    const [against, update] = [vector(playhead.slope, -1), vector(playhead.update, 1)];
    const long = against && Math.hypot(...against);
    return arrows(
      [
        ...(against && long ? [{ from, vector: /** @type {[number, number]} */ (against.map((each) => (each / long) * ARROW)), tone: "grad", label: "−gradient" }] : []),
        ...(update ? [{ from, vector: update, tone: "param", label: "update" }] : []),
      ],
      { left: EDGE.left, right: width - EDGE.right, top: EDGE.top, bottom: height - EDGE.bottom },
    );
  }

  new ResizeObserver(draw).observe(element);

  return widget(element, {
    /** @param {Shown | null} now */
    show(now) {
      shown = now;
      scale = scaleOf(now?.losses ?? [], now?.axes.length === 1 ? now.trajectory.losses : [], now?.logarithmic ?? false);
      const remark = scale.logarithmic && now?.axes.length === 1 ? ", on a logarithmic scale" : "";
      svg.setAttribute("aria-label", now ? `${now.loss} vs. ${now.axes.map(({ name }) => name).join(" and ")}${remark}` : "");
      draw();
      if (!now || now.axes.length < 2 || contours) return;
      void import("d3-contour").then((module) => {
        contours = module.contours;
        draw();
      });
    },
    /** Return the scale in use. */
    scale: () => scale,
    /** @param {SurfacePlayhead} now */
    seek(now) {
      playhead = now;
      move();
    },
  });
}

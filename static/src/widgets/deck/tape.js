// The tape: steps with their phases, the curves of the losses above them, and the playhead, which can be dragged.

import { fill, h, s, widget } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";
import { powersOfTen, ticks } from "../../leaves/ticks.js";
import { PHASES } from "../../leaves/types.js";
import { labelPlacer } from "./label-placement.js";
import { nonFinite, summary } from "./nonfinite.js";

/** @import {Phase} from "../../leaves/types.js" */
/** @import {Point} from "./label-placement.js" */

/**
 * @typedef {{name: string, index: readonly number[], values: readonly (number | null)[]}} Curve
 *
 * @typedef {object} Tape
 * @property {number} steps
 * @property {number} last               the last step at which the playhead can stop: it may be incomplete
 * @property {number} span               number of steps that the tape has room for, while a run is in progress
 * @property {boolean} stopped           the program stopped after the last step
 * @property {boolean} logarithmic
 * @property {readonly Curve[]} curves
 * @property {readonly Curve[]} others   curves of the other run
 *
 * @typedef {object} TapePlayhead
 * @property {number} at
 * @property {Phase} phase
 * @property {number | null} part        finished part of the backward phase, from 0 to 1
 * @property {string} text               description of the playhead for screen readers
 */

const EDGE = 8; // free pixels beside the tape
const AXIS = 46; // width of the axis of the losses
const APART = 26; // distance between numbers on this axis, in pixels
const GAP = 8; // free pixels between a label and its point
const WHOLE = 160; // maximum number of steps whose cells are drawn one by one
const WIDE = 26; // minimum width of a cell in which the pointer can select a phase, in pixels
const FINE = 7; // minimum width of a cell in which the phases are drawn, in pixels
const LETTER = 5.6; // width of a letter of a label, in pixels
const LINES = 40; // maximum number of non-finite stretches drawn for a curve
const LOW = 56; // minimum height with room for labels, in pixels

/** Make the tape. @param {{onseek: (step: number, phase: Phase | null) => void}} options */
export function tape({ onseek }) {
  const clip = s("rect", { x: 0, y: 0, height: 400 });
  const ground = s("g");
  const ahead = s("g", { class: "ahead" });
  const played = s("g", { class: "played", "clip-path": "url(#played)" });
  const marks = s("g");
  const signs = s("g");
  const line = s("line", { class: "head" });
  const dots = s("g");
  const grip = s("rect", { class: "grip", width: 8, height: 14, rx: 2 });
  const element = s(
    "svg",
    { class: "tape", role: "slider", tabindex: 0, "aria-label": "Training step", "aria-valuemin": 0 },
    s("clipPath", { id: "played" }, clip),
    ground,
    ahead,
    played,
    marks,
    line,
    signs,
    dots,
    grip,
  );
  const tooltip = h("div", { class: "told", hidden: true, "aria-hidden": "true" });
  const root = h("div", { class: "tape-place" }, element, tooltip);

  /** @type {Tape} */
  let shown = { steps: 0, last: -1, span: 0, stopped: false, logarithmic: false, curves: [], others: [] };
  /** @type {TapePlayhead} */
  let playhead = { at: 0, phase: "backward", part: null, text: "" };
  let [left, width, height] = [0, 0, 0];
  /** @type {number[]} */
  let posts = []; // x of the lines that mark non-finite numbers, in pixels
  const small = () => height < LOW;
  const base = () => height - (small() ? 12 : 30);
  const cells = () => Math.max(shown.steps + (shown.stopped ? 1 : 0), shown.span);
  const start = () => (small() || !shown.curves.length ? EDGE : AXIS); // x of the first step
  const cell = () => (width - start() - EDGE) / Math.max(1, cells());
  const x = (/** @type {number} */ step, part = 0) => start() + (step + part) * cell();
  /** @type {(value: number) => number | null} */
  let y = () => null;

  /** Return the step under the pointer, and its phase if cells are wide enough. @param {number} clientX @returns {[number, Phase | null]} */
  function under(clientX) {
    const exact = (clientX - left - start()) / cell();
    const step = Math.max(0, Math.min(shown.last, Math.floor(exact)));
    const part = Math.max(0, Math.min(3, Math.floor((exact - step) * 4)));
    return [step, cell() >= WIDE ? (PHASES[part] ?? null) : null];
  }
  element.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    ({ left } = element.getBoundingClientRect());
    element.setPointerCapture(event.pointerId);
    element.focus({ preventScroll: true });
    tooltip.hidden = true;
    onseek(...under(event.clientX));
  });
  element.addEventListener("pointermove", (event) => {
    if (element.hasPointerCapture(event.pointerId)) return onseek(...under(event.clientX));
    ({ left } = element.getBoundingClientRect());
    showTooltip(under(event.clientX)[0]);
  });
  element.addEventListener("pointerleave", () => (tooltip.hidden = true));

  /** Show the losses of the step under the pointer. @param {number} step */
  function showTooltip(step) {
    const lines = [...shown.curves.map((curve) => ({ curve, other: "" })), ...shown.others.map((curve) => ({ curve, other: "dashed" }))];
    const found = lines.flatMap(({ curve, other }) => {
      const value = at(curve, step);
      return value === null ? [] : [h("span", { class: other }, `${curve.name} `, h("b", null, format.number(value)))];
    });
    tooltip.hidden = shown.last < 1;
    fill(tooltip, h("span", null, step < shown.steps ? `step ${step}` : "stopped here"), found);
    tooltip.style.left = `${Math.max(60, Math.min(width - 60, x(step, 0.5)))}px`;
  }

  /** Draw the parts that do not depend on the playhead. */
  function draw() {
    ({ width, height } = element.getBoundingClientRect());
    if (!width || shown.last < 1) return;
    const { steps, stopped, logarithmic, curves, others } = shown;
    const fits = (/** @type {number | null} */ value) => value !== null && Number.isFinite(value) && (!logarithmic || value > 0);
    const scaled = (/** @type {number} */ value) => (logarithmic ? Math.log10(value) : value);
    let [low, high] = [Infinity, -Infinity];
    for (const { values } of [...curves, ...others])
      for (const value of values) {
        if (value === null || !fits(value)) continue;
        low = Math.min(low, scaled(value));
        high = Math.max(high, scaled(value));
      }
    if (!logarithmic) [low, high] = [Math.min(low, 0), Math.max(high, 0)];
    const [top, foot] = [6, base() - 8];
    y = (value) => (fits(value) ? top + (1 - (scaled(value) - low) / (high - low || 1)) * (foot - top) : null);

    element.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const drawn = (/** @type {Curve} */ curve, /** @type {string} */ name) => s("path", { class: `curve ${name}`, d: path(curve) });
    const all = [...others.map((curve) => drawn(curve, "other")), ...curves.map((curve, i) => drawn(curve, `curve-${i % 3}`))];
    fill(ahead, all, strip());
    fill(
      played,
      all.map((each) => each.cloneNode()),
      strip(),
    );
    fill(
      marks,
      stopped && s("rect", { class: "stop", x: x(steps), y: base(), width: Math.max(3, cell() / 4), height: 12 }),
      !small() && stepTicks(cells() - (stopped ? 1 : 0)).map(tick),
    );
    const broken = curves.map((curve) => ({ name: curve.name, found: nonFinite(curve) })).filter(({ found }) => found.length);
    fill(
      ground,
      !small() && curves.length > 0 && Number.isFinite(high - low) && axis(low, high, foot - top, logarithmic),
      broken.flatMap(({ found }) => found.slice(0, LINES).map(nonFiniteMark)),
    );
    posts = broken.flatMap(({ found }) => found.map(({ first }) => x(first, 0.5)));
    fill(signs);
    if (!small()) {
      const placeLabel = labelPlacer([...curves, ...others].flatMap(pieces));
      if (stopped) label(placeLabel, x(steps), [`stopped here: step ${steps - 1} is the last`, "stopped here"], "stopped");
      for (const { name, found } of broken)
        label(placeLabel, x(found[0]?.first ?? 0, 0.5), [`${curves.length > 1 ? `${name} ` : ""}${summary(found)}`], "bad");
      if (!stopped && width > 420 && shown.span <= steps) for (const curve of curves) endLabel(placeLabel, curve);
    }
    move();
  }

  /**
   * Draw the axis of the losses: lines across the tape, with their numbers at the left.
   *
   * @param {number} low   the lowest loss, or its logarithm
   * @param {number} high
   * @param {number} room  pixels between them
   * @param {boolean} logarithmic
   */
  function axis(low, high, room, logarithmic) {
    const most = Math.max(2, Math.floor(room / APART));
    /** @type {number[]} */
    let numbers = [];
    // one number shows no scale: rather place two closer together
    for (let count = most; numbers.length < 2 && count <= 2 * most; count++) numbers = logarithmic ? powersOfTen(low, high, count) : ticks(low, high, count);
    if (low === high) numbers = [logarithmic ? 10 ** low : low];
    else if (logarithmic && numbers.length < 2) numbers = [10 ** low, 10 ** high]; // less than a decade
    const texts = format.axis(numbers);
    return numbers.map((value, i) => {
      const at = y(value);
      return at === null ? null : [
        s("line", { class: "rung", x1: start(), x2: width - EDGE, y1: at, y2: at }),
        s("text", { class: "axis", x: start() - 6, y: at + 3.5, "text-anchor": "end" }, texts[i]),
      ];
    });
  }

  /** Make the number of a step under the tape, within its borders. @param {number} step */
  function tick(step) {
    const text = String(step);
    const half = (LETTER * text.length) / 2 + 1;
    const middle = Math.max(half, Math.min(width - half, x(step, 0.5)));
    return s("text", { class: "axis", x: middle, y: height - 5, "text-anchor": "middle" }, text);
  }

  /**
   * Write a label beside a point of the tape, where no curve passes.
   *
   * @param {ReturnType<typeof labelPlacer>} placeLabel
   * @param {number} at  x of the point, in pixels
   * @param {readonly string[]} texts  the first one that fits is used
   * @param {"bad" | "stopped" | "end"} kind
   * @param {number} [preferred]  y of the baseline, in pixels
   */
  function label(placeLabel, at, texts, kind, preferred = base() - 6) {
    for (const text of texts) {
      const long = LETTER * text.length;
      const [left, right, last] = [at - GAP - long, at + GAP, width - EDGE - long];
      const sides = { bad: [right, left, last], stopped: [right, last], end: [left, right] };
      for (const side of sides[kind]) {
        if (side < EDGE || side + long > width - EDGE) continue;
        if (kind === "end" && posts.some((each) => each > side - GAP && each < side + long + GAP)) continue;
        const foot = placeLabel(side, side + long, preferred, [14, base() - 6]);
        if (foot === null) continue;
        if (kind === "stopped") signs.append(s("line", { class: "flaw", x1: at, x2: at, y1: foot + 4, y2: base() }));
        const end = side < at; // the exact width is unknown: anchor the text at the point
        const written = s("text", { class: `axis ${kind}`, x: end ? side + long : side, y: foot, "text-anchor": end ? "end" : "start" }, text);
        if (kind === "end") Object.assign(written.dataset, { left: side, right: side + long });
        return void signs.append(written);
      }
    }
  }

  /** Label the end of a curve. @param {ReturnType<typeof labelPlacer>} placeLabel @param {Curve} curve */
  function endLabel(placeLabel, curve) {
    const tail = lastOf(curve);
    const high = tail && y(tail.value);
    if (!tail || high === null) return;
    label(placeLabel, x(tail.step, 0.5), [`${tail.name} ${format.number(tail.value)} at step ${tail.step}`], "end", high - 7);
  }

  /** Mark a stretch of non-finite numbers. @param {import("./nonfinite.js").NonFinite} stretch */
  function nonFiniteMark({ first, last }) {
    const [from, to] = [x(first, 0.5), x(last, 0.5)];
    return [
      to > from && s("rect", { class: "flawed", x: from, y: 6, width: to - from, height: base() - 6 }),
      s("line", { class: "flaw", x1: from, x2: from, y1: 6, y2: base() }),
    ];
  }

  /** Return the pieces of a curve, which breaks at numbers that cannot be drawn. @param {Curve} curve */
  function pieces({ index, values }) {
    /** @type {Point[][]} */
    const found = [];
    let whole = false;
    for (const [i, value] of values.entries()) {
      if (value === null) continue; // a step of another loss
      const high = y(value);
      if (high !== null) {
        const point = { x: x(index[i] ?? i, 0.5), y: high };
        if (whole) found.at(-1)?.push(point);
        else found.push([point]);
      }
      whole = high !== null;
    }
    return found;
  }

  /** @param {Curve} curve */
  const path = (curve) =>
    pieces(curve)
      .map((piece) => `M${piece.map((each) => `${each.x.toFixed(1)} ${each.y.toFixed(1)}`).join("L")}${piece.length > 1 ? "" : "h0"}`)
      .join("");

  /** Draw a cell for each step, with a segment for each phase. */
  function strip() {
    const [size, top] = [cell(), base() + 2];
    const rest = cells() - shown.steps - (shown.stopped ? 1 : 0);
    const coming = rest > 0 && s("rect", { class: "segment coming", x: x(shown.steps), y: top, width: rest * size, height: 8 });
    if (shown.steps > WHOLE || size < FINE)
      return [s("rect", { class: "segment plain", x: start(), y: top, width: shown.steps * size, height: 8 }), coming];
    const phases = PHASES.map((phase, k) => {
      const gap = k === 0 && size > 6 ? 1 : 0;
      let d = "";
      for (let i = 0; i < shown.steps; i++) {
        d += `M${(x(i, k / 4) + gap).toFixed(2)} ${top}h${(size / 4 - gap).toFixed(2)}v8h${(gap - size / 4).toFixed(2)}z`;
      }
      return s("path", { class: `segment ${phase}`, d });
    });
    return [...phases, coming];
  }

  /** Draw the parts that follow the playhead. */
  function move() {
    if (!width || shown.last < 1) return;
    const { at: step, phase, part } = playhead;
    const k = PHASES.indexOf(phase);
    const now = x(step, (k + (part === null ? 0.5 : part * 0.5)) / 4);
    clip.setAttribute("width", `${now}`);
    line.setAttribute("x1", `${now}`);
    line.setAttribute("x2", `${now}`);
    line.setAttribute("y1", "6");
    line.setAttribute("y2", `${base() + 2}`);
    for (const each of /** @type {NodeListOf<SVGTextElement>} */ (signs.querySelectorAll(".end")))
      each.classList.toggle("crossed", now > Number(each.dataset["left"]) - GAP && now < Number(each.dataset["right"]) + GAP);
    grip.setAttribute("x", `${now - 4}`);
    grip.setAttribute("y", `${base() - 1}`);
    const points = (k === 0 ? [] : [
      ...shown.others.map((curve) => ({ curve, name: "dot other" })),
      ...shown.curves.map((curve) => ({ curve, name: "dot" })),
    ]).flatMap(({ curve, name }) => {
      const value = at(curve, step);
      const high = value === null ? null : y(value);
      return high === null ? [] : [{ name, cx: x(step, 0.5), cy: high }];
    });
    while (dots.children.length > points.length) dots.lastChild?.remove();
    while (dots.children.length < points.length) dots.append(s("circle", { r: 4 }));
    for (const [i, { name, cx, cy }] of points.entries()) {
      const dot = dots.children[i];
      dot?.setAttribute("class", name);
      dot?.setAttribute("cx", `${cx}`);
      dot?.setAttribute("cy", `${cy}`);
    }
  }

  new ResizeObserver(draw).observe(element);

  return widget(root, {
    slider: element,
    /** @param {Tape} now */
    show(now) {
      shown = now;
      element.setAttribute("aria-valuemax", String(Math.max(0, now.last)));
      draw();
    },
    /** @param {TapePlayhead} now */
    seek(now) {
      playhead = now;
      element.setAttribute("aria-valuenow", String(now.at));
      element.setAttribute("aria-valuetext", now.text);
      move();
    },
  });
}

/** Return a curve's number at a step, or null. @param {Curve} curve @param {number} step */
function at({ index, values }, step) {
  if (index[step] === step) return values[step] ?? null;
  const position = index.indexOf(step);
  return position < 0 ? null : (values[position] ?? null);
}

/** Return the last finite number of a curve with its step, or null. @param {Curve | undefined} curve */
function lastOf(curve) {
  if (!curve) return null;
  const last = curve.values.findLastIndex((value) => value !== null && Number.isFinite(value));
  const value = curve.values[last];
  return last < 0 || value === null || value === undefined ? null : { name: curve.name, value, step: curve.index[last] ?? last };
}

/** Return the steps that have a number under the tape. @param {number} steps */
function stepTicks(steps) {
  const last = steps - 1;
  const wide =
    [1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 5000, 10000, 50000].find((size) => last / size <= 6) ??
    Math.ceil(last / 6);
  const all = [];
  for (let step = 0; step < last; step += wide) if (last - step >= wide / 2 || step === 0) all.push(step);
  return [...all, last];
}

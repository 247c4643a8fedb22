// Move the playhead: step by step, to a step, to a phase of it.

import { fill, h, s, widget } from "../leaves/dom.js";
import * as format from "../leaves/format.js";
import { PHASES } from "../leaves/types.js";

/** @import {Phase, Step} from "../leaves/types.js" */

/**
 * @typedef {object} Deck
 * @property {number} at
 * @property {number} steps
 * @property {Phase} phase
 * @property {Step | null} step
 * @property {readonly (number | null)[] | null} losses
 * @property {boolean} stopped      an error ended the program after the last step
 */

const ICONS = {
  first: "M1.5 2h2v10h-2zM13 2v10L5 7z",
  previous: "M11 2v10L3 7z",
  next: "M3 2v10l8-5z",
  last: "M10.5 2h2v10h-2zM1 2v10l8-5z",
};
const EDGE = 8; // free pixels beside the tape
const WHOLE = 160; // steps above which cells are too thin to be told apart

/** @param {{onstep: (step: number) => void, onphase: (phase: Phase) => void}} options */
export function deck({ onstep, onphase }) {
  /** @type {Deck} */
  let shown = { at: 0, steps: 0, phase: "backward", step: null, losses: null, stopped: false };
  const last = () => Math.max(0, shown.steps - 1);

  /** @param {keyof typeof ICONS} name @param {string} label @param {() => number} to */
  const key = (name, label, to) =>
    h(
      "button",
      { type: "button", class: "key", "aria-label": label, title: label, onclick: () => onstep(to()) },
      s("svg", { viewBox: "0 0 14 14", "aria-hidden": "true" }, s("path", { d: ICONS[name] })),
    );
  const first = key("first", "First step (Home)", () => 0);
  const previous = key("previous", "Previous step (Shift ←)", () => shown.at - 1);
  const next = key("next", "Next step (Shift →)", () => shown.at + 1);
  const end = key("last", "Last step (End)", last);

  const number = h("b", null);
  const of = h("span", null);
  const loss = h("span", { class: "loss" });
  const tape = s("svg", { class: "tape", role: "slider", tabindex: 0, "aria-label": "Training step" });
  const phases = PHASES.map((phase) =>
    h(
      "button",
      { type: "button", class: `phase ${phase}`, "data-phase": phase, onclick: () => onphase(phase) },
      h("span", null, phase),
      h("small"),
    ),
  );
  const element = h(
    "div",
    { class: "deck" },
    h(
      "div",
      { class: "transport" },
      h("div", { class: "count" }, number, of),
      h("div", { class: "keys", role: "group", "aria-label": "Steps" }, first, previous, next, end),
    ),
    h(
      "div",
      { class: "reel" },
      h(
        "div",
        { class: "caption" },
        loss,
        h(
          "span",
          { class: "hint", "aria-hidden": "true" },
          h("kbd", null, "←"),
          " ",
          h("kbd", null, "→"),
          " phase ",
          h("kbd", null, "Shift ←"),
          " ",
          h("kbd", null, "Shift →"),
          " step",
        ),
      ),
      tape,
    ),
    h("div", { class: "phases", role: "group", "aria-label": "Phase within the step" }, phases),
  );

  /** @param {Phase | undefined} phase */
  const empty = (phase) => phase !== "backward" && !(phase && shown.step?.lines[phase]?.length);

  /** @param {number} clientX */
  function seek(clientX) {
    const { left, width } = tape.getBoundingClientRect();
    const step = Math.floor(((clientX - left - EDGE) / (width - 2 * EDGE)) * shown.steps);
    const to = Math.max(0, Math.min(last(), step));
    if (to !== shown.at) onstep(to);
  }
  tape.addEventListener("pointerdown", (event) => {
    tape.setPointerCapture(event.pointerId);
    seek(event.clientX);
  });
  tape.addEventListener("pointermove", (event) => {
    if (tape.hasPointerCapture(event.pointerId)) seek(event.clientX);
  });
  /** @param {KeyboardEvent} event */
  function press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const on = event.target === tape;
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1 }[event.key];
    if (event.key === "Home") onstep(0);
    else if (event.key === "End") onstep(last());
    else if (event.key === "PageUp" || event.key === "PageDown")
      onphase(PHASES[Math.max(0, Math.min(3, PHASES.indexOf(shown.phase) + (event.key === "PageUp" ? -1 : 1)))] ?? "backward");
    else if (by && (on || event.shiftKey)) onstep(Math.max(0, Math.min(last(), shown.at + by)));
    else if (by && (event.key === "ArrowLeft" || event.key === "ArrowRight")) phase(by);
    else return;
    event.preventDefault();
  }
  /** The next phase that has lines, over the border of the step. @param {number} by */
  function phase(by) {
    let place = PHASES.indexOf(shown.phase) + by;
    while (PHASES[place] && empty(PHASES[place])) place += by;
    const next = PHASES[place];
    if (next) onphase(next);
    else if (shown.at + by >= 0 && shown.at + by <= last()) {
      onphase(PHASES[by > 0 ? 0 : 3] ?? "backward");
      onstep(shown.at + by);
    }
  }
  element.addEventListener("keydown", press);
  new ResizeObserver(() => draw()).observe(tape);

  function draw() {
    const { width, height } = tape.getBoundingClientRect();
    const { at, steps, losses, stopped } = shown;
    if (!width || steps < 2) return fill(tape);
    tape.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const small = height < 56;
    const cells = steps + (stopped ? 1 : 0);
    const cell = (width - 2 * EDGE) / cells;
    const top = 6;
    const base = height - (small ? 12 : 30);
    const x = (/** @type {number} */ step, part = 0) => EDGE + (step + part) * cell;
    const known = (losses ?? []).filter((value) => value !== null && Number.isFinite(value));
    const high = Math.max(...known.map(Number), 0);
    const low = Math.min(...known.map(Number), 0);
    const y = (/** @type {number} */ value) => top + (1 - (value - low) / (high - low || 1)) * (base - top - 8);
    const points = (losses ?? []).flatMap((value, i) =>
      value === null || !Number.isFinite(value) ? [] : [{ i, x: x(i, 0.5), y: y(value), value }],
    );
    const line = (/** @type {typeof points} */ some) =>
      some.map((point, i) => `${i ? "L" : "M"}${point.x.toFixed(1)} ${point.y.toFixed(1)}`).join("");
    const here = points.find(({ i }) => i === at);
    const head = x(at, (PHASES.indexOf(shown.phase) + 0.5) / 4);
    const tail = points.at(-1);
    fill(
      tape,
      points.length > 1 && s("path", { class: "curve", d: line(points) }),
      points.length > 1 && s("path", { class: "curve past", d: line(points.filter(({ i }) => i <= at)) }),
      strip(cells, cell, base + 2),
      stopped && s("rect", { class: "stop", x: x(steps), y: base, width: Math.max(3, cell / 4), height: 12 }),
      !small &&
        ticks(steps).map((step) => s("text", { class: "axis", x: x(step, 0.5), y: height - 5, "text-anchor": "middle" }, step)),
      s("line", { class: "head", x1: head, x2: head, y1: top, y2: base + 2 }),
      here && s("circle", { class: "dot", cx: here.x, cy: here.y, r: 4 }),
      s("rect", { class: "grip", x: head - 4, y: base - 1, width: 8, height: 14, rx: 2 }),
      !small &&
        stopped &&
        s(
          "text",
          {
            class: "axis bad",
            x: Math.min(x(steps) + 6, width - EDGE),
            y: base - 6,
            "text-anchor": cells > 6 ? "end" : "start",
          },
          `stopped here: nothing to play after step ${steps - 1}`,
        ),
      !small &&
        !stopped &&
        tail &&
        tail.i !== at &&
        width > 420 &&
        s(
          "text",
          { class: "axis", x: width - EDGE, y: Math.max(top + 8, tail.y - 7), "text-anchor": "end" },
          `loss ${format.number(tail.value)} at step ${tail.i}`,
        ),
    );
  }

  /** One cell for each step, four segments in each. @param {number} cells @param {number} cell @param {number} y */
  function strip(cells, cell, y) {
    const reached = shown.at * 4 + PHASES.indexOf(shown.phase);
    if (shown.steps > WHOLE) {
      const done = (shown.at + 1) * cell;
      return [
        s("rect", { class: "segment plain ahead", x: EDGE, y, width: shown.steps * cell, height: 8 }),
        s("rect", { class: "segment plain", x: EDGE, y, width: done, height: 8 }),
      ];
    }
    return PHASES.flatMap((phase, k) =>
      ["", "ahead"].map((state) => {
        let d = "";
        for (let i = 0; i < shown.steps; i++) {
          if (i * 4 + k <= reached === (state === "ahead")) continue;
          const gap = k === 0 && cell > 6 ? 1 : 0;
          d += `M${(EDGE + (i + k / 4) * cell + gap).toFixed(2)} ${y}h${(cell / 4 - gap).toFixed(2)}v8h${(gap - cell / 4).toFixed(2)}z`;
        }
        return s("path", { class: `segment ${phase} ${state}`, d });
      }),
    );
  }

  return widget(element, {
    /** @param {Deck} now */
    show(now) {
      shown = now;
      const { at, steps, step, phase: place } = now;
      element.dataset.steps = steps > 1 ? "many" : String(steps);
      number.textContent = steps > 1 ? String(at).padStart(2, "0") : String(steps);
      of.textContent =
        steps > 1 ? `step of ${last()}${now.stopped ? ", stopped" : ""}` : now.stopped ? "step, then stopped" : "step";
      for (const [button, off] of /** @type {[HTMLButtonElement, boolean][]} */ ([
        [first, at <= 0],
        [previous, at <= 0],
        [next, at >= last()],
        [end, at >= last()],
      ]))
        button.disabled = off;
      const value = step?.loss ? format.tensor(step.loss) : null;
      fill(loss, value && [step?.loss_name ?? "loss", " ", h("b", null, value)]);
      for (const [attribute, content] of Object.entries({
        min: 0,
        max: last(),
        now: at,
        text: `step ${at}, ${place}${value ? `, loss ${value}` : ""}`,
      }))
        tape.setAttribute(`aria-value${attribute}`, String(content));
      for (const button of phases) {
        const phase = /** @type {Phase} */ (button.dataset.phase);
        const lines = step?.lines[phase] ?? [];
        button.disabled = !step || empty(phase);
        button.setAttribute("aria-pressed", String(phase === place && step !== null));
        const small = /** @type {HTMLElement} */ (button.lastElementChild);
        small.textContent = lines.length ? format.lines(lines) : "";
      }
      draw();
    },
  });
}

/** Where numbers stand under the tape. @param {number} steps */
function ticks(steps) {
  const last = steps - 1;
  const wide =
    [1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 5000, 10000, 50000].find((size) => last / size <= 6) ??
    Math.ceil(last / 6);
  const all = [];
  for (let step = 0; step < last; step += wide) if (last - step >= wide / 2 || step === 0) all.push(step);
  return [...all, last];
}

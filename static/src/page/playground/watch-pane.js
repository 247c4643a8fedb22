// Watch an expression over all steps: ask for a line and an expression, and show its values as a curve or a list.

import { trouble } from "../../core/runner.js";
import { ended } from "../../core/state.js";
import { fill, h, prose } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";
import { charts } from "../../widgets/charts.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {Child} from "../../leaves/dom.js" */
/** @import {Watch} from "../../leaves/types.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */

/**
 * What to watch. Without a line, the expression is evaluated after every statement.
 *
 * @typedef {{line: number | null, expression: string}} Watched
 */

const ROWS = 200; // values that are listed

/**
 * @param {Store<State>} state
 * @param {Client} api
 * @param {(step: number) => void} onstep
 */
export function watchPane(state, api, onstep) {
  const line = h("input", { type: "number", min: "1", step: "1", class: "line", placeholder: "any", "aria-label": "Line, or empty for every line" });
  const expression = h("input", {
    type: "text",
    required: true,
    maxlength: "1000",
    spellcheck: "false",
    autocapitalize: "off",
    autocomplete: "off",
    placeholder: "w.grad.norm()",
    "aria-label": "Python expression",
  });
  const form = h(
    "form",
    { class: "ask" },
    h("label", null, "after line ", line),
    expression,
    h("button", { type: "submit", class: "btn", title: "Run the program again and show the values in all steps" }, "Watch"),
    h("button", { type: "submit", class: "btn", value: "seek", title: "Run the program again and go to the first step in which the expression is true" }, "Find first"),
  );
  const result = h("div", { class: "answer", "aria-live": "polite" });
  const element = h("div", { class: "watch" }, form, result);
  const curve = charts({ onstep });
  /** @type {AbortController | null} */
  let running = null;
  /** The last answer, and the run that it is about. @type {{run: string, answer: Watch | {failed: string} | null} | null} */
  let last = null;

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void ask(event.submitter?.getAttribute("value") === "seek" ? "seek" : "watch");
  });

  /** @param {"watch" | "seek"} what */
  async function ask(what) {
    const { run } = state.get();
    if (!run || !ended(run) || !expression.value.trim()) return;
    running?.abort();
    const mine = (running = new AbortController());
    last = { run: run.id, answer: null };
    draw();
    const at = line.value ? { line: Number(line.value) } : {};
    try {
      const answer = /** @type {Watch} */ (await api.replay(run.id, { what, expression: expression.value.trim(), ...at }, mine.signal));
      last = { run: run.id, answer };
      if (what === "seek" && answer.found && state.get().run?.id === run.id) onstep(answer.found.step);
    } catch (error) {
      if (mine.signal.aborted) return;
      last = { run: run.id, answer: { failed: trouble(error).detail } };
    }
    if (running === mine) running = null;
    draw();
  }

  /** Draw the last answer, or say what can be asked. */
  function draw() {
    const { run, logarithmic } = state.get();
    const mine = last && last.run === run?.id ? last : null;
    if (!mine) return fill(result, h("p", { class: "remark" }, "See the value of an expression in every step, after a line has run. The program runs again for it, and must reproduce the recorded numbers."));
    const { answer } = mine;
    if (!answer) {
      const cancel = h("button", { type: "button", class: "to", onclick: () => (running?.abort(), (last = null), draw()) }, "Cancel");
      return fill(result, h("p", { class: "remark" }, "Running the program again… ", cancel));
    }
    if ("failed" in answer) return fill(result, h("p", { class: "remark bad" }, prose(answer.failed)));
    if (answer.repeatable === false || answer.reason) return fill(result, h("p", { class: "remark" }, prose(answer.difference?.sentence ?? answer.reason ?? "")));
    const errors = (answer.errors ?? []).map(({ message, step, count }) => h("p", { class: "remark bad" }, `${message} (${count === 1 ? "" : `${count} times, first `}in step ${step})`));
    if (answer.what === "seek") return fill(result, found(answer), errors);
    const { watched } = answer;
    if (!watched) return fill(result, errors);
    const numbers = lastOfEachStep(watched);
    if (numbers) {
      fill(result, curve, errors, h("details", null, h("summary", null, "As a list"), values(watched)));
      void curve.show([{ title: answer.expression ?? "", tone: "ink", norm: null, none: "no number in any step", index: numbers.index, columns: [numbers.column], settles: null, others: [] }], logarithmic);
      seek();
    } else fill(result, values(watched), errors);
  }

  /** @param {Watch} answer @returns {Child} */
  function found({ found: first, expression: sought }) {
    if (!first) return h("p", { class: "remark" }, h("code", null, sought), " is true in no step.");
    return h("p", null, h("code", null, sought), " is true for the first time in ", go(first.step), ` after line ${first.line}.`);
  }

  /** Return a button that goes to a step. @param {number} step */
  function go(step) {
    return h("button", { type: "button", class: "to", onclick: () => onstep(step) }, `step ${step}`);
  }

  /** @param {NonNullable<Watch["watched"]>} watched @returns {Child} */
  function values({ step, line: lines, value, omitted }) {
    const rows = value.slice(0, ROWS).map((each, i) => h("tr", null, h("td", null, go(step[i] ?? 0)), h("td", null, `line ${lines[i]}`), h("td", { class: "value" }, written(each))));
    const more = value.length - rows.length + omitted;
    return [h("table", { class: "worked" }, h("tbody", null, rows)), more > 0 && h("p", { class: "remark" }, `${format.counted(more, "more value")}; the API returns them.`)];
  }

  /** Update the part that follows the playhead. */
  function seek() {
    curve.seek({ at: state.get().at, reached: [true], after: [null] });
  }

  return {
    element,
    seek,
    show: draw,
    /** @param {Watched} now */
    propose(now) {
      line.value = now.line === null ? "" : String(now.line);
      if (now.expression) expression.value = now.expression;
      expression.focus();
      expression.select();
    },
  };
}

/** @param {number | string | boolean | null} value */
function written(value) {
  if (value === null) return "–";
  return typeof value === "number" ? format.number(value) : String(value);
}

/**
 * Return the last value of each step, if all values are numbers.
 *
 * @param {NonNullable<Watch["watched"]>} watched
 */
function lastOfEachStep({ step, value }) {
  if (!value.some((each) => typeof each === "number") || value.some((each) => typeof each === "string" && !Number.isFinite(Number(each)) && !/^-?(nan|inf)/i.test(each))) return null;
  /** @type {Map<number, number | null>} */
  const by = new Map();
  for (const [i, each] of value.entries()) by.set(step[i] ?? 0, typeof each === "number" ? each : each === null ? null : Number(each));
  return { index: [...by.keys()], column: [...by.values()].map((each) => (each !== null && Number.isFinite(each) ? each : null)) };
}

// Tell what the optimizer does in a step: each parameter's gradient, its state, and the update that comes of them.

import { fill, h, widget } from "../leaves/dom.js";
import * as format from "../leaves/format.js";

/** @import {ParameterStep, Phase, Scalar, Step, Tensor, Values} from "../leaves/types.js" */

const ROOM = 18; // characters of a tensor in a cell
const MOST = 60; // parameters that are listed

/** What states are called in books. */
const STATES = /** @type {Record<string, string>} */ ({
  momentum_buffer: "momentum",
  exp_avg: "momentum",
  exp_avg_sq: "second moment",
  max_exp_avg_sq: "greatest second moment",
  square_avg: "second moment",
  sum: "sum of squares",
});

/** @param {Values | null} values @returns {Scalar[] | null} */
const flat = (values) => (values === null ? null : Array.isArray(values) ? values.flatMap((each) => flat(each) ?? []) : [values]);

/** @param {Tensor | null} tensor @returns {number[] | null} */
function numbers(tensor) {
  const all = tensor && tensor.dtype.startsWith("float") ? flat(tensor.values) : null;
  return all?.every((each) => typeof each === "number") ? /** @type {number[]} */ (all) : null;
}

/** The L2 norm. @param {readonly number[]} all */
const norm = (all) => Math.hypot(...all);

/**
 * What an update did: the difference, and how large it is for the gradient it came of. Null where elements were not kept.
 *
 * @param {ParameterStep} parameter
 */
export function updateOf({ value, value_after: after, grad_after: grad }) {
  const [from, to, by] = [numbers(value), numbers(after), numbers(grad)];
  if (!from || !to || from.length !== to.length) return null;
  const update = to.map((each, i) => each - (from[i] ?? NaN));
  const size = by ? norm(by) : 0;
  const one = update.length === 1 ? update[0] : undefined;
  return {
    text: one !== undefined ? format.number(one) : `‖${format.number(norm(update))}‖`,
    all: format.nested(update),
    rate: size > 0 ? norm(update) / size : null,
  };
}

/** A tensor in a cell: its values, else its norm. @param {Tensor | null} tensor */
function brief(tensor) {
  if (!tensor) return format.NONE;
  return format.values(tensor, ROOM) ?? (tensor.norm === null ? format.kind(tensor) : `‖${format.number(tensor.norm)}‖`);
}

/** @param {{onpick: (parameter: string) => void}} options */
export function optimizer({ onpick }) {
  const element = h("div", { class: "optimizer", tabindex: 0, role: "region", "aria-label": "Optimizer" });

  /** @param {Tensor | null} tensor @param {string} [tone] */
  const cell = (tensor, tone) =>
    h("td", { class: tone, title: tensor ? format.all(tensor) : null }, brief(tensor));
  /** @param {string} text @param {string} [title] */
  const head = (text, title) => h("th", { scope: "col", title }, text);

  return widget(element, {
    /**
     * @param {Step | null} step
     * @param {Phase} phase
     * @param {string | null} chosen   the parameter that is looked at
     */
    show(step, phase, chosen) {
      if (!step?.parameters.length) return fill(element, h("p", { class: "remark" }, "No parameter took part in this step."));
      const [backward, updated] = [phase === "backward" || phase === "update", phase === "update"];
      const listed = step.parameters.slice(0, MOST);
      const states = [...new Set(listed.flatMap(({ state }) => Object.keys(state)))].filter((name) => name !== "step");
      const options = Object.entries(step.optimizer ?? {}).filter(
        ([name, value]) => name !== "name" && value !== null && value !== false && !(Array.isArray(value) && !value.length),
      );
      fill(
        element,
        h(
          "p",
          { class: "how" },
          h("b", null, typeof step.optimizer?.["name"] === "string" ? step.optimizer["name"] : "by hand"),
          options.map(([name, value]) => [" ", h("span", null, `${name}=`, plain(value))]),
        ),
        h(
          "table",
          null,
          h(
            "thead",
            null,
            h(
              "tr",
              null,
              head("parameter"),
              head("value"),
              head("this step adds", "what the passes of this step added to the gradient"),
              head("grad"),
              states.map((name) => head(STATES[name] ?? name.replaceAll("_", " "), `state["${name}"], as it was after the update`)),
              head("update"),
              head("rate", "the size of the update for each unit of gradient"),
            ),
          ),
          h(
            "tbody",
            null,
            listed.map((parameter) => {
              const made = updated ? updateOf(parameter) : null;
              const name = parameter.name ?? parameter.id;
              return h(
                "tr",
                { "aria-current": parameter.id === chosen ? "true" : null },
                h("th", { scope: "row" }, h("button", { type: "button", class: "to", onclick: () => onpick(parameter.id) }, name)),
                cell(updated ? (parameter.value_after ?? parameter.value) : parameter.value, "param"),
                cell(backward ? parameter.contribution : null, "grad"),
                h(
                  "td",
                  { class: "grad" },
                  backward ? brief(parameter.grad_after) : parameter.grad_before ? brief(parameter.grad_before) : "None",
                ),
                states.map((state) => cell(updated ? (parameter.state[state] ?? null) : null)),
                h("td", { class: "param", title: made?.all }, made?.text ?? format.NONE),
                h("td", null, made?.rate == null ? format.NONE : format.number(made.rate)),
              );
            }),
          ),
        ),
        step.parameters.length > MOST &&
          h("p", { class: "remark" }, `and ${format.counted(step.parameters.length - MOST, "more parameter")}: see the JSON`),
      );
    },
  });
}

/** An option of the optimizer. @param {unknown} value */
function plain(value) {
  if (typeof value === "number") return String(Number(value.toPrecision(6))).replaceAll("-", format.MINUS);
  return Array.isArray(value) ? `(${value.map(String).join(", ")})` : String(value);
}

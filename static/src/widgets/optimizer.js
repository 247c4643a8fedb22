// The optimizer's table: each parameter's gradient, state and update in a step.

import { fill, h, widget } from "../leaves/dom.js";
import * as format from "../leaves/format.js";

/** @import {ParameterStep, Phase, Step, Tensor} from "../leaves/types.js" */

const ROOM = 18; // maximum characters of a tensor in a cell
const MOST = 60; // maximum number of parameters in the table

/** The usual names of states. */
const STATES = /** @type {Record<string, string>} */ ({
  momentum_buffer: "momentum",
  exp_avg: "momentum",
  exp_avg_sq: "2nd moment",
  max_exp_avg_sq: "maximum 2nd moment",
  square_avg: "2nd moment",
  sum: "sum of squares",
});

/** Return the ratio of the norms of update and gradient, or null. @param {ParameterStep} parameter */
function rate({ update, grad_used: gradient }) {
  const [size, by] = [Number(update?.norm ?? NaN), Number(gradient?.norm ?? NaN)];
  return by > 0 && Number.isFinite(size) ? size / by : null;
}

/** Format a tensor for a cell: its values, else its norm. @param {Tensor | null} tensor */
function brief(tensor) {
  if (!tensor) return format.NONE;
  const whole = format.values(tensor, ROOM);
  if (whole !== null || tensor.norm === null) return whole ?? format.shapeAndDtype(tensor);
  const norm = format.number(tensor.norm);
  return `‖${norm.includes("e") ? format.number(tensor.norm, 2) : norm}‖`; // the cell's title has the full number
}

/** Make the optimizer's table. @param {{onpick: (parameter: string) => void}} options */
export function optimizer({ onpick }) {
  const element = h("div", { class: "optimizer", tabindex: 0, role: "region", "aria-label": "Optimizer" });

  /** @param {Tensor | null} tensor @param {string} [tone] */
  const cell = (tensor, tone) =>
    h("td", { class: tone, title: tensor ? format.all(tensor) : null }, brief(tensor));
  /** Make the cell of a parameter's value, before and after the update. @param {ParameterStep} parameter @param {boolean} updated */
  function valueCell({ value, value_after: after }, updated) {
    if (!updated || !value || !after) return cell(value, "param");
    const both = format.changed(value, after).join(" → ");
    const room = 2 * ROOM + 3;
    return h("td", { class: "param", title: both }, both.length <= room ? both : `${brief(value)} → ${brief(after)}`);
  }
  /** @param {string} text @param {string} [title] */
  const head = (text, title) => h("th", { scope: "col", title }, text);

  return widget(element, {
    /**
     * @param {Step | null} step
     * @param {Phase} phase
     * @param {string | null} chosen   id of the current parameter
     */
    show(step, phase, chosen) {
      if (!step?.parameters.length) return fill(element, h("p", { class: "remark" }, "No parameter took part in this step."));
      const [backward, updated] = [phase === "backward" || phase === "update", phase === "update"];
      const listed = step.parameters.slice(0, MOST);
      const states = [...new Set(listed.flatMap(({ state }) => Object.keys(state)))].filter((name) => name !== "step");
      const group = step.groups?.find(({ parameters }) => chosen !== null && parameters.includes(chosen));
      const { name: optimizerName, ...usual } = step.optimizer ?? {};
      const options = Object.entries(group?.options ?? usual).filter(
        ([, value]) => value !== null && value !== false && !(Array.isArray(value) && !value.length),
      );
      const used = (/** @type {ParameterStep} */ each) => (updated && each.grad_used) || each.grad_after;
      // without accumulation the columns "adds" and "grad" would be equal: leave one out
      const adds = listed.some(({ contribution, grad_after, grad_used }) =>
        [grad_after, grad_used ?? null].some((other) => other && format.all(other) !== format.all(contribution)),
      );
      fill(
        element,
        h(
          "p",
          { class: "how" },
          h("b", null, group?.optimizer ?? (typeof optimizerName === "string" ? optimizerName : "by hand")),
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
              adds && head("adds", "what the passes of this step added to the gradient"),
              head("grad"),
              states.map((name) => head(STATES[name] ?? name.replaceAll("_", " "), `state["${name}"] after the update`)),
              head("update"),
              head("rate", "‖update‖ ÷ ‖gradient‖: the effective learning rate"),
            ),
          ),
          h(
            "tbody",
            null,
            listed.map((parameter) => {
              const effect = updated ? rate(parameter) : null;
              const name = parameter.name ?? parameter.id;
              return h(
                "tr",
                { "aria-current": parameter.id === chosen ? "true" : null },
                h("th", { scope: "row" }, h("button", { type: "button", class: "to", onclick: () => onpick(parameter.id) }, name)),
                valueCell(parameter, updated),
                adds && cell(backward ? parameter.contribution : null, "grad"),
                h(
                  "td",
                  { class: "grad" },
                  backward
                    ? brief(used(parameter))
                    : parameter.grad_before
                      ? brief(parameter.grad_before)
                      : "None",
                ),
                states.map((state) => cell(updated ? (parameter.state[state] ?? null) : null)),
                cell(updated ? (parameter.update ?? null) : null, "param"),
                h("td", null, format.number(effect)),
              );
            }),
          ),
        ),
        !updated && h("p", { class: "remark" }, "The optimizer’s state, the update and the rate appear in the update phase."),
        step.parameters.length > MOST &&
          h("p", { class: "remark" }, `and ${format.counted(step.parameters.length - MOST, "more parameter")}: see the JSON`),
      );
    },
  });
}

/** Format an option of the optimizer. @param {unknown} value */
function plain(value) {
  if (typeof value === "number") return String(Number(value.toPrecision(6))).replaceAll("-", format.MINUS);
  return Array.isArray(value) ? `(${value.map(String).join(", ")})` : String(value);
}

// Show the numbers of the curves as a table in a dialog. Loaded when it is opened for the first time.

import { curvesOf, isNorm, keysOf, losses, withParameter } from "../../core/curves.js";
import { trouble } from "../../core/runner.js";
import { fill, h } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {Curves, State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */
/** @import {Run} from "../../leaves/types.js" */

const MOST = 500; // rows; a longer run is shown at every second step, every third, and so on
const QUANTITIES = /** @type {const} */ (["value", "grad", "contribution", "update"]);

/**
 * Make the dialog, and return a function that opens it.
 *
 * @param {Store<State>} state
 * @param {Client} api
 * @param {(step: number) => void} onstep  goes to a step
 */
export function stepsTable(state, api, onstep) {
  const about = h("p", { class: "mute" });
  const table = h("table");
  const dialog = h(
    "dialog",
    { class: "steps-table", "aria-labelledby": "steps-table-title" },
    h("h2", { id: "steps-table-title" }, "Steps as a table"),
    about,
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Numbers of the steps" }, table),
    h("form", { method: "dialog", class: "row" }, h("span"), h("button", { class: "btn" }, "Close")),
  );
  document.body.append(dialog);

  /** @param {Run} run @param {Curves} curves */
  function show(run, curves) {
    const columns = columnsOf(run, curves, state.get().parameter);
    const every = Math.max(1, Math.ceil(curves.index.length / MOST));
    fill(about, every > 1 ? `One row for every ${every} points of the curves. ` : "", "A click on a step goes there.");
    const go = (/** @type {number} */ step) => (dialog.close(), onstep(step));
    const rows = curves.index.flatMap((step, i) => {
      if (i % every) return [];
      const button = h("button", { type: "button", class: "to", onclick: () => go(step) }, String(step));
      return [h("tr", null, h("th", { scope: "row" }, button), columns.map(({ values }) => h("td", null, format.number(values[i] ?? null))))];
    });
    const heads = ["step", ...columns.map(({ title }) => title)];
    fill(table, h("thead", null, h("tr", null, heads.map((each) => h("th", { scope: "col" }, each)))), h("tbody", null, rows));
  }

  return async () => {
    const { run, curves, parameter } = state.get();
    if (!run) return;
    try {
      const known = curves ?? (await curvesOf(api, run, null));
      show(run, (parameter && (await withParameter(api, run, parameter, known))) || known);
      dialog.showModal();
    } catch (error) {
      state.set({ trouble: trouble(error) });
    }
  };
}

/**
 * Return the columns that have numbers: the losses, then the value, gradient and update of a parameter.
 *
 * @param {Run} run
 * @param {Curves} curves
 * @param {string | null} id  the parameter; without one, the first
 * @returns {{title: string, values: readonly (number | null)[]}[]}
 */
function columnsOf(run, curves, id) {
  const parameter = run.parameters.find((each) => each.id === id) ?? run.parameters[0];
  const own = losses(curves).map(({ name, values }) => ({ title: name, values }));
  if (!parameter) return own;
  const name = parameter.names.at(-1) ?? parameter.id;
  const titles = { value: name, grad: `${name}.grad`, contribution: `gradient of ${name}`, update: `update of ${name}` };
  const more = QUANTITIES.flatMap((quantity) =>
    keysOf(parameter, quantity).map((key, i, all) => {
      const title = isNorm(parameter) ? `‖${titles[quantity]}‖` : titles[quantity];
      return { title: all.length > 1 ? `${title}[${i}]` : title, values: curves.values[key] ?? [] };
    }),
  );
  return [...own, ...more].filter(({ values }) => values.some((each) => each !== null));
}

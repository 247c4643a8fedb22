// Connect the tasks of a lesson to the stage and to the server.

import { productsOf } from "../../core/products.js";
import { fill, h } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";
import { product, row, table } from "../../widgets/inspector/tables.js";
import { predict } from "../../widgets/lesson/predict.js";
import { blank } from "./blanks.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {Child} from "../../leaves/dom.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */
/** @typedef {ReturnType<typeof import("./views.js").views>} Views */

/**
 * Set up the tasks.
 *
 * @param {object} options
 * @param {Client} options.api
 * @param {Store<State>} options.state
 * @param {ReturnType<typeof import("./progress.js").progress>} options.kept
 * @param {Views} options.shown
 */
export function tasks({ api, state, kept, shown }) {
  for (const section of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-task=predict]"))) {
    if (!section.dataset["answer"]) continue; // its recording is not made yet: the answer is in the text
    const before = kept.of(section.id);
    const unveil = before?.done ? () => {} : blank(section, () => section.scrollIntoView({ block: "center" }));
    predict(section, {
      kept: before?.done ? before.answer : null,
      onguess: (answer, done) => kept.keep(section.id, { done, answer }),
      onopen: () => (unveil(), void open(section)),
    });
  }

  /** Show what a right answer opens. @param {HTMLElement} section */
  async function open(section) {
    const place = section.querySelector(".products");
    const { products, opens } = section.dataset;
    if (opens) shown.show(JSON.parse(opens));
    const { run } = state.get();
    if (section.dataset["finding"] !== undefined && place && run) {
      const found = run.findings.find(({ severity }) => severity === "error" || severity === "warning") ?? run.findings[0];
      fill(place, found && h("p", null, h("b", null, "Finding: "), found.message));
    }
    if (products && place) fill(place, await worked(JSON.parse(products)));
  }

  /** Return the arithmetic of the gradient on an edge. @param {[string, string]} names  its two nodes @returns {Promise<Child>} */
  async function worked([from, to]) {
    shown.glance([from, to]);
    const { run, graph, step } = state.get();
    const [source, target] = [shown.nodes([from])[0], shown.nodes([to])[0]];
    const edge = graph?.edges.find((each) => each.source === source && each.target === target);
    const pass = step?.passes.find(({ index }) => index === step.main) ?? step?.passes[0];
    if (!run || !graph || !edge || !pass) return null;
    const detail = await api.node(run.id, pass.index, edge.source).catch(() => null);
    if (!detail) return null;
    const found = productsOf(detail, graph, edge.id);
    if (found) return product({ ...found, heading: "arrived" });
    const flow = detail.outgoing.find((each) => each.edge === edge.id);
    const [arrived] = detail.numbers.grads;
    return table("flows", [
      row("arrived", format.tensor(arrived?.used ?? arrived?.arrived ?? null)),
      flow?.factor && row("multiplied by", flow.factor.replace(/^× /, "")),
      row("sent on", format.tensor(flow?.gradient ?? null), { tone: "grad", total: true }),
    ]);
  }
}

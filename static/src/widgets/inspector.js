// Tell all about one node: its value, what it saved, which gradients arrived and which it sent on.

import { fill, h, widget } from "../leaves/dom.js";
import * as format from "../leaves/format.js";
import { ordinal } from "../leaves/naming.js";

/** @import {Flow, GraphNode, NodeDetail, ParameterStep, Rebind, Tensor} from "../leaves/types.js" */
/** @import {Child} from "../leaves/dom.js" */

/**
 * @typedef {object} Products
 * @property {string} target
 * @property {string} factor
 * @property {{gradient: number, factor: number, product: number}[]} rows
 * @property {number | null} sum
 *
 * @typedef {object} Inspected
 * @property {NodeDetail} detail
 * @property {string} title
 * @property {(node: string, room: number) => string} called     what to call another node
 * @property {boolean} asking                      the saved tensors are still to come
 * @property {boolean} reached                     the playhead has reached the backward pass
 * @property {boolean} apart                       no backward pass reaches the graph
 * @property {boolean} root
 * @property {string | null} loss                  name of the root's tensor
 * @property {number | null} of                    number of nodes that ran
 * @property {ParameterStep | null} parameter      when the node is a parameter
 * @property {readonly Rebind[]} rebinds           names of it that moved away
 * @property {boolean} updated                     the playhead has reached the update
 * @property {{node: GraphNode, norm: number | null}[]} path    from the root to the node
 * @property {(Products & {heading: string}) | null} products    the arithmetic behind one gradient
 */

/** @param {{onpick: (node: string) => void, online: (line: number) => void}} options */
export function inspector({ onpick, online }) {
  const element = h("div", { class: "inspector" });

  /** @param {string} node @param {Child} label */
  const to = (node, label) => h("button", { type: "button", class: "to", onclick: () => onpick(node) }, label);
  /** @param {number} line */
  const at = (line) => h("button", { type: "button", class: "to", onclick: () => online(line) }, `line ${line}`);

  let name = (/** @type {string} */ node, /** @type {number} */ _room) => node;

  /** @param {Inspected} shown @returns {Child[]} */
  function write(shown) {
    name = shown.called;
    const { detail, reached } = shown;
    const { node, source } = detail;
    const constant = node.kind === "constant";
    const second = node.kind === "op" ? node.op : source !== shown.title ? source : null;
    return [
      h("h3", null, shown.title),
      h("p", { class: "source" }, second && h("code", null, second), node.line !== null && (node.file === null ? at(node.line) : `${node.file}, line ${node.line}`)),
      h("dl", { class: "facts" }, facts(shown)),
      constant && h("p", { class: "remark" }, `Autograd keeps no node for ${node.name ?? "this tensor"}: it needs no gradient, so none flows to it. It is drawn because an operation reads it.`),
      !constant && !reached && part("Gradient", null, h("p", { class: "remark" }, shown.apart ? "No backward pass reaches this graph: it shows only how the value was made." : "Not computed yet: the playhead is before backward.")),
      !constant && reached && (node.kind === "leaf" ? whence(shown) : [arrived(shown), sent(shown)]),
      shown.parameter && reached && history(shown, shown.parameter),
      !constant && reached && shown.path.length > 2 && route(shown),
    ];
  }

  /** @param {Inspected} shown @returns {Child[]} */
  function facts({ detail: { node, numbers, saved, rank }, asking, parameter, of, reached }) {
    const { value } = numbers;
    const rows = [];
    const shownValue = value ?? parameter?.value ?? null;
    rows.push(fact("value", shownValue ? h("span", { class: node.kind === "leaf" ? "param" : null }, format.all(shownValue)) : h("small", null, "not recorded")));
    if (shownValue) rows.push(fact("shape", [format.kind(shownValue), node.kind === "leaf" && h("small", { class: "apart" }, "leaf")]));
    if (node.module) rows.push(fact("module", node.module));
    for (const [i, { name, tensor }] of saved.entries()) {
      rows.push(fact(i ? "" : "saved", [`${name} = `, tensor ? format.tensor(tensor, 60) : h("small", null, asking ? "…" : "not saved: not needed")]));
    }
    if (rank !== null && of && reached) rows.push(fact("ran", h("small", null, `${ordinal(rank + 1)} of ${of} in this backward pass`)));
    return rows;
  }

  /** The gradients that came to an operation. @param {Inspected} shown */
  function arrived({ detail: { incoming, numbers }, root, loss }) {
    if (!numbers.grads.length && !incoming.length) return part("Gradient", null, h("p", { class: "remark" }, "None: no backward pass reached this node."));
    const tables = numbers.grads.map((gradient, output) => {
      const flows = incoming.filter(({ input }) => input === output);
      const seed = root && !flows.length;
      const label = numbers.grads.length > 1 ? `output ${output}` : null;
      return sum(seed ? [["backward() starts with", null, gradient.arrived]] : flows.map((flow) => ["from", flow, flow.gradient]), gradient.arrived, gradient.used, label);
    });
    return part("Gradient that arrived", loss && h("span", null, "∂", loss), tables.length ? tables : h("p", { class: "remark" }, "None arrived in this pass."));
  }

  /** What an operation sends on. @param {Inspected} shown */
  function sent({ detail: { outgoing, node }, products }) {
    if (!outgoing.length) return null;
    const rows = outgoing.map((flow) =>
      h("tr", null, h("th", { scope: "row" }, "to ", to(flow.node, name(flow.node, 28))),
        h("td", null, flow.gradient ? amber(flow.gradient) : h("small", null, flow.slot < 0 || flow.gradient === null ? "nothing: it needs no gradient" : "")))); // prettier-ignore
    return part("Gradient sent on", null, h("table", { class: "flows" }, h("tbody", null, rows)), products && product(products));
  }

  /** Where a leaf's gradient comes from. @param {Inspected} shown */
  function whence({ detail: { incoming, numbers, node }, products, parameter }) {
    const gradient = numbers.grads[0];
    const total = gradient?.arrived ?? parameter?.contribution ?? null;
    if (!total) return part("Gradient", null, h("p", { class: "remark" }, "None arrived in this pass."));
    const scalar = total.values !== null && !Array.isArray(total.values);
    const question = ["Where does ", h("span", { class: "grad" }, scalar ? format.tensor(total) : `${node.name ?? "its"}.grad`), " come from?"];
    return part(
      question,
      null,
      sum(incoming.map((flow) => ["from", flow, flow.gradient]), total, gradient?.used ?? null, null),
      products && [
        product(products),
        products.sum !== null && h("p", { class: "remark" }, `${node.name ?? "The leaf"} is one number that meets ${products.rows.length} elements of ${products.factor}, so its gradient is the sum of ${products.rows.length} products.`),
      ],
    );
  }

  /**
   * Gradients on edges, and their sum where there are several.
   *
   * @param {[string, Flow | null, Tensor | null][]} rows
   * @param {Tensor | null} total
   * @param {Tensor | null} used
   * @param {string | null} label
   */
  function sum(rows, total, used, label) {
    const hooked = used && total && format.all(used) !== format.all(total);
    return h("table", { class: "flows" },
      label && h("caption", null, label),
      h("tbody", null,
        rows.map(([word, flow, gradient]) => h("tr", null, h("th", { scope: "row" }, word, flow && " ", flow && to(flow.node, name(flow.node, 28))), h("td", null, amber(gradient)))),
        (rows.length > 1 || !rows.length) && h("tr", { class: "total" }, h("th", { scope: "row" }, rows.length > 1 ? "Σ of these" : "total"), h("td", null, amber(total))),
        hooked && h("tr", null, h("th", { scope: "row" }, "used, after hooks"), h("td", null, amber(used))))); // prettier-ignore
  }

  /** @param {Products & {heading: string}} products */
  function product({ rows, sum: total, factor, heading }) {
    const sign = (/** @type {string} */ text) => h("td", { class: "sign" }, text);
    return h("table", { class: "worked" },
      h("thead", null, h("tr", null, h("th", { scope: "col" }, heading), sign(""), h("th", { scope: "col" }, factor), sign(""), h("th", { scope: "col" }, "product"))),
      h("tbody", null,
        rows.map((row) => h("tr", null, h("td", { class: "grad" }, format.number(row.gradient)), sign("×"), h("td", null, format.number(row.factor)), sign("="),
          h("td", { class: total === null ? "grad" : null }, format.number(row.product)))),
        total !== null && h("tr", { class: "total" }, h("td"), sign(""), h("td"), sign("Σ"), h("td", { class: "grad" }, format.number(total))))); // prettier-ignore
  }

  /** What became of a parameter in this step. @param {Inspected} shown @param {ParameterStep} parameter */
  function history({ rebinds, updated, detail }, parameter) {
    const own = parameter.name ?? detail.node.name ?? parameter.id;
    const before = parameter.grad_before;
    const row = (/** @type {Child} */ label, /** @type {Child} */ value, /** @type {string | null} */ tone = null) =>
      h("tr", null, h("th", { scope: "row" }, label), h("td", { class: tone }, value));
    return part("In this step", null,
      h("table", { class: "flows" }, h("tbody", null,
        row(`${own}.grad before`, before ? format.tensor(before) : "None", before ? "grad" : "dim"),
        row("this step adds", format.tensor(parameter.contribution), "grad"),
        row(`${own}.grad after`, format.tensor(parameter.grad_after), "grad"),
        updated && row(`${own} after the update`, rebinds.length ? h("small", null, "unchanged, see below") : parameter.value_after ? format.tensor(parameter.value_after) : h("span", { class: "dim" }, "no update"), rebinds.length ? "dim" : "param"),
        Object.entries(parameter.state).map(([key, tensor]) => row(key.replaceAll("_", " "), format.tensor(tensor))))),
      updated && rebinds.map(({ name: moved, line, to: target }) => h("p", { class: "remark strong" }, h("code", null, moved), " then moves to another tensor on ", at(line), ": ",
        h("code", null, format.tensor(target)), target?.grad_fn && [", made by ", h("code", null, target.grad_fn)], target && !target.is_leaf ? ", which is no leaf." : "."))); // prettier-ignore
  }

  /** The way from the loss, with the size of the gradient at each node. @param {Inspected} shown */
  function route({ path, detail }) {
    const most = Math.max(...path.map(({ norm }) => norm ?? 0)) || 1;
    return part("Path from the loss", "‖gradient‖",
      h("table", { class: "route" }, h("tbody", null, path.map(({ node, norm }) => {
        const bar = h("i");
        bar.style.width = `${Math.max(0.6, ((norm ?? 0) / most) * 100)}%`;
        return h("tr", { "aria-current": node.id === detail.node.id ? "true" : null }, h("th", { scope: "row" }, to(node.id, name(node.id, 18))), h("td", null, bar), h("td", { class: "grad" }, format.number(norm)));
      })))); // prettier-ignore
  }

  return widget(element, {
    /** @param {Inspected | null} shown @param {string} [empty]  what to say when nothing is */
    show(shown, empty = "Click a node, or a line’s value, to see what it computed.") {
      fill(element, shown ? write(shown) : h("p", { class: "remark first" }, empty));
    },
  });
}

/** @param {string} name @param {Child} value */
const fact = (name, value) => [h("dt", null, name), h("dd", null, value)];

/** @param {Child} heading @param {Child} aside @param {...Child} rest */
const part = (heading, aside, ...rest) => h("section", null, h("h4", null, h("span", null, heading), aside && h("span", { class: "aside" }, aside)), rest);

/** @param {Tensor | null} tensor */
const amber = (tensor) => h("span", { class: "grad", title: tensor ? format.kind(tensor) : null }, format.tensor(tensor, 40));

// Inspect one node: its value, its saved tensors, the gradients that arrived, and the gradients that it sent on.

import { explained } from "../core/terms.js";
import { fill, h, widget } from "../leaves/dom.js";
import * as format from "../leaves/format.js";
import { ordinal } from "../leaves/naming.js";
import { formula } from "./inspector/derivative.js";
import { heatMap, mapped } from "./inspector/heat.js";
import { amber, fact, part, product, remark, route, row, sum, table } from "./inspector/tables.js";

/** @import {GraphNode, NodeDetail, ParameterStep, Rebind, Tensor} from "../leaves/types.js" */
/** @import {Child} from "../leaves/dom.js" */
/** @import {Products} from "./inspector/tables.js" */

/**
 * @typedef {object} Inspected
 * @property {NodeDetail} detail
 * @property {string} title
 * @property {(node: string, room: number) => string} nameOf     name of another node, with at most `room` characters
 * @property {string | null} formulaOf             title of the node whose backward formula created this one
 * @property {boolean} asking                      the saved tensors are loading
 * @property {boolean} reached                     the backward pass has reached the node at the playhead
 * @property {string} before                       why the pass has not reached the node
 * @property {boolean} summarized                  the gradients of the pass were not recorded
 * @property {string | null} stopped               why a failed pass did not finish the node
 * @property {boolean} apart                       no backward pass reaches the graph
 * @property {boolean} root
 * @property {string | null} loss                  name of the root's tensor
 * @property {number | null} nodesRun              number of nodes that ran in the pass
 * @property {boolean} given                       the pass returns its gradients to the program (autograd.grad)
 * @property {boolean} untouched                   no pass of the step added to a `.grad`
 * @property {ParameterStep | null} parameter      set if the node is a parameter
 * @property {readonly Rebind[]} rebinds           its names that were reassigned
 * @property {boolean} updated                     the playhead has reached the update
 * @property {{node: GraphNode, norm: number | null}[]} path    from the root to the node
 * @property {import("../core/chain-rule.js").ChainRule | null} chain    how its gradient follows from those of the nodes above
 * @property {Products | null} products            the arithmetic behind one gradient
 * @property {Element | null} check                the check of its gradient
 * @property {Element[]} demanded                  what a replay computes: the distribution of a large tensor, and its dependence on the data
 * @property {Element | null} why                  why its numbers are what they are
 * @property {{what: "NaN" | "∞", before: {node: string, tensor: Tensor}[], after: Tensor, first: number[] | null} | null} broken    set if NaN or ∞ came out of operands without it
 */

const FLOWS = 24; // rows of gradients from other nodes; a leaf that is used everywhere has thousands
const ROOM = 27; // maximum characters of a value at the end of a row
/** Say whether a node is a leaf, and what follows from it. @param {GraphNode} node @returns {Child} */
function leafness({ kind, op, line, name }) {
  if (kind === "leaf") return [explained("leaf", "yes"), ": the program made it, and backward() fills its .grad"];
  if (kind === "constant") return ["it ", explained("no-gradient", "needs no gradient")];
  return [explained("leaf", "no"), `: ${op} computed ${name ?? "it"}${line === null ? "" : ` on line ${line}`}, so backward() won’t fill its .grad`];
}

const NONE = "No gradient arrived in this pass.";

/** Format a tensor of an optimizer's state, whose `step` is a whole number. @param {string} key @param {Tensor | null} tensor */
const counted = (key, tensor) =>
  key === "step" && typeof tensor?.values === "number" ? format.number(tensor.values, 4, true) : format.tensor(tensor);

/** Make the inspector. @param {{onpick: (node: string) => void, online: (line: number) => void}} options */
export function inspector({ onpick, online }) {
  const element = h("div", { class: "inspector" });
  let nameOf = (/** @type {string} */ node, /** @type {number} */ _room) => node;

  /** @param {() => void} onclick @param {Child} label */
  const button = (onclick, label) => h("button", { type: "button", class: "to", onclick }, label);
  /** Make a link to a node. @param {string} node @param {number} room */
  const link = (node, room) => button(() => onpick(node), nameOf(node, room));
  /** Make a link to a line. @param {number} line */
  const at = (line) => button(() => online(line), `line ${line}`);

  /** @param {Inspected} shown @returns {Child[]} */
  function write(shown) {
    nameOf = shown.nameOf;
    const { node, source } = shown.detail;
    const second = node.kind === "op" ? node.op : source !== shown.title && source;
    const line = node.line === null ? null : at(node.line);
    const where = node.origin ? [line && [line, " · "], `${node.origin.file}:${node.origin.line}`] : line;
    return [
      h("h3", null, shown.title),
      h("p", { class: "source" }, second && h("code", null, node.kind === "op" ? explained("grad_fn", second) : second), where),
      h("dl", { class: "facts" }, facts(shown)),
      valueMap(shown),
      shown.why,
      gradients(shown),
    ];
  }

  /** Say that a named result is not a leaf. @param {GraphNode} node */
  const result = ({ kind, name, op }) =>
    kind === "op" && name !== null && [" ", h("code", null, name), ` is the result of ${op}, so it is not a `, explained("leaf"), ": backward() won't fill its ", h("code", null, ".grad"), "."];

  /** Return the sections about gradients. @param {Inspected} shown @returns {Child} */
  function gradients(shown) {
    const { detail, reached, apart, parameter, path, before } = shown;
    if (detail.node.kind === "constant") {
      const name = detail.node.name ?? "this tensor";
      return remark([`${name} `, explained("no-gradient", "needs no gradient"), ", so autograd has no node for it and no gradient flows to it. An operation reads its value."]);
    }
    if (apart)
      return part("Gradient", null, remark(["No backward pass reaches this graph. It only shows how the value was computed.", result(detail.node)]));
    if (!reached) return part("Gradient", null, gradBefore(parameter), remark(before));
    if (shown.summarized) return [part("Gradient", null, remark("Where it comes from was not recorded: this step is summarized.")), parameter && history(shown, parameter)];
    return [
      breaking(shown.broken),
      detail.node.kind === "leaf" ? origin(shown) : [arrived(shown), sent(shown)],
      shown.demanded,
      shown.check,
      parameter && history(shown, parameter),
      path.length > 2 && part("Path from the loss", [explained("norm", "‖gradient‖"), ", log scale"], route(path, link, nameOf)),
    ];
  }

  /** Show a parameter's gradient before the pass reaches it. @param {ParameterStep | null} parameter */
  function gradBefore(parameter) {
    if (!parameter) return null;
    const { name, id, grad_before: there } = parameter;
    const tone = there ? "grad" : "dim";
    return table("flows", row(`${name ?? id}.grad`, there ? format.tensor(there) : "None", { tone }));
  }

  /** Return the value that a node has at the playhead. @param {Inspected} shown */
  const valueOf = ({ detail, parameter, updated, rebinds }) =>
    (updated && !rebinds.length && parameter?.value_after) || (detail.numbers.value ?? parameter?.value ?? null);

  /** Show the elements of a small matrix in colours. @param {Inspected} shown */
  function valueMap(shown) {
    const value = valueOf(shown);
    return value && mapped(value) ? h("section", { class: "value-map" }, heatMap(value, shown.detail.node.name ?? "value")) : null;
  }

  /** Show the elements of the gradient that a node used. @param {Inspected} shown */
  function gradientMap({ detail: { numbers, node }, parameter }) {
    const [gradient] = numbers.grads;
    const used = gradient ? gradient.used : (parameter?.contribution ?? null);
    return numbers.grads.length < 2 && used && mapped(used) ? heatMap(used, `${node.kind === "leaf" && node.name ? `${node.name}.` : ""}grad`) : null;
  }

  /** Return the facts about the node itself. @param {Inspected} shown @returns {Child[]} */
  function facts({ detail: { node, numbers, saved, rank }, formulaOf, asking, parameter, nodesRun, reached, stopped, updated, rebinds }) {
    const leaf = node.kind === "leaf";
    const first = node.backward_of?.node ?? null;
    const sums = first?.kind === "leaf" ? "sum of gradients of " : "backward of ";
    const after = updated && !rebinds.length ? (parameter?.value_after ?? null) : null;
    const value = (after && parameter?.value) ?? numbers.value ?? parameter?.value ?? null;
    const text = value && (mapped(value) ? format.brief(after ?? value, ROOM) : after ? format.changed(value, after).join(" → ") : format.all(value));
    const written = text ? h("span", { class: leaf ? "param" : null }, text) : h("small", null, "not recorded");
    const ran = rank !== null && nodesRun !== null && reached;
    return [
      fact("value", written),
      value && fact("shape", format.described(value)),
      fact("leaf", h("small", null, leafness(node))),
      node.module && fact("module", node.module),
      first && fact("made by", [h("small", null, sums), h("code", null, formulaOf), first.line === null ? null : [" ", at(first.line)]]),
      saved.map(({ name, tensor }, i) => {
        const kept = tensor ? format.tensor(tensor, 60) : h("small", null, asking ? "…" : stopped ? "not available" : "not saved (not needed)");
        return fact(i ? "" : "saved", [`${name} = `, kept]);
      }),
      ran && fact("ran", h("small", null, `${ordinal(rank + 1)} of ${nodesRun}`)),
    ];
  }

  /** Write the local derivative of an edge. @param {string} factor */
  const times = (factor) => h("small", { class: "factor", title: "local derivative: the gradient is multiplied by this" }, ` ${factor}`);
  /** Show how NaN or ∞ came out of the operands. @param {Inspected["broken"]} broken */
  const breaking = (broken) =>
    broken &&
    part(
      broken.what === "NaN" ? "Where NaN first appears" : "Where ∞ first appears",
      "before → after",
      table("flows", [
        broken.before.map(({ node, tensor }) => row(link(node, 28), format.tensor(tensor, 34))),
        row("→ this result", format.tensor(broken.after, 34), { tone: "bad", total: true }),
        broken.first !== null && row("first such element", `[${broken.first.join(", ")}]`),
      ]),
    );

  /** Return a row for each gradient that arrives along an edge. @param {NodeDetail["incoming"]} flows */
  const from = (flows) => flows.slice(0, FLOWS).map(({ node, gradient, factor }) => ({ label: ["from ", link(node, 28), factor && times(factor)], gradient }));
  /** Return a remark with the number of gradients that have no row. @param {NodeDetail["incoming"]} flows */
  const further = ({ length }) => length > FLOWS && remark(`${(length - FLOWS).toLocaleString("en")} more are not listed.`);

  /** Show the gradients that arrived at an operation. @param {Inspected} shown */
  function arrived(shown) {
    const { detail: { incoming, numbers }, root, loss } = shown;
    const tables = numbers.grads.map(({ arrived: total, used }, output) => {
      const flows = incoming.filter(({ input }) => input === output);
      const seed = [{ label: "backward() starts with", gradient: total }];
      const caption = numbers.grads.length > 1 ? `output ${output}` : null;
      return [sum(root && !flows.length ? seed : from(flows), total, used, caption), further(flows)];
    });
    return part("Gradient that arrived", loss && `∂${loss}`, tables.length ? tables : remark(NONE), shown.chain && formula(shown.chain), gradientMap(shown));
  }

  /** Show the gradients that an operation sent on. @param {Inspected} shown */
  function sent({ detail: { outgoing }, products, stopped }) {
    if (!outgoing.length) return null;
    const rows = outgoing.slice(0, FLOWS).map(({ node, gradient, factor }) => {
      const nothing = h("small", null, "nothing: ", stopped ?? ["it ", explained("no-gradient", "needs no gradient")]);
      return row(["to ", link(node, 28), factor && times(factor)], gradient ? amber(gradient) : nothing);
    });
    return part("Gradient sent on", null, table("flows", rows), further(outgoing), products && product(products));
  }

  /** Show where a leaf's gradient comes from. @param {Inspected} shown */
  function origin(shown) {
    const { detail: { incoming, numbers, node }, products, parameter, given } = shown;
    const [gradient] = numbers.grads;
    const total = gradient ? gradient.arrived : (parameter?.contribution ?? null);
    if (!total) return part("Gradient", null, remark(NONE));
    const name = node.name ?? "The leaf";
    const whole = given ? `the gradient of ${name}` : `${name}.grad`;
    const gradientText = total.shape.length === 0 ? format.tensor(total) : whole;
    const count = products?.rows.length;
    const why =
      products &&
      products.sum !== null &&
      products.sum !== undefined &&
      remark(
        `${name} is a single number that is multiplied by ${count} elements of ${products.factor}, so its gradient is the sum of ${count} products.`,
      );
    return part(
      ["Where does ", h("span", { class: "grad" }, gradientText), " come from?"],
      null,
      sum(from(incoming), total, gradient?.used ?? null, null),
      further(incoming),
      shown.chain && formula(shown.chain),
      products && [product(products), why],
      gradientMap(shown),
    );
  }

  /** Show a parameter's gradient and value before and after this step. @param {Inspected} shown @param {ParameterStep} parameter */
  function history({ rebinds, updated, untouched, detail }, parameter) {
    const { grad_before: before, contribution, grad_after: after, value_after: moved, state } = parameter;
    const name = parameter.name ?? detail.node.name ?? parameter.id;
    const first = !before && after && format.all(after) === format.all(contribution ?? after); // the step fills an empty .grad
    const still = h("small", null, rebinds.length ? "unchanged, see below" : "no update");
    const changed = moved && parameter.value ? format.changed(parameter.value, moved)[1] : "";
    const stays = rebinds.every(({ to }) => to?.is_leaf && to.requires_grad); // its name refers to a leaf throughout
    const update = moved && stays ? (changed && changed.length <= ROOM ? changed : format.tensor(moved)) : still;
    return part(
      "In this step",
      null,
      table("flows", [
        !untouched && first && row(`${name}.grad`, [h("span", { class: "none" }, "None → "), amber(after)]),
        !untouched && !first && [
          row(`${name}.grad before`, before ? format.tensor(before) : "None", { tone: before ? "grad" : "dim" }),
          row("this step adds", format.tensor(contribution), { tone: "grad" }),
          row(`${name}.grad after`, format.tensor(after), { tone: "grad" }),
        ],
        untouched && row(`${name}.grad`, after ? format.tensor(after) : "None", { tone: after ? "grad" : "dim" }),
        updated && row(`${name} after the update`, update, { tone: "param" }),
        // the optimizer's state is recorded after its step
        updated && Object.entries(state).map(([key, tensor]) => row(key.replaceAll("_", " "), counted(key, tensor))),
      ]),
      untouched && remark("autograd.grad() returns the gradient to the program and does not change .grad."),
      updated && rebinds.map(rebound),
    );
  }

  /** Describe a reassigned name. @param {Rebind} rebind */
  const rebound = ({ name, line, to }) =>
    h(
      "p",
      { class: "remark strong" },
      [h("code", null, name), ` then refers to ${to?.is_leaf && to.requires_grad ? "a new leaf" : "another tensor"} from `, at(line), ": ", h("code", null, format.tensor(to))],
      to?.grad_fn && [", made by ", h("code", null, to.grad_fn)],
      to && !to.is_leaf ? ", which is not a leaf." : ".",
    );

  return widget(element, {
    /** @param {Inspected | null} shown @param {string} [empty]  text without a node */
    show(shown, empty = "Click a node, or a line’s value, to see what it computed.") {
      fill(element, shown ? write(shown) : h("p", { class: "remark first" }, empty));
    },
  });
}

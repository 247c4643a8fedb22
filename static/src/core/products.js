// Show the arithmetic of a multiplication's gradient: a few products, if they agree with the gradients that PyTorch computed.

/** @import {Graph, NodeDetail, Scalar, Tensor, Values} from "../leaves/types.js" */

/**
 * @typedef {object} ProductTable
 * @property {string} edge
 * @property {string} target                    the node that receives the products
 * @property {string} factor                    name of the tensor that the gradient is multiplied by
 * @property {{gradient: number, factor: number, product: number}[]} rows
 * @property {number | null} sum                their sum, if they are added up
 */

const MOST = 8; // maximum number of rows

/** Return the elements of a small tensor, or null. @param {Tensor | null | undefined} tensor @returns {number[] | null} */
function numbers(tensor) {
  if (!tensor || tensor.values === null || !tensor.dtype.startsWith("float")) return null;
  /** @param {Values} values @returns {Scalar[]} */
  const flat = (values) => (Array.isArray(values) ? values.flatMap(flat) : [values]);
  const all = flat(tensor.values);
  return all.length && all.length <= MOST && all.every((value) => typeof value === "number")
    ? /** @type {number[]} */ (all)
    : null;
}

/**
 * Return the products that a multiplication sends along one of its edges, element by element. Null if the node is not a plain
 * multiplication, if a number was not recorded, or if the products differ from the recorded gradient.
 *
 * @param {NodeDetail} detail
 * @param {Graph} graph
 * @param {string} edge
 * @returns {ProductTable | null}
 */
export function productsOf(detail, graph, edge) {
  if (!/^MulBackward\d+$/.test(detail.node.op)) return null;
  const flow = detail.outgoing.find((each) => each.edge === edge);
  const slot = flow?.slot;
  if (!flow || (slot !== 0 && slot !== 1)) return null;
  const saved = detail.saved.find(({ name }) => name === (slot === 0 ? "other" : "self"));
  const gradient = detail.numbers.grads[0]?.used ?? detail.numbers.grads[0]?.arrived;
  const [given, by, sent] = [numbers(gradient), numbers(saved?.tensor), numbers(flow.gradient)];
  if (!given || !by || !sent || !(by.length === given.length || by.length === 1)) return null;
  const rows = given.map((value, i) => {
    const factor = by[by.length === 1 ? 0 : i] ?? 0;
    return { gradient: value, factor, product: value * factor };
  });
  const summed = sent.length === 1 && rows.length > 1;
  const found = summed ? [rows.reduce((sum, { product }) => sum + product, 0)] : rows.map(({ product }) => product);
  const close = (/** @type {number} */ a, /** @type {number} */ b) =>
    Math.abs(a - b) <= 1e-6 + 1e-4 * Math.max(Math.abs(a), Math.abs(b));
  if (found.length !== sent.length || !found.every((value, i) => close(value, sent[i] ?? NaN))) return null;
  // show PyTorch's own sum: the products were checked against it above
  const other = detail.outgoing.find((each) => each.slot === 1 - slot);
  const node = other && graph.nodes.find(({ id }) => id === other.node);
  return {
    edge,
    target: flow.node,
    factor: node?.name ?? saved?.name ?? "other",
    rows,
    sum: summed ? (sent[0] ?? null) : null,
  };
}

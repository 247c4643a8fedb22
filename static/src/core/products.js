// Multiply out a product's gradient, where the recorded numbers are few and agree with what torch recorded.

/** @import {Graph, NodeDetail, Scalar, Tensor, Values} from "../leaves/types.js" */

/**
 * @typedef {object} Worked
 * @property {string} edge
 * @property {string} target                    the node the products go to
 * @property {string} factor                    name of what the gradient is multiplied with
 * @property {{gradient: number, factor: number, product: number}[]} rows
 * @property {number | null} sum                where they are added up
 */

const MOST = 8; // rows that are worth writing out

/** @param {Tensor | null | undefined} tensor @returns {number[] | null} */
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
 * What a multiplication sends along one of its edges, element by element. Null where it is not a plain product, where
 * something was not recorded, or where the products do not come to what torch recorded.
 *
 * @param {NodeDetail} detail
 * @param {Graph} graph
 * @param {string} edge
 * @returns {Worked | null}
 */
export function worked(detail, graph, edge) {
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
  // torch's own sum is the one that is shown; the check above says that the products lead to it
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

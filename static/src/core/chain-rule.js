// Return the chain rule at a node: the derivative of the loss by it, from those by the nodes above and the factors on the edges.

import { nodeOf, onward } from "./graph-queries.js";

/** @import {Graph, GraphNode, NodeDetail, Pass} from "../leaves/types.js" */

/**
 * @typedef {object} ChainRule
 * @property {string} loss
 * @property {string} of                the node's tensor
 * @property {boolean} leaf
 * @property {readonly Term[]} terms    one for each edge along which a gradient arrives
 * @property {boolean} apart            no term leads through the tensor of another one, so their derivatives by the node are the factors
 *
 * @typedef {{through: string, root: boolean, sum: boolean, before: string, sign: "·" | "÷" | "@", after: string}} Term
 *     the derivative by `through`, between the factors `before` and `after`, and whether the product is summed
 */

const TERMS = 2;
const LONGEST = 20; // characters of a tensor's name or expression
const POWERS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/**
 * Return the chain rule at a node, or null if a factor, a name or the meaning of a gradient is uncertain.
 *
 * @param {NodeDetail} detail
 * @param {Graph} graph
 * @param {Pass | null} pass
 * @param {(of: GraphNode) => string | null} source  the text that made a node
 * @returns {ChainRule | null}
 */
export function chainRule({ node, incoming }, graph, pass, source) {
  const [root, second] = graph.roots;
  const numbers = pass?.nodes;
  const top = root === undefined || second !== undefined ? null : nodeOf(graph, root);
  if (!numbers || !top || !incoming.length || incoming.length > TERMS || numbers[top.id]?.grads[0]?.arrived?.values !== 1) return null;
  const [loss, of] = [named(top, source), named(node, source)];
  const several = (/** @type {GraphNode} */ each) => each.name !== null && graph.nodes.some(({ id, name }) => name === each.name && id !== each.id);
  if (loss === null || of === null || of === loss || several(node)) return null; // a name that several tensors had says nothing
  const terms = incoming.map((flow) => {
    const above = nodeOf(graph, flow.node);
    const through = above && named(above, source);
    const grads = numbers[flow.node]?.grads ?? [];
    const hooked = grads.length !== 1 || grads[0]?.arrived?.norm !== grads[0]?.used?.norm;
    if (!through || !flow.factor || several(above) || through === of || (through === loss && above.id !== top.id) || hooked) return null;
    const [factor, sum] = [flow.factor.replace(/, then Σ$/, ""), flow.factor.endsWith(", then Σ")];
    return { through, root: above.id === top.id, sum, ...parts(factor) };
  });
  const known = terms.filter((each) => each !== null);
  return known.length === incoming.length ? { loss, of, leaf: node.kind === "leaf", terms: known, apart: independent(graph, incoming.map((flow) => flow.node)) } : null;
}

/** Return whether no node is computed from another one of them. @param {Graph} graph @param {string[]} nodes */
function independent(graph, nodes) {
  if (nodes.length > new Set(nodes).size) return false;
  return nodes.every((start) => {
    const reached = new Set(nodes.length > 1 ? onward(graph, start) : []);
    for (const each of reached) for (const next of onward(graph, each)) reached.add(next);
    return !nodes.some((other) => reached.has(other));
  });
}

/** Return a factor before or after the derivative. @param {string} factor  as on an edge: `× 2 (y_pred − y)`, `÷ x`, `@ wᵀ`, `xᵀ @` @returns {Pick<Term, "before" | "sign" | "after">} */
function parts(factor) {
  if (factor.endsWith(" @")) return { before: factor.slice(0, -2), sign: "@", after: "" };
  const text = factor.slice(2);
  const after = text.includes(" if ") ? `(${text})` : text;
  return { before: "", sign: factor.startsWith("÷") ? "÷" : factor.startsWith("@") ? "@" : "·", after };
}

/** Return the name of a node's tensor, else the expression that made it; null if it is too long. @param {GraphNode} node @param {(of: GraphNode) => string | null} source */
function named(node, source) {
  const text = node.name ?? source(node);
  if (!text || text.length > LONGEST) return null;
  if (/^[\w.[\]]+$/.test(text)) return text;
  return `(${text.replace(/ \*\* (\d)(?!\d)/g, (_, digit) => POWERS[digit] ?? "").replaceAll(" - ", " − ").replaceAll(" * ", " ")})`;
}

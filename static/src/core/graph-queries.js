// Query a graph: the node of a line, the neighbours of a node, the path from the loss to a node.

import { units } from "../leaves/edits.js";
import { shortTitle, title } from "../leaves/naming.js";

/** @import {Graph, GraphNode, NodeDetail, Pass, Tensor} from "../leaves/types.js" */

/** Return the node with an id, or null. @param {Graph} graph @param {string | null} id @returns {GraphNode | null} */
export const nodeOf = (graph, id) => graph.nodes.find((node) => node.id === id) ?? null;

/**
 * Return the node that a line created: the innermost one at a column, else the one that spans most of the line.
 *
 * @param {Graph} graph
 * @param {number} line
 * @param {number | null} [column]  in code points
 */
export function nodeAt(graph, line, column = null) {
  const width = (/** @type {GraphNode} */ { columns }) => (columns ? columns[1] - columns[0] : 0);
  const here = graph.nodes.filter((node) => node.file === null && node.line === line);
  if (column === null) {
    const made = here.filter((node) => node.kind !== "constant");
    return (made.length ? made : here).sort((a, b) => width(b) - width(a))[0] ?? null;
  }
  return (
    here
      .filter(({ columns }) => columns && columns[0] <= column && column < columns[1])
      .sort((a, b) => width(a) - width(b))[0] ?? null
  );
}

/** Return the leaf or constant with a name, or null. @param {Graph} graph @param {string} name */
export const named = (graph, name) =>
  graph.nodes.find((node) => node.kind === "leaf" && node.name === name) ??
  graph.nodes.find((node) => node.kind === "constant" && node.name === name) ??
  null;

/** Return the nodes that a node sends its gradient to. @param {Graph} graph @param {string} id */
export const onward = (graph, id) => unique(graph.edges.filter(({ source }) => source === id).map(({ target }) => target));

/** Return the nodes that a node's gradient comes from. @param {Graph} graph @param {string} id */
export const back = (graph, id) => unique(graph.edges.filter(({ target }) => target === id).map(({ source }) => source));

/** Return a node and its siblings, the nodes that receive gradients from the same nodes. @param {Graph} graph @param {string} id */
export function siblings(graph, id) {
  const parents = back(graph, id);
  return parents.length ? unique(parents.flatMap((parent) => onward(graph, parent))) : graph.roots;
}

/** @template T @param {T[]} items */
const unique = (items) => [...new Set(items)];

/** Return a finite norm, else null. @param {Tensor | null | undefined} tensor */
export const norm = (tensor) => (typeof tensor?.norm === "number" ? tensor.norm : null);

/**
 * Return the path of the gradient from the root to a node, along the edges with the largest norms.
 *
 * @param {Graph} graph
 * @param {Pass} pass
 * @param {string} id
 * @returns {{node: GraphNode, norm: number | null}[]}  root first; the norm of the gradient at each node, which may be NaN
 */
export function path(graph, pass, id) {
  const steps = [];
  const visited = new Set();
  for (let at = /** @type {string | undefined} */ (id); at && !visited.has(at);) {
    visited.add(at);
    const node = nodeOf(graph, at);
    if (!node) break;
    const arrived = pass.nodes?.[at]?.grads[0]?.arrived;
    steps.unshift({ node, norm: arrived?.norm === null || !arrived ? null : Number(arrived.norm) });
    const arriving = graph.edges.filter(({ target, gradient }) => gradient && target === at);
    arriving.sort((a, b) => (norm(pass.edges?.[b.id]) ?? -1) - (norm(pass.edges?.[a.id]) ?? -1));
    at = arriving[0]?.source;
  }
  return steps;
}

/**
 * Return the detail of a node from the loaded recording. Only its saved tensors are missing.
 *
 * @param {Graph} graph
 * @param {Pass | null} pass
 * @param {GraphNode} node
 * @param {string} program
 * @returns {NodeDetail}
 */
export function detailOf(graph, pass, node, program) {
  /** @param {import("../leaves/types.js").GraphEdge} edge @param {string} other */
  const flow = (edge, other) => {
    const there = nodeOf(graph, other);
    return {
      edge: edge.id,
      node: other,
      title: there ? shortTitle(there, sourceOf(there, program), 30) : other,
      slot: edge.slot,
      input: edge.input,
      gradient: pass?.edges?.[edge.id] ?? null,
    };
  };
  const rank = pass ? pass.order.indexOf(node.id) : -1;
  return {
    node,
    numbers: pass?.nodes?.[node.id] ?? { value: null, grads: [] },
    saved: node.saved.map((name) => ({ name, tensor: null })),
    incoming: graph.edges
      .filter(({ target, gradient }) => target === node.id && gradient)
      .map((edge) => flow(edge, edge.source)),
    outgoing: graph.edges.filter(({ source }) => source === node.id).map((edge) => flow(edge, edge.target)),
    rank: rank < 0 ? null : rank,
    source: sourceOf(node, program),
  };
}

/** Return the source text that created a node. For a node created by a backward formula, name the formula's node. @param {GraphNode} node @param {string} program @returns {string | null} */
export function sourceOf(node, program) {
  if (node.backward_of && !node.name) {
    const first = node.backward_of.node;
    return (first.kind === "leaf" ? "sum of gradients of " : "backward of ") + title(first, sourceOf(first, program));
  }
  if (node.file !== null || node.line === null) return null;
  const line = program.split("\n")[node.line - 1];
  if (line === undefined) return null;
  if (!node.columns) return line.trim();
  return line.slice(units(line, node.columns[0]), units(line, node.columns[1])) || line.trim();
}

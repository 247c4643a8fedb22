// Collect the inspector's content for the selected node.

import { chainRule } from "../../core/chain-rule.js";
import { ranIn, shownPass } from "../../core/state.js";
import { nodeOf, path, sourceOf } from "../../core/graph-queries.js";
import { productsOf } from "../../core/products.js";
import * as format from "../../leaves/format.js";
import { shortTitle, title } from "../../leaves/naming.js";
import { PHASES } from "../../leaves/types.js";

/** @import {State} from "../../core/state.js" */
/** @import {Graph, GraphNode, Pass} from "../../leaves/types.js" */
/** @import {Inspected} from "../../widgets/inspector.js" */

/** Return the inspector's content, or null if no node is selected. @param {State} state @param {{check: Element, why: Element | null, demanded?: Element[]}} own @returns {Inspected | null} */
export function inspectorContent(state, { check, why, demanded = [] }) {
  const { detail, graph, asking, phase, ran, step, run } = state;
  if (!detail || !graph || !run) return null;
  const pass = shownPass(state);
  const { node } = detail;
  const backward = pass !== null && PHASES.indexOf(phase) >= PHASES.indexOf("backward");
  const missing = step?.summary === true;
  const waiting = backward && phase === "backward" && ran !== null && (detail.rank === null || detail.rank >= ran);
  /** @param {GraphNode} of */
  const source = (of) => sourceOf(of, run.program);
  return {
    detail,
    asking,
    title: title(node, source(node)),
    nameOf: (id, room) => {
      const other = nodeOf(graph, id);
      if (other) return shortTitle(other, source(other), room);
      // a large graph is loaded in part, but the detail has the titles of the neighbours
      const flow = [...detail.incoming, ...detail.outgoing].find((each) => each.node === id);
      return flow ? format.cut(flow.title, room) : id;
    },
    formulaOf: node.backward_of && title(node.backward_of.node, source(node.backward_of.node)),
    stopped: stopped(pass, detail.rank, node.id),
    apart: pass === null,
    reached: backward && !waiting,
    summarized: missing,
    before: waiting ? "Not computed yet: autograd has not reached this node." : "Not computed yet: the playhead is before backward.",
    updated: phase === "update",
    root: graph.roots.includes(node.id),
    loss: step?.loss_name ?? null,
    nodesRun: pass ? ranIn(pass) : null,
    given: pass?.kind === "grad",
    untouched: step !== null && step.passes.every(({ kind }) => kind === "grad"),
    parameter: step?.parameters.find(({ id }) => id === node.parameter) ?? null,
    rebinds: step?.rebinds.filter((rebind) => rebind.from === node.parameter) ?? [],
    path: pass?.nodes && !missing ? path(graph, pass, node.id) : [], // a large graph comes without numbers
    chain: missing ? null : chainRule(detail, graph, pass, source),
    products: products(state, source),
    check,
    demanded,
    why: missing ? null : why,
    broken: pass?.nodes ? broken(graph, pass, node.id) : null,
  };
}

/**
 * Return how a node produced NaN or ∞ from operands that do not contain it; null if the node did not.
 *
 * @param {Graph} graph
 * @param {Pass} pass
 * @param {string} id
 * @returns {Inspected["broken"]}
 */
function broken(graph, pass, id) {
  const after = pass.nodes?.[id]?.value ?? null;
  if (!after || !format.suspect(after)) return null;
  const before = graph.edges
    .filter(({ source }) => source === id)
    .flatMap(({ target }) => {
      const tensor = pass.nodes?.[target]?.value;
      return tensor ? [{ node: target, tensor }] : [];
    });
  if (!before.length || before.some(({ tensor }) => format.suspect(tensor))) return null;
  const what = after.nan || after.norm === "NaN" ? "NaN" : "∞";
  const sign = what === "NaN" ? "NaN" : "Infinity";
  const at = after.values === null || !after.shape.length ? -1 : format.flat(after.values).indexOf(sign);
  return { what, before, after, first: at < 0 ? null : format.indexOf(at, after.shape) };
}

/** Return why a failed pass did not finish a node, or null. @param {Pass | null} pass @param {number | null} rank @param {string} node */
function stopped(pass, rank, node) {
  if (!pass?.failed || rank !== null) return null;
  return node === pass.failed ? "the pass stopped here" : "the pass stopped before this node";
}

/**
 * Return the arithmetic of the gradient that a node sends on or, for a leaf, of the gradient that it receives.
 *
 * @param {State} state
 * @param {(of: GraphNode) => string | null} source
 */
function products({ run, detail, origin, graph, step, asking }, source) {
  const leaf = detail?.node.kind === "leaf";
  const by = leaf ? origin : detail;
  const edge = leaf ? detail.incoming[0]?.edge : detail?.outgoing.find(({ gradient }) => gradient)?.edge;
  const table = by && edge && graph ? productsOf(by, graph, edge) : null;
  const of = `${run?.id} ${graph?.id} ${detail?.node.id}`;
  if (table && by && !asking) {
    const heading = `∂${step?.loss_name ?? ""}/∂${shortTitle(by.node, source(by.node), 12)}`;
    last = { of, products: { ...table, heading } };
    return last.products;
  }
  // the factors are fetched again for each step: until they arrive, keep the table's size without its numbers
  if (!asking || last?.of !== of) return null;
  const { rows, sum, ...rest } = last.products;
  return { ...rest, rows: rows.map(() => ({ gradient: null, factor: null, product: null })), sum: sum === null ? null : undefined };
}

/** The last table, and the run, graph and node that it is about. @type {{of: string, products: import("../../widgets/inspector/tables.js").Products} | null} */
let last = null;

// Compute what the picture shows at the playhead: computed values, arrived gradients, and names that were reassigned.

import { PHASES } from "../leaves/types.js";
import { shownPass } from "./state.js";

/** @import {Graph, ParameterStep, Pass, Rebind, Step, Tensor} from "../leaves/types.js" */
/** @import {State} from "./state.js" */

/**
 * @typedef {object} Card
 * @property {"op" | "leaf" | "constant"} kind
 * @property {string} label                      name of its gradient: `m.grad` or `grad`
 * @property {boolean} ahead                     its value is not computed yet
 * @property {boolean} now                       the engine has just run it
 * @property {Tensor | null} value
 * @property {Tensor | null} after               the value after the update
 * @property {readonly (Tensor | null)[] | null} grads    the gradient of each output; null before they arrived
 * @property {Tensor | null} held                the leaf's `.grad` before this pass reached it
 * @property {boolean} adds                      the gradient is added to an earlier one
 * @property {boolean} moved                     its name refers to another tensor by now
 *
 * @typedef {{gradient: Tensor | null, flowed: boolean, flowing: boolean}} Wire   flowing: its source has just run
 *
 * @typedef {object} Scene
 * @property {number} step                       index of the step that the numbers belong to
 * @property {Map<string, Card>} cards           by node
 * @property {Map<string, Wire>} wires           by edge
 * @property {{from: string, rebind: Rebind}[]} moves    names that were reassigned away from a leaf
 */

/**
 * Return the numbers of the shown graph at the playhead.
 *
 * @param {Pick<State, "graph" | "step" | "pass" | "apart" | "phase" | "ran">} state
 * @returns {Scene | null}  null if no numbers are recorded
 */
export function scene(state) {
  const { graph, step, phase, ran } = state;
  const pass = shownPass(state);
  if (!graph || !step || !pass?.nodes || !pass.edges) return null;
  const backward = PHASES.indexOf(phase) >= PHASES.indexOf("backward");
  const count = !backward ? 0 : phase === "backward" && ran !== null ? ran : pass.order.length;
  const whole = count >= pass.order.length;
  const done = new Set(whole ? pass.order : pass.order.slice(0, count));
  const last = phase === "backward" && ran !== null ? pass.order[count - 1] : undefined;
  const later = phase === "forward" ? linesAhead(step) : null;
  const moves = phase === "update" ? movesOf(graph, step) : [];

  /** @type {Map<string, Card>} */
  const cards = new Map();
  for (const node of graph.nodes) {
    const numbers = pass.nodes[node.id];
    const leaf = node.kind === "leaf";
    const own = leaf ? step.parameters.find(({ id }) => id === node.parameter) : undefined;
    const here = done.has(node.id) || (whole && backward);
    const held = own?.grad_before ?? null;
    /** Return the gradients of the node's outputs. A summarized step has only those of parameters. @param {boolean} leaf */
    const gradients = (leaf) => {
      if (step.summary && !own) return null;
      if (step.summary) return step.passes.length === 1 ? [own?.contribution ?? null] : null;
      return (numbers?.grads ?? []).map(({ arrived, used }) => (leaf ? used : arrived));
    };
    const after = leaf && phase === "update" && own && !moves.some(({ from }) => from === node.id) ? own.value_after : null;
    cards.set(node.id, {
      kind: node.kind,
      label: leaf && node.name && pass.kind !== "grad" ? `${node.name}.grad` : "grad",
      ahead: later !== null && node.kind === "op" && node.file === null && node.line !== null && later.has(node.line),
      now: node.id === last,
      value: (after && own?.value) ?? numbers?.value ?? (step.summary ? own?.value : null) ?? null, // an update starts from the parameter's value, which may differ from its value in the pass
      after,
      grads: here ? gradients(leaf) : null,
      held,
      adds: leaf && adds(step, pass, own, numbers?.grads[0]?.used ?? null),
      moved: moves.some(({ from }) => from === node.id),
    });
  }
  /** @type {Map<string, Wire>} */
  const wires = new Map();
  for (const { id, source, gradient } of graph.edges) {
    if (!gradient) continue;
    const flowed = backward && (whole || done.has(source));
    wires.set(id, { gradient: pass.edges[id] ?? null, flowed, flowing: flowed && source === last });
  }
  return { step: step.index, cards, wires, moves };
}

/**
 * Return how many nodes the shown pass has run at the playhead; Infinity if it is over or there is none.
 *
 * @param {Pick<State, "step" | "pass" | "apart" | "phase" | "ran">} state
 */
export function nodesReached(state) {
  const { phase, ran } = state;
  if (!shownPass(state)) return Infinity;
  if (PHASES.indexOf(phase) < PHASES.indexOf("backward")) return 0;
  return phase === "backward" && ran !== null ? ran : Infinity;
}

/** Return the lines of the loss phase that did not run in the forward phase. @param {Step} step */
function linesAhead({ lines }) {
  const before = new Set(lines.forward);
  return new Set((lines.loss ?? []).filter((line) => !before.has(line)));
}

/** Return the names that the step reassigned from leaves of the graph to other tensors. @param {Graph} graph @param {Step} step */
function movesOf(graph, step) {
  return step.rebinds.flatMap((rebind) => {
    const leaf = graph.nodes.find(({ kind, parameter }) => kind === "leaf" && parameter === rebind.from);
    return leaf && rebind.to ? [{ from: leaf.id, rebind }] : [];
  });
}

/**
 * Return whether this pass adds to an earlier gradient of the leaf.
 *
 * @param {Step} step
 * @param {Pass} pass
 * @param {ParameterStep | undefined} own
 * @param {Tensor | null} used  the gradient that the pass gives the leaf; if it equals the step's contribution, no earlier pass reached the leaf
 */
function adds(step, pass, own, used) {
  if (pass.kind === "grad" || !own) return false;
  const earlier = step.passes.some((each) => each.index < pass.index && each.kind !== "grad");
  const all = own.contribution?.norm === used?.norm && own.contribution?.mean === used?.mean;
  return (own.grad_before !== null && own.grad_before.norm !== 0) || (earlier && !all);
}

/** @type {WeakMap<Pass, string>} */
const forms = new WeakMap();

/**
 * Return a key for the part of a picture's layout that depends on the pass: pictures of passes with the same form differ in
 * numbers only. Null if the numbers are not loaded.
 *
 * @param {Pass} pass
 */
export function form(pass) {
  if (!pass.nodes || !pass.edges) return null;
  const before = forms.get(pass);
  if (before !== undefined) return before;
  const nodes = Object.values(pass.nodes).map(({ value, grads }) => {
    const hooked = grads.some(({ arrived, used }) => used && arrived && used.norm !== arrived.norm);
    return `${value ? `${value.dtype}${value.shape}` : "-"}${grads.length}${hooked ? "h" : ""}`;
  });
  const edges = Object.values(pass.edges).map((gradient) => (gradient ? 1 : 0));
  const text = `${nodes.join(" ")}|${edges.join("")}|${[...pass.order].sort().join(" ")}|${pass.failed ?? ""}|${pass.kind === "grad"}`;
  forms.set(pass, text);
  return text;
}

// Compute what the editor shows beside each line: its value at the playhead, its phase, its error.

import * as format from "../leaves/format.js";
import { literal } from "../leaves/literal.js";
import { frames } from "../leaves/traceback.js";
import { PHASES } from "../leaves/types.js";
import { atEnd, loopOf, reached } from "./playhead.js";
import { nodeOf } from "./graph-queries.js";
import { ranIn, shownPass } from "./state.js";

/** @import {Phase, Run, Step, Tensor} from "../leaves/types.js" */
/** @import {Frame} from "../leaves/traceback.js" */
/** @import {State} from "./state.js" */

/**
 * @typedef {object} Note
 * @property {string} text
 * @property {string} title                      the full text, as a tooltip
 * @property {string | null} [literal]           Python that makes the value
 * @property {"" | "grad" | "param" | "off" | "before"} tone   off: not run yet; before: the value of an earlier step
 *
 * @typedef {object} Margin
 * @property {Map<number, Note>} notes
 * @property {Map<number, Phase>} active         lines of the phase at the playhead
 * @property {{line: number, columns: [number, number] | null} | null} selected
 * @property {{line: number, columns: [number, number] | null, type: string, message: string, frames: Frame[]} | null} error    frames: the program's frames, the outermost first
 * @property {readonly number[]} found           lines with a pitfall
 */

const ROOM = 27; // characters of a value
const WIDTH = 61; // characters of a value that fit into a line of the editor at its usual width
/** What ended a program that was stopped from outside, at the line that ran then. @type {Record<string, string>} */
const STOPPED = { timed_out: "Time limit", cancelled: "Cancelled", out_of_memory: "Out of memory" };
const LETTER = 1.09; // width of a character of code, in characters of a value

/** Return how many characters of a value fit beside a line of code. @param {string} source */
const free = (source) => Math.floor(WIDTH - 3 - source.length * LETTER);

/**
 * Format a tensor to fit beside its line, with fewer decimals if necessary. If it cannot fit, format it for a separate line.
 *
 * @param {Tensor} tensor
 * @param {string} source
 * @param {string} [prefix]
 */
function fit(tensor, source, prefix = "") {
  const beside = Array.isArray(tensor.values) ? format.values(tensor, free(source) - prefix.length) : null;
  return prefix + (beside ?? format.tensor(tensor, ROOM));
}

/** Return what the editor shows for a state. @param {State} state @returns {Margin} */
export function margin(state) {
  const { run, step, phase, apart, graph, node } = state;
  /** @type {Margin} */
  const all = { notes: new Map(), active: new Map(), selected: null, error: null, found: [] };
  if (!run) return all;
  const pitfalls = run.findings.filter(({ severity, file }) => file === null && (severity === "error" || severity === "warning"));
  all.found = pitfalls.flatMap(({ line }) => line ?? []);
  const source = run.program.split("\n");
  /** @type {Put} */
  const put = (line, { text, tensor }, tone = "") =>
    all.notes.set(line, { ...note(text, tensor, tone, source[line - 1] ?? ""), literal: tensor && literal(tensor) });
  if (step) inStep(state, run, step, all, put);
  else if (!run.steps) for (const recorded of run.lines) if (recorded.file === null) put(recorded.line, recorded);
  const error = run.error;
  if (error && error.file === null && error.line !== null && atEnd(state)) {
    all.error = { line: error.line, columns: error.columns ?? null, type: STOPPED[run.status] ?? error.type, message: error.message, frames: frames(error.traceback, run.program) };
    all.notes.delete(error.line);
  }
  if (step && !apart) for (const [line, own] of phases(step)) if (own === phase) all.active.set(line, own);
  const selected = graph && nodeOf(graph, node);
  if (selected && selected.file === null && selected.line !== null)
    all.selected = { line: selected.line, columns: selected.columns };
  return all;
}

/** @typedef {(line: number, value: {text: string, tensor: Tensor | null}, tone?: Note["tone"]) => void} Put */

/**
 * Show the value of each line at the playhead: of this step, else of an earlier one, never of a later one.
 *
 * @param {State} state
 * @param {Run} run
 * @param {Step} step
 * @param {Margin} all
 * @param {Put} put
 */
function inStep(state, run, step, all, put) {
  const { phase } = state;
  const phaseByLine = phases(step);
  const end = atEnd(state);
  const loop = loopOf(run, step);
  const last = new Map(run.lines.flatMap((recorded) => (recorded.file === null ? [/** @type {const} */ ([recorded.line, recorded])] : [])));
  for (const line of new Set([...last.keys(), ...Object.keys(step.earlier).map(Number)])) {
    const [recorded, earlier] = [last.get(line), step.earlier[line]];
    if (end && recorded && (recorded.step === null || !earlier)) put(line, recorded);
    else if (!earlier) all.notes.set(line, { text: format.NONE, title: "not run yet", tone: "off" });
    else if (recorded?.step === earlier.step && !(loop && loop[0] <= line && line <= loop[1])) put(line, earlier); // a line outside of the loop, which ran only once
    else {
      put(line, earlier, "before");
      const shown = all.notes.get(line);
      if (shown) all.notes.set(line, { ...shown, title: `from step ${earlier.step}: ${shown.title}` });
    }
  }
  for (const [key, value] of Object.entries(step.values)) {
    const line = Number(key);
    if (reached(step, phase, value.phase)) put(line, value, phaseByLine.get(line) === "update" && value.tensor ? "param" : "");
  }
  gradients(state, step, all);
  for (const { name, line, to } of step.rebinds) {
    if (to)
      all.notes.set(line, {
        text: `${name} = ${format.tensor(to, 16)}${to.is_leaf ? "" : ", not a leaf"}`,
        title: `${name} now refers to another tensor (${to.grad_fn ?? "no grad_fn"})`,
        tone: "param",
      });
  }
  const during = phase === "backward" && state.ran !== null && step.passes.length === 1;
  for (const line of new Set([...phaseByLine.keys(), ...Object.keys(step.values).map(Number)])) {
    const own = step.values[line]?.phase ?? phaseByLine.get(line) ?? "forward";
    if (during && own === "backward" && line !== step.passes[0]?.line) {
      all.notes.set(line, { text: format.NONE, title: `not run yet in this step: ${LATER.after}`, tone: "off" });
    } else if (reached(step, phase, own)) {
      if (all.notes.get(line)?.tone === "off") all.notes.delete(line); // the line ran, but has no value to show
    } else if (step.values[line] || (all.notes.has(line) && !step.earlier[line])) {
      all.notes.set(line, { text: format.NONE, title: `not run yet in this step: ${LATER[own]}`, tone: "off" });
    }
  }
}

/** Why a line has not run yet at the playhead, by its phase. @type {Record<Phase | "after", string>} */
const LATER = {
  after: "it runs after backward()",
  forward: "it runs in the forward phase",
  loss: "it runs in the loss phase",
  backward: "it runs with backward()",
  update: "it runs in the update phase or after it",
};

/** Return the phase of each line of a step; for a line with two phases, the first one. @param {Step} step */
function phases(step) {
  /** @type {Map<number, Phase>} */
  const phaseByLine = new Map();
  for (const phase of PHASES) for (const line of step.lines[phase] ?? []) if (!phaseByLine.has(line)) phaseByLine.set(line, phase);
  return phaseByLine;
}

/** Show the gradients of a backward call beside its line. @param {State} state @param {Step} step @param {Margin} all */
function gradients(state, step, all) {
  const { run } = state;
  const pass = shownPass(state);
  if (!pass || pass.line === null || step.values[pass.line]?.tensor) return;
  if (state.phase === "backward" && state.ran !== null) {
    const text = `${state.ran} of ${format.counted(ranIn(pass), "node")}`;
    return void all.notes.set(pass.line, { text, title: "nodes that autograd has run in this pass", tone: "grad" });
  }
  const filled = step.parameters.filter(({ contribution }) => contribution);
  const [only] = filled;
  if (!only) return;
  const one = filled.length === 1 && only.grad_after;
  const text = one
    ? fit(one, run?.program.split("\n")[pass.line - 1] ?? "", `${only.name ?? only.id}.grad = `)
    : format.counted(filled.length, "gradient");
  const title = filled.map(({ id, name, grad_after }) => `${name ?? id}.grad = ${format.tensor(grad_after, 60)}`).join("\n");
  all.notes.set(pass.line, { text, title, tone: "grad", literal: one && only.grad_after ? literal(only.grad_after) : null });
}

/** Make the note for a line's value. @param {string} text @param {Tensor | null} tensor @param {Note["tone"]} tone @param {string} source @returns {Note} */
function note(text, tensor, tone, source) {
  if (!tensor) return { text: cut(format.plain(text)), title: text, tone };
  const leaf = tensor.requires_grad && tensor.is_leaf;
  if (/=\s*torch\.(tensor|as_tensor|arange|linspace|from_numpy)\(/.test(source)) {
    return {
      text: leaf ? `${tensor.shape.length ? format.shape(tensor.shape) : "scalar"} leaf` : format.described(tensor),
      title: text,
      tone: leaf ? "param" : tone,
    };
  }
  if (tone === "before") return { text: fit(tensor, source), title: text, tone };
  const grad = /^\s*[\w.[\]]+\.grad\s*$/.test(source.replace(/#.*$/, ""));
  const beside =
    leaf && tensor.shape.length && format.values(tensor, free(source)) === null
      ? `${format.shape(tensor.shape)} leaf`
      : fit(tensor, source);
  return { text: beside, title: text, tone: grad ? "grad" : leaf ? "param" : tone };
}

/** @param {string} text */
function cut(text) {
  const line = text.split("\n", 1)[0] ?? "";
  return line.length > ROOM || line.length < text.length ? `${line.slice(0, ROOM - 1)}…` : line;
}

// Say what stands beside each line of the program: its value at the playhead, its phase, its error.

import * as format from "../leaves/format.js";
import { PHASES } from "../leaves/types.js";
import { atEnd, loopOf, reached } from "./playhead.js";
import { nodeOf } from "./graph-queries.js";
import { shownPass } from "./state.js";

/** @import {Phase, Run, Step, Tensor} from "../leaves/types.js" */
/** @import {State} from "./state.js" */

/**
 * @typedef {object} Note
 * @property {string} text
 * @property {string} title                      all of it
 * @property {"" | "grad" | "param" | "off" | "before"} tone   off: not run yet; before: what it was in an earlier step
 *
 * @typedef {object} Margin
 * @property {Map<number, Note>} notes
 * @property {Map<number, Phase>} active         lines of the phase at the playhead
 * @property {{line: number, columns: [number, number] | null} | null} selected
 * @property {{line: number, columns: [number, number] | null, type: string, message: string} | null} error
 * @property {readonly number[]} found           lines that a pitfall is told of
 */

const ROOM = 27;
const WIDTH = 61; // characters of a value that stand in a line of the editor, at its usual width
const LETTER = 1.09; // width of a character of code in those of a value

/** How many characters of a value have room beside a line of code. @param {string} source */
const free = (source) => Math.floor(WIDTH - 3 - source.length * LETTER);

/**
 * A tensor beside its line, if it has room there with few decimals, else below.
 *
 * @param {Tensor} tensor
 * @param {string} source
 * @param {string} [prefix]
 */
function fit(tensor, source, prefix = "") {
  const beside = Array.isArray(tensor.values) ? format.values(tensor, free(source) - prefix.length) : null;
  return prefix + (beside ?? format.tensor(tensor, ROOM));
}

/** @param {State} state @returns {Margin} */
export function margin(state) {
  const { run, step, phase, apart, graph, node } = state;
  /** @type {Margin} */
  const all = { notes: new Map(), active: new Map(), selected: null, error: null, found: [] };
  if (!run) return all;
  const pitfalls = run.findings.filter(({ severity, file }) => file === null && (severity === "error" || severity === "warning"));
  all.found = pitfalls.flatMap(({ line }) => line ?? []);
  const source = run.program.split("\n");
  /** @type {Put} */
  const put = (line, { text, tensor }, tone = "") => all.notes.set(line, note(text, tensor, tone, source[line - 1] ?? ""));
  if (run.steps && step) inStep(state, run, step, all, put);
  else if (!run.steps) for (const told of run.lines) if (told.file === null) put(told.line, told);
  const error = run.error;
  if (error && error.file === null && error.line !== null && atEnd(state)) {
    all.error = { line: error.line, columns: error.columns ?? null, type: error.type, message: error.message };
    all.notes.delete(error.line);
  }
  if (step && !apart) for (const [line, place] of phases(step)) if (place === phase) all.active.set(line, place);
  const selected = graph && nodeOf(graph, node);
  if (selected && selected.file === null && selected.line !== null)
    all.selected = { line: selected.line, columns: selected.columns };
  return all;
}

/** @typedef {(line: number, value: {text: string, tensor: Tensor | null}, tone?: Note["tone"]) => void} Put */

/**
 * What each line was at the playhead: in this step, else in an earlier one; nothing of what comes after.
 *
 * @param {State} state
 * @param {Run} run
 * @param {Step} step
 * @param {Margin} all
 * @param {Put} put
 */
function inStep(state, run, step, all, put) {
  const { phase } = state;
  const places = phases(step);
  const end = atEnd(state);
  const loop = loopOf(run, step);
  const last = new Map(run.lines.flatMap((told) => (told.file === null ? [/** @type {const} */ ([told.line, told])] : [])));
  for (const line of new Set([...last.keys(), ...Object.keys(step.earlier).map(Number)])) {
    const [told, earlier] = [last.get(line), step.earlier[line]];
    if (end && told && (told.step === null || !earlier)) put(line, told);
    else if (!earlier) all.notes.set(line, { text: format.NONE, title: "not run yet", tone: "off" });
    else if (told?.step === earlier.step && !(loop && loop[0] <= line && line <= loop[1])) put(line, earlier); // set up once
    else {
      put(line, earlier, "before");
      const shown = all.notes.get(line);
      if (shown) all.notes.set(line, { ...shown, title: `from step ${earlier.step}: ${shown.title}` });
    }
  }
  for (const [key, value] of Object.entries(step.values)) {
    const line = Number(key);
    if (reached(step, phase, value.phase)) put(line, value, places.get(line) === "update" && value.tensor ? "param" : "");
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
  for (const line of new Set([...places.keys(), ...Object.keys(step.values).map(Number)])) {
    const place = step.values[line]?.phase ?? places.get(line) ?? "forward";
    if (reached(step, phase, place)) {
      if (all.notes.get(line)?.tone === "off") all.notes.delete(line); // it ran, and came to nothing that is told
    } else if (step.values[line] || (all.notes.has(line) && !step.earlier[line])) {
      all.notes.set(line, { text: format.NONE, title: `not run yet in this step: ${LATER[place]}`, tone: "off" });
    }
  }
  onTheWay(state, run, put, all);
}

/** What ran on the way from the last step to an error is newer than that step. @param {State} state @param {Run} run @param {Put} put @param {Margin} all */
function onTheWay(state, run, put, all) {
  if (!run.error || !atEnd(state)) return;
  for (const told of run.lines) {
    if (told.file !== null || told.step !== null || !state.step?.values[told.line]) continue;
    put(told.line, told);
    const shown = all.notes.get(told.line);
    if (shown) all.notes.set(told.line, { ...shown, title: `after the last step: ${shown.title}` });
  }
}

/** When a line runs that is still to run. @type {Record<Phase, string>} */
const LATER = {
  forward: "it runs in the forward phase",
  loss: "it runs in the loss phase",
  backward: "it runs with backward()",
  update: "it runs in the update phase or after it",
};

/** The phase of each line of a step; a line of two phases counts for the first. @param {Step} step */
function phases(step) {
  /** @type {Map<number, Phase>} */
  const places = new Map();
  for (const phase of PHASES) for (const line of step.lines[phase] ?? []) if (!places.has(line)) places.set(line, phase);
  return places;
}

/** What a call into the engine brought, beside its line. @param {State} state @param {Step} step @param {Margin} all */
function gradients(state, step, all) {
  const { run } = state;
  const pass = shownPass(state);
  if (!pass || pass.line === null || step.values[pass.line]?.tensor) return;
  if (state.phase === "backward" && state.ran !== null) {
    const text = `${state.ran} of ${format.counted(pass.order.length, "node")}`;
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
  all.notes.set(pass.line, { text, title, tone: "grad" });
}

/** @param {string} text @param {Tensor | null} tensor @param {Note["tone"]} tone @param {string} source @returns {Note} */
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

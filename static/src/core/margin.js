// Say what stands beside each line of the program: its value at the playhead, its phase, its error.

import * as format from "../leaves/format.js";
import { PHASES } from "../leaves/types.js";
import { nodeOf } from "./walk.js";
import { shownPass } from "./state.js";

/** @import {Phase, Step, Tensor} from "../leaves/types.js" */
/** @import {State} from "./state.js" */

/**
 * @typedef {object} Note
 * @property {string} text
 * @property {string} title                      all of it
 * @property {"" | "grad" | "param" | "off" | "later"} tone   off: not run in this step yet; later: run after the playhead
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
  /** @param {number} line @param {string} text @param {Tensor | null} tensor @param {Note["tone"]} tone */
  const put = (line, text, tensor, tone) => all.notes.set(line, note(text, tensor, tone, source[line - 1] ?? ""));

  for (const { file, line, text, tensor } of run.lines) if (file === null) put(line, text, tensor, "");
  if (step && !apart) {
    const reached = PHASES.indexOf(phase);
    const places = phases(step);
    for (const [line, value] of Object.entries(step.values)) {
      put(Number(line), value.text, value.tensor, places.get(Number(line)) === "update" && value.tensor ? "param" : "");
    }
    gradients(state, step, all);
    for (const { name, line, to } of step.rebinds) {
      if (to)
        all.notes.set(line, {
          text: `${name} = ${format.tensor(to, 16)}${to.is_leaf ? "" : ", no leaf"}`,
          title: `${name} now names another tensor: ${to.grad_fn ?? "no grad_fn"}`,
          tone: "param",
        });
    }
    for (const [line, place] of places) {
      if (PHASES.indexOf(place) > reached) {
        if (all.notes.has(line) || step.values[line])
          all.notes.set(line, { text: format.NONE, title: `not yet: this line belongs to ${place}`, tone: "off" });
      } else if (
        !step.values[line] &&
        !step.rebinds.some((rebind) => rebind.line === line) &&
        line !== shownPass(state)?.line
      ) {
        all.notes.delete(line);
      }
      if (place === phase) all.active.set(line, place);
    }
    later(state, step, places, all);
  }
  const error = run.error;
  if (error && error.file === null && error.line !== null) {
    all.error = { line: error.line, columns: error.columns ?? null, type: error.type, message: error.message };
    all.notes.delete(error.line);
  }
  const selected = graph && nodeOf(graph, node);
  if (selected && selected.file === null && selected.line !== null)
    all.selected = { line: selected.line, columns: selected.columns };
  return all;
}

/**
 * Mark values of lines that come after the playhead, as far as the order of lines tells.
 *
 * @param {State} state
 * @param {Step} step
 * @param {Map<number, Phase>} places
 * @param {Margin} all
 */
function later({ run, at, phase }, step, places, all) {
  const ahead = [...places].filter(([, place]) => PHASES.indexOf(place) > PHASES.indexOf(phase)).map(([line]) => line);
  const horizon = Math.min(...ahead);
  const end = Math.max(...places.keys());
  const last = at === (run?.steps ?? 1) - 1;
  for (const [line, shown] of all.notes) {
    if (!places.has(line) && (line > horizon || (!last && !step.values[line] && line > end)))
      all.notes.set(line, { ...shown, tone: "later" });
  }
}

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
    return void all.notes.set(pass.line, { text, title: "nodes that the engine has run in this pass", tone: "grad" });
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
  if (!tensor) return { text: cut(text), title: text, tone };
  const leaf = tensor.requires_grad && tensor.is_leaf;
  if (/=\s*torch\.(tensor|as_tensor|arange|linspace|from_numpy)\(/.test(source)) {
    return {
      text: leaf ? `${format.shape(tensor.shape)} leaf` : format.kind(tensor),
      title: text,
      tone: leaf ? "param" : tone,
    };
  }
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

// Write the messages about a run: how it ended, why there is no graph, which graphs there are, what its cells printed.

import { lastStep } from "../../core/instant.js";
import { ended } from "../../core/state.js";
import { h, prose } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";

/** @import {Child} from "../../leaves/dom.js" */
/** @import {Cell, CellShown, Run} from "../../leaves/types.js" */
/** @import {Busy, State} from "../../core/state.js" */

const CALL = /\b(?:backward|grad)\(/; // in a line that starts a backward pass

/**
 * Return the status beside the heading "Program".
 *
 * @param {State} state
 * @param {{mode: string, limits: {wall_seconds: number}}} server
 * @param {() => void} toEnd  go to the step at which an error ended the program
 * @returns {Child}
 */
export function outcome({ run, busy, edited, step }, { mode, limits }, toEnd) {
  if (busy) {
    if (busy.stopping) return "Stopping…";
    if (busy.queue) return waiting(busy.queue);
    const live = busy.id !== null && busy.id === run?.id ? run.steps : 0;
    const { done, of } = busy.progress;
    const turns = live > 0 && step?.iteration?.index === step?.index; // each turn of the loop is a step
    if (of && turns) return `Running… ${Math.max(live, done)} of ${of} steps`;
    if (of) return `Running… ${live ? `${format.counted(live, "step")}, ` : ""}turn ${done} of ${of}`;
    if (live) return `Running… ${format.counted(live, "step")} so far`;
    return busy.slow ? `Still running… It is stopped after ${limits.wall_seconds} s.` : "Running…";
  }
  if (!run) return "";
  if (edited) return "edited, not run yet";
  const headline = run.outcome.replace(" line ", " line\u00a0");
  const took = run.duration_ms === null ? "" : format.duration(run.duration_ms).replace(" ", "\u00a0");
  if (run.status === "failed")
    return lastStep(run) >= 0
      ? h("button", { type: "button", class: "to bad", title: "Go to the error", onclick: toEnd }, headline)
      : h("span", { class: "bad" }, headline);
  if (run.status === "timed_out" && run.steps) {
    const title = "Go to the line that ran";
    return [h("button", { type: "button", class: "to bad", title, onclick: toEnd }, headline), ` after ${format.counted(run.steps, "step")}; all are recorded`];
  }
  if (run.status !== "done")
    return [
      h("span", { class: "bad", title: run.error?.message }, headline),
      run.steps ? `, ${format.counted(run.steps, "step")} recorded` : took && ` after ${took}`,
    ];
  const what = run.steps ? format.counted(run.steps, "step") : "ran";
  return `${what}${took && ` in ${took}`}\u00a0· ${mode === "unconfined" ? "not sandboxed" : "sandboxed"}`;
}

/** Say when a program that waits for its turn will start. @param {{position: number, seconds: number}} queue */
function waiting({ position, seconds }) {
  return `Waiting: ${position === 1 ? "next" : `${position - 1} ahead`}, about ${Math.max(1, Math.round(seconds))} s`;
}

/** Describe a program before its first graph. @param {Busy} busy @returns {Child} */
function underway({ queue, slow }) {
  if (queue) {
    const ahead = queue.position - 1;
    return [
      h("h3", null, ahead ? `${format.counted(ahead, "program")} ahead of yours` : "Your program is next"),
      h("p", null, `It starts in about ${Math.max(1, Math.round(queue.seconds))} s. The server is busy, and people take turns.`),
    ];
  }
  return [
    h("h3", null, "Running…"),
    h("p", null, "The graph appears after the first ", h("code", null, "backward()"), "."),
    slow && h("p", null, "This takes a while. Everything that is recorded before the time limit can be played. Use smaller tensors or fewer steps to see it sooner."),
  ];
}

/** Explain why there is no picture, and what to do. @param {State} state @param {(step: number) => void} go @returns {Child} */
export function absence(state, go) {
  const { run, at, step, absent, busy, coming, recording } = state;
  if (busy && (!run || !ended(run)) && !run?.steps) return underway(busy);
  if (!run && coming) return h("p", null, "Loading…");
  if (!run && recording) return [h("h3", null, "The example is being recorded…"), h("p", null, "Its graph appears here in a moment. You need not wait to run a program of your own.")];
  if (!run)
    return [
      h("h3", null, "Nothing recorded yet"),
      h("p", null, "Paste PyTorch code and press Run. The graph appears after the first ", h("code", null, "backward()"), "."),
      h("p", null, "Or start from one of the examples in the menu above."),
    ];
  if (absent) return [h("h3", null, "This graph is not drawn"), h("p", null, absent)];
  if (step && at >= run.steps)
    return [
      h("h3", null, run.steps ? `Stopped after step ${at - 1}` : "Stopped before the first backward()"),
      h("p", null, h("span", { class: "bad" }, run.outcome), run.error && [": ", prose(run.error.message)]),
      at > 0 && h("button", { type: "button", class: "btn", onclick: () => go(at - 1) }, `Go to step ${at - 1}`),
    ];
  if (run.steps && step)
    return [
      h("h3", null, `No backward graph in step ${at}`),
      h("p", null, "No code in this step called backward()."),
      at > 0 && h("button", { type: "button", class: "btn", onclick: () => go(at - 1) }, `Go to step ${at - 1}`),
    ];
  if (run.steps) return h("p", null, "Loading…");
  if (run.error)
    return [
      // a program that was stopped inside one call may have got further: events that it had not sent yet are lost
      h("h3", null, run.status === "killed" || run.error.line === null ? "The process ended before anything was recorded" : CALL.test(run.program.split("\n")[run.error.line - 1] ?? "") ? "backward() had no graph to run through" : "Stopped before the first backward()"),
      h("p", null, h("span", { class: "bad" }, run.outcome), run.error.line === null ? [": ", prose(run.error.message)] : ". The error is shown in the program."),
    ];
  if (run.status !== "done")
    return [h("h3", null, "Nothing was recorded"), h("p", null, `${run.outcome}, before the program called `, h("code", null, "backward()"), ".")];
  return [
    h("h3", null, "No graph"),
    h("p", null, "No tensor in this program requires a gradient, so autograd recorded nothing. Create one with ", h("code", null, "requires_grad=True"), "."),
  ];
}

/**
 * Return the graphs to choose from: the passes of the step, then the graphs of displayed tensors that no pass reaches.
 *
 * @param {State} state
 * @returns {{value: string, label: string}[]}
 */
export function choices(state) {
  const { run, step } = state;
  if (!run) return [];
  const passes = step?.passes ?? [];
  const source = run.program.split("\n");
  const name = (/** @type {number | null} */ line) =>
    line === null ? "" : (source[line - 1] ?? "").replace(/#.*$/, "").trim();
  const reached = new Set(passes.map(({ graph }) => graph));
  /** @type {Map<string, number>} */
  const displayed = new Map(); // by graph, the last line that displays a tensor of it
  for (const { file, graph, line } of run.lines) if (file === null && graph && !reached.has(graph)) displayed.set(graph, line);
  return [
    ...passes.map(({ index, kind, line }) => ({
      value: `pass ${index}`,
      label: `${kind === "implicit" ? "implicit backward()" : name(line).slice(0, 32) || kind}${line === null ? "" : `, line ${line}`}`,
    })),
    ...[...displayed].map(([graph, line]) => ({ value: `graph ${graph}`, label: `${name(line).slice(0, 32)}, line ${line}` })),
  ];
}

/**
 * Return the cells of a run with the output and value to show below each.
 *
 * @param {Run} run
 * @param {ReadonlySet<Cell>} over  the cells that have finished at the playhead; the others have no value yet
 * @returns {CellShown[]}
 */
export function outputs({ cells, output, truncated }, over) {
  const last = output.at(-1)?.cell;
  return cells.map((cell) => {
    const printed = output.filter((part) => part.cell === cell.index);
    const end = printed.pop();
    if (end) printed.push({ ...end, text: end.text.replace(/\n+$/, "") });
    if (truncated && cell.index === last)
      printed.push({ stream: "stdout", text: "\n… cut here: the program printed more than the limit, and continued", cell: cell.index });
    return { ...cell, printed, over: over.has(cell) };
  });
}

/**
 * Return a notebook with a cell for each of the given first lines. It keeps the Markdown, names and numbers of the cells shown.
 *
 * @param {string} source
 * @param {number[]} starts  1-based
 * @param {readonly import("../../leaves/types.js").Cell[]} shown
 */
export function notebookOf(source, starts, shown) {
  const lines = source.split("\n");
  const text = (/** @type {string} */ markdown) => ({ cell_type: "markdown", metadata: {}, source: markdown });
  const cells = starts.flatMap((start, i) => {
    const code = lines
      .slice(i === 0 ? 0 : start - 1, (starts[i + 1] ?? lines.length + 1) - 1)
      .join("\n")
      .replace(/\n+$/, "");
    const { markdown = [], markdown_below: below = [], name = "", number = null } = shown.length === starts.length ? shown[i] : {};
    const cell = { cell_type: "code", metadata: name ? { name } : {}, outputs: [], execution_count: number, source: code };
    return [...markdown.map(text), cell, ...below.map(text)];
  });
  return { nbformat: 4, nbformat_minor: 5, metadata: {}, cells };
}

// Compare the shown run with another one: choose the other run, show how the programs differ, end the comparison.

import { curvesOf } from "../../core/curves.js";
import { trouble } from "../../core/runner.js";
import { fill, h } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */
/** @import {Run} from "../../leaves/types.js" */

const ROOM = 34; // maximum characters of a line that differs between two programs
const WHOLE = 24; // a line of at most this many characters is shown whole, not only its difference
const ALIKE = 4; // two lines with this many first characters in common are versions of one line

/**
 * Return the first line of each of two programs that the other one lacks; null if there is none.
 *
 * @param {string} one
 * @param {string} other
 * @returns {[string, string] | null}
 */
export function apart(one, other) {
  const lines = (/** @type {string} */ text) => text.split("\n").map((line) => line.replace(/\s*#.*$/, "").trim()).filter(Boolean);
  const [mine, theirs] = [lines(one), lines(other)];
  const first = mine.find((line) => !theirs.includes(line));
  const second = theirs.find((line) => !mine.includes(line));
  if (first === undefined && second === undefined) return null;
  return [part(first ?? "without this line", second ?? ""), part(second ?? "without this line", first ?? "")];
}

/** Return the part of a line that differs from another line; short or unrelated lines are returned whole. @param {string} line @param {string} other */
function part(line, other) {
  const cut = (/** @type {string} */ text) => (text.length > ROOM ? `${text.slice(0, ROOM - 1)}…` : text);
  let [head, tail] = [0, 0];
  const most = Math.min(line.length, other.length);
  while (head < most && line[head] === other[head]) head++;
  while (tail < most - head && line.at(-1 - tail) === other.at(-1 - tail)) tail++;
  if (Math.max(line.length, other.length) <= WHOLE || head < ALIKE) return cut(line);
  const start = Math.max(...[" ", ",", "("].map((each) => line.lastIndexOf(each, head - 1))) + 1;
  const rest = line.slice(line.length - tail).search(/[,)]/);
  return cut(closed(line.slice(start, rest < 0 ? line.length : line.length - tail + rest).replace(/[\s,]+$/, ""))) || "without this line";
}

/** Cut a part of a line at its first unclosed bracket, unless it begins with that bracket. @param {string} text */
function closed(text) {
  const open = [];
  for (const [i, each] of [...text].entries()) {
    if ("([{".includes(each)) open.push(i);
    else if (")]}".includes(each)) open.pop();
  }
  return text.slice(0, open[0] || text.length);
}

/**
 * Make the control that starts and ends a comparison.
 *
 * @param {Store<State>} state
 * @param {Client} api
 * @param {HTMLElement | null} [difference]  says where the two runs differ first
 */
export function compare(state, api, difference = null) {
  const list = h("div", { class: "sheet wide" });
  const summary = h("summary", { class: "to" }, "compare");
  const menu = h("details", { class: "menu up" }, summary, list);
  const mine = h("span", { class: "mine" });
  const theirs = h("span", { class: "dashed" });
  const away = h("button", { type: "button", class: "away-with", "aria-label": "Stop comparing", title: "Stop comparing" }, "×");
  const pair = h("span", { class: "pair" }, mine, theirs, difference ?? h("span"), away);
  const element = h("span", { class: "compare" }, pair, menu);

  /** The run that was shown before the current one. @type {Run | null} */
  let before = null;
  /** @type {Run | null} */
  let current = null;
  /** @type {string | null} */
  let loading = null;

  /** @param {string | null} id */
  function choose(id) {
    menu.open = false;
    state.set({ compare: id });
  }
  away.addEventListener("click", () => {
    choose(null);
    summary.focus();
  });

  /** Fetch the other run. @param {string} id */
  async function load(id) {
    if (loading === id) return;
    loading = id;
    try {
      const run = await api.run(id);
      const curves = await curvesOf(api, run, null);
      if (state.get().compare === id) state.set({ other: { run, curves } });
    } catch (error) {
      if (state.get().compare === id) state.set({ compare: null, trouble: trouble(error) });
    } finally {
      if (loading === id) loading = null;
    }
  }

  state.watch(["run", "compare"], ({ run, compare: id, other }) => {
    if (!run) return;
    if (id === run.id) return state.set({ compare: null }); // a run does not differ from itself
    if (other && other.run.id !== id) state.set({ other: null });
    if (id !== null && other?.run.id !== id) void load(id);
  });

  /** Fill the menu with the runs to choose from. */
  async function offer() {
    const own = state.get().run;
    fill(list, h("p", { class: "group" }, "Loading…"));
    const { runs } = await api.runs().catch(() => ({ runs: [], next: null }));
    const others = runs.filter(({ id, steps }) => id !== own?.id && steps > 1);
    const last = others.find(({ id }) => id === before?.id);
    const line = own && before ? apart(own.program, before.program)?.[1] : null;
    const rest = others.filter((run) => run !== last);
    /** @param {typeof runs[number]} run @param {string | null | undefined} [differs] */
    const item = ({ id, title, steps, created }, differs) =>
      h(
        "button",
        { type: "button", onclick: () => choose(id) },
        differs ? h("code", null, differs) : title,
        h("small", null, `${format.counted(steps, "step")}, ${new Date(created).toLocaleTimeString()}`),
      );
    fill(
      list,
      last && [h("p", { class: "group" }, "Previous run"), item(last, line)],
      rest.length > 0 && [h("p", { class: "group" }, last ? "Your other runs" : "Your runs"), rest.map((run) => item(run))],
      !others.length && h("p", { class: "group" }, "Nothing to compare yet. Change the program and run it again, then compare the two runs here."),
    );
  }
  menu.addEventListener("toggle", () => menu.open && void offer());

  state.watch(["run", "other"], ({ run, other }) => {
    if (run && run.id !== current?.id) before = current;
    current = run;
    const differ = run && other ? apart(run.program, other.run.program) : null;
    pair.hidden = !other;
    menu.hidden = other !== null || !run || run.steps < 2;
    const solid = h("i", { class: "stroke", "aria-hidden": "true" });
    fill(mine, solid, h("code", null, differ?.[0] ?? "this run"));
    fill(theirs, h("i", { class: "stroke", "aria-hidden": "true" }), h("code", null, differ?.[1] ?? "the other run"));
  });

  return element;
}

// Say that the step at the playhead is summarized, and record it whole on request: the server then runs the program again up to it.

import { trouble } from "../../core/runner.js";
import { ended } from "../../core/state.js";
import { fill, find, h } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */

/**
 * Start to show the note. It is above the graph.
 *
 * @param {Store<State>} state
 * @param {Client} api
 * @param {(step: number) => void} again  fetch a step again
 */
export function summaryNote(state, api, again) {
  const note = find("#summarized");
  /** @type {{run: string, step: number, stop: AbortController, done: number} | null} */
  let running = null;
  /** @type {{run: string, step: number, text: string} | null} */
  let failed = null; // the last replay that brought no numbers

  /** Record a step whole. @param {string} run @param {number} step */
  async function start(run, step) {
    const mine = { run, step, stop: new AbortController(), done: 0 };
    running = mine;
    failed = null;
    show();
    try {
      const answer = await api.replay(run, { what: "step", step }, mine.stop.signal, (done) => {
        mine.done = done;
        if (running === mine) show();
      });
      if (answer.repeatable === true) {
        if (state.get().run?.id === run) again(step);
      } else failed = { run, step, text: answer.difference?.sentence ?? answer.reason ?? "The replay ended without a result." };
    } catch (error) {
      if (!mine.stop.signal.aborted) failed = { run, step, text: trouble(error).detail };
    }
    if (running === mine) running = null;
    show();
  }

  function show() {
    const { run, step, busy, coming, playing } = state.get();
    const shown = run !== null && ended(run) && !busy && !coming && !playing && step?.summary === true;
    note.hidden = !shown;
    if (!shown) return fill(note);
    const { id } = run;
    const { index } = step;
    if (running?.run === id && running.step === index) {
      const { stop, done } = running;
      return fill(
        note,
        h("p", null, "Running the program again, up to this step…"),
        h("progress", { max: index + 1, value: done, "aria-label": "Steps repeated" }),
        h("span", { class: "mute" }, `${format.counted(done, "step")} of ${(index + 1).toLocaleString("en")}`),
        h("button", { type: "button", class: "btn", onclick: () => stop.abort() }, "Stop"),
      );
    }
    const reason = failed?.run === id && failed.step === index ? failed.text : null;
    fill(
      note,
      h("p", null, reason ?? "This step is summarized: its loss and its parameters were recorded, but not the numbers of its graph."),
      h("button", { type: "button", class: "btn", disabled: running !== null, onclick: () => void start(id, index) }, reason ? "Try again" : "Compute them"),
    );
  }

  state.watch(["run", "step", "busy", "coming", "playing"], show);
}

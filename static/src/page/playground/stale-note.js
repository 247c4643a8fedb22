// Say that the page shows an earlier run: the program was edited since, is not valid Python, or has recorded nothing yet.

import { fill, find, h, prose } from "../../leaves/dom.js";

/** @import {Run} from "../../leaves/types.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */

/** Return whether a program did not start, because it is not valid Python. @param {Run | null} run */
export const notStarted = (run) => run !== null && run.steps === 0 && /^(Syntax|Indentation|Tab)Error$/.test(run.error?.type ?? "");

/**
 * Start to show the note. It is above the graph.
 *
 * @param {Store<State>} state
 * @param {() => void} again  run the program in the editor
 * @param {() => boolean} drawn  returns whether a picture is shown
 */
export function staleNote(state, again, drawn) {
  const note = find("#stale");
  state.watch(["run", "edited", "busy", "picture", "absent"], ({ run, edited, busy }) => {
    const invalid = notStarted(run) && drawn();
    const waits = busy !== null && busy.id !== run?.id && Boolean(busy.slow || busy.queue) && drawn();
    const shown = run !== null && (busy ? waits : invalid || (edited && drawn()));
    document.body.classList.toggle("stale", shown);
    note.hidden = !shown;
    if (!shown) return fill(note);
    if (waits) return fill(note, h("p", null, "This is the graph of the previous run, until the program reaches its first ", h("code", null, "backward()"), "."));
    if (edited) {
      const button = h("button", { type: "button", class: "btn", onclick: again }, "Run again");
      return fill(note, h("p", null, invalid ? "This is the graph of an earlier run." : "You have edited the program since this run."), button);
    }
    const { line, message } = run?.error ?? {};
    fill(note, h("p", null, h("b", null, "The program did not start"), `: line ${line} is not valid Python (`, prose(message ?? ""), "). This is the graph of the previous run."));
  });
}

// Name the run that the shown one was edited from, and lead back to it.

import { lineage } from "../../core/lineage.js";
import { find, h } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";

/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */

const ROOM = 40; // characters of a title

/** @typedef {{id: string, title: string, program: string}} Earlier */

/**
 * Start to name the earlier run, and return a function to call before a program of the user's is run.
 *
 * @param {Store<State>} state
 * @param {(id: string) => void} open
 */
export function editedFrom(state, open) {
  const title = h("button", { type: "button", class: "to", onclick: () => open(title.dataset["run"] ?? "") });
  const element = h("span", { class: "edited-from", hidden: true }, "Edited from ", title);
  find(".stored").append(" ", element);
  /** The program that is run, and the run whose program was edited. @type {{program: string, from: Earlier} | null} */
  let sent = null;

  state.watch(["run"], ({ run }) => {
    if (run && sent && run.id !== sent.from.id && run.program.trimEnd() === sent.program.trimEnd()) {
      lineage.keep({ run: run.id, from: sent.from.id, title: sent.from.title });
      sent = null;
    }
    const descent = run && lineage.of(run.id);
    element.hidden = !descent;
    if (!descent) return;
    title.dataset["run"] = descent.from;
    title.textContent = format.cut(descent.title, ROOM);
  });

  /** @param {string} program @param {Earlier | null} from */
  return (program, from) => (sent = from && program.trimEnd() !== from.program.trimEnd() ? { program, from } : null);
}

// Keep the user's edits through a reload, the Back button and every link, and bring them back with the run that was edited.

import { drafts } from "../../core/drafts.js";
import { fill, find, h } from "../../leaves/dom.js";
import { ago } from "../../leaves/time.js";

/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */

const REST = 300; // milliseconds without an edit after which the text is kept
const HOME = "home"; // replaces the id of the run on a page that will never have one

/**
 * Start to keep drafts.
 *
 * @param {Store<State>} state
 * @param {{text: () => string, amend: (text: string) => void}} editor
 * @param {(program: string) => string} bare  returns a program as the editor shows it
 * @param {string | null} recording  id that the run of this page will have once it is recorded, so that a draft from before comes back with it
 */
export function draftKeeper(state, editor, bare, recording) {
  const box = find("#draft");
  let waiting = 0;
  let restored = ""; // the run whose draft was brought back last
  const id = () => state.get().run?.id ?? recording ?? HOME;

  /** Keep the text now if an edit waits to be kept. */
  function flush() {
    if (!waiting) return;
    clearTimeout(waiting);
    waiting = 0;
    if (state.get().edited) drafts.keep(id(), editor.text());
    else drafts.drop(id());
  }
  addEventListener("pagehide", flush);
  document.addEventListener("visibilitychange", () => document.hidden && flush());

  /** Show that a draft was brought back. @param {number} at */
  function announce(at) {
    const discard = h("button", { type: "button", class: "to", onclick: () => (drafts.drop(id()), editor.amend(bare(state.get().run?.program ?? ""))) }, "Discard them");
    fill(box, `Your edits from ${ago(at)} are back. `, discard);
    box.hidden = false;
  }
  state.watch(["edited", "run", "busy"], ({ edited, busy }) => {
    if (!edited || busy) box.hidden = true;
  });

  /** Bring back the draft of the shown run. */
  function restore() {
    const run = id();
    const { edited, busy, coming } = state.get();
    if (run === restored || busy || coming) return;
    restored = run;
    const draft = drafts.of(run);
    if (!draft || edited) return;
    if (draft.text === editor.text()) return drafts.drop(run);
    editor.amend(draft.text);
    announce(draft.at);
  }

  return {
    /** Return the id of the run to which a draft belongs now. */
    id,
    /** The user has edited the text. */
    touch() {
      clearTimeout(waiting);
      waiting = setTimeout(flush, REST);
    },
    /** Keep the last edits, because another text is about to replace them. */
    flush,
    /** Start to bring drafts back, each with its run. */
    begin: () => state.watch(["run", "busy", "coming"], restore),
    /** The text was run: it needs no draft any more. @param {string} run  the run that was edited @param {string} text */
    ran(run, text) {
      if (drafts.of(run)?.text === text) drafts.drop(run);
    },
  };
}

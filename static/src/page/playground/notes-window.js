// The speaker's notes in a window of their own, so that the projected screen does not show them.

import { fill, h } from "../../leaves/dom.js";
import { toast } from "../../widgets/shell.js";

/** @import {State} from "../../core/state.js" */

const NOTE = /(^\s*)?#\s*note:\s*(.+)$/i;

/**
 * Return the notes of a program by line. A note at the end of a line belongs to that line, a note on its own line to the next line.
 *
 * @param {string} program
 * @returns {Map<number, string>}  lines are 1-based
 */
export function notesOf(program) {
  /** @type {Map<number, string>} */
  const notes = new Map();
  /** @type {string[]} */
  let waiting = [];
  program.split("\n").forEach((line, i) => {
    const found = NOTE.exec(line);
    if (found && found[1] !== undefined) waiting.push(found[2] ?? "");
    else if (line.trim() !== "") {
      const texts = [...waiting, ...(found ? [found[2] ?? ""] : [])];
      if (texts.length) notes.set(i + 1, texts.join(" "));
      waiting = [];
    }
  });
  return notes;
}

/** Return functions that open the window, and write into it. */
export function notesWindow() {
  /** @type {Window | null} */
  let opened = null;
  const when = h("p", { class: "when" });
  const now = h("p", { class: "now", role: "status" });
  const all = h("ol", null);

  /** Make the new window look like the page. While it has the focus, it gets the keys of a clicker: send them to the page. */
  function prepare(/** @type {Window} */ fresh) {
    const { head, body, documentElement } = fresh.document;
    fresh.document.title = "Notes";
    for (const { name, value } of document.documentElement.attributes) if (name !== "data-present") documentElement.setAttribute(name, value);
    head.append(...[...document.querySelectorAll("link[rel=stylesheet]")].map((sheet) => h("link", { rel: "stylesheet", href: /** @type {HTMLLinkElement} */ (sheet).href })));
    body.className = "notes-window";
    body.append(when, now, all);
    fresh.addEventListener("keydown", ({ key, code, shiftKey }) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, code, shiftKey, bubbles: true, cancelable: true })));
    addEventListener("pagehide", () => fresh.close());
  }

  return {
    /** Open the window, or close it. */
    toggle() {
      if (opened && !opened.closed) return opened.close();
      opened = window.open("", "tapedeck-notes", "popup,width=520,height=640");
      if (opened) prepare(opened);
      else toast("The browser blocked the window with your notes: allow pop-ups for this page");
    },
    close() {
      opened?.close();
    },
    /** Write the notes at an instant. @param {State} state */
    show({ run, step, phase }) {
      const lines = new Set(step?.lines[phase] ?? []);
      const notes = [...notesOf(run?.program ?? "")];
      when.textContent = step ? `step ${step.index} · ${phase}` : "";
      now.textContent = notes.flatMap(([line, text]) => (lines.has(line) ? [text] : [])).join(" ") || (notes.length ? "No note here." : "The program has no notes. Add comments such as # note: let them vote now.");
      fill(all, notes.map(([line, text]) => h("li", { value: String(line), ...(lines.has(line) ? { "aria-current": "true" } : {}) }, text)));
    },
  };
}

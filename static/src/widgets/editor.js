// The program's editor, with recorded values beside its lines.

import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { bracketMatching, indentOnInput, indentUnit } from "@codemirror/language";
import { Compartment, EditorState, Prec } from "@codemirror/state";
import { EditorView, highlightSpecialChars, keymap, lineNumbers } from "@codemirror/view";
import { h, widget } from "../leaves/dom.js";
import { laterStyle } from "../leaves/later-style.js";
import { folding } from "./editor/folding.js";
import { hangingIndent } from "./editor/hanging-indent.js";
import { lineValues, cells, cellStarts, samePrinted, setCells, setMargin } from "./editor/line-values.js";
import { scrollFollow } from "./editor/scroll-follow.js";
import { pullNumbers } from "./editor/pull.js";
import { highlight } from "./editor/highlight.js";

/** @import {CellShown} from "../leaves/types.js" */
/** @import {Margin} from "./editor/line-values.js" */

/**
 * @typedef {object} EditorOptions
 * @property {string} doc
 * @property {string} [label]                       its name for screen readers
 * @property {string} nonce                         the page's nonce, for the styles that the editor adds
 * @property {() => void} onrun
 * @property {(byUser: boolean) => void} onedit      byUser: typed, pasted, undone; not set by the page
 * @property {() => void} onpull                    a number was dragged
 * @property {(line: number, column: number | null, word: string | null) => void} onpick   a line was clicked, or a word in it
 * @property {(literal: string) => void} oncopy      copy a value
 * @property {((line: number) => void) | null} [onwatch]    watch an expression after a line
 * @property {(text: string) => boolean} onpaste    return true to handle a pasted text instead of the editor
 */

const BY_USER = ["input", "delete", "move", "undo", "redo"];

/** Make the editor. @param {EditorOptions} options */
export function editor({ doc, label = "Program", nonce, onrun, onedit, onpull, onpick, oncopy, onwatch = null, onpaste }) {
  const assisted = new Compartment();
  const names = highlight();
  const state = EditorState.create({
    doc,
    extensions: [
      EditorView.cspNonce.of(nonce),
      Prec.highest(
        keymap.of([
          { key: "Mod-Enter", run: () => (void assisting?.then(({ closeCompletion }) => closeCompletion(view)), onrun(), true) },
          { key: "Mod-f", run: () => (void assist().then(({ openSearchPanel }) => openSearchPanel(view)), true) },
          { key: "Alt-w", run: ({ state: now }) => (onwatch?.(now.doc.lineAt(now.selection.main.head).number), Boolean(onwatch)) },
          { key: "Alt-c", run: ({ state: now }) => copyValue(now.doc.lineAt(now.selection.main.head).number) },
        ]),
      ),
      history(),
      indentUnit.of("    "),
      EditorState.tabSize.of(4),
      indentOnInput(),
      bracketMatching(),
      highlightSpecialChars(),
      names.extension,
      pullNumbers(onpull),
      hangingIndent,
      lineValues({ onpick: (line) => onpick(line, null, null), oncopy: (line) => void copyValue(line), onwatch }),
      lineNumbers({
        domEventHandlers: { click: (view, block) => (onpick(view.state.doc.lineAt(block.from).number, null, null), true) },
      }),
      folding,
      keymap.of([...defaultKeymap, ...historyKeymap, indentWithTab]),
      assisted.of([]),
      EditorView.lineWrapping,
      EditorView.contentAttributes.of({
        "aria-label": label,
        tabindex: "0", // a scrolled text needs a tab stop
        spellcheck: "false",
        autocorrect: "off",
        autocapitalize: "off",
      }),
      EditorView.domEventHandlers({
        // the browser would insert text over a selection with a style attribute, which the content security policy forbids
        beforeinput(event, view) {
          if (event.inputType !== "insertText" || event.data === null || view.composing || view.state.selection.main.empty)
            return false;
          event.preventDefault();
          view.dispatch({ ...view.state.replaceSelection(event.data), userEvent: "input.type", scrollIntoView: true });
          return true;
        },
        paste(event) {
          const text = event.clipboardData?.getData("text/plain") ?? "";
          if (!onpaste(text)) return false;
          event.preventDefault();
          return true;
        },
      }),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) onedit(update.transactions.some((each) => BY_USER.some((event) => each.isUserEvent(event))));
        const pointed = update.transactions.some((transaction) => transaction.isUserEvent("select.pointer"));
        const at = update.state.selection.main;
        if (!pointed || !at.empty) return;
        const line = update.state.doc.lineAt(at.head);
        const word = update.state.wordAt(at.head);
        const column = [...line.text.slice(0, at.head - line.from)].length;
        onpick(line.number, column, word && update.state.sliceDoc(word.from, word.to));
      }),
    ],
  });
  const view = new EditorView({ state });
  /** @type {Promise<typeof import("./editor/assist.js")> | null} */
  let assisting = null;
  /** Load the grammar, search and completion, once. */
  const assist = () =>
    (assisting ??= Promise.all([import("./editor/assist.js"), laterStyle()]).then(([loaded]) => {
      view.dispatch({ effects: assisted.reconfigure(loaded.assist) });
      return loaded;
    }));
  for (const sign of ["pointerenter", "focusin"]) view.dom.addEventListener(sign, () => void assist(), { once: true });
  const element = h("div", { class: "editor" }, view.dom);
  const follower = scrollFollow(view);
  let shown = /** @type {Pick<Margin, "active" | "error" | "notes">} */ ({ active: new Map(), error: null, notes: new Map() });

  /** Copy the value of a line as Python, and return whether it has one. @param {number} line */
  function copyValue(line) {
    const copied = shown.notes.get(line)?.literal;
    if (copied) oncopy(copied);
    return Boolean(copied);
  }

  return widget(element, {
    /** Return the current text. */
    text: () => view.state.doc.toString(),
    /** Return the first lines of the cells in the current text. */
    starts: () => cellStarts(view.state),
    /** Replace the program. @param {string} text */
    replace(text) {
      if (text === view.state.doc.toString()) return;
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
      follower.restart();
    },
    /** Change the program where it differs, so that the values of other lines stay. @param {string} text */
    amend(text) {
      const before = view.state.doc.toString();
      const most = Math.min(before.length, text.length);
      let [head, tail] = [0, 0];
      while (head < most && before[head] === text[head]) head++;
      while (tail < most - head && before.at(-1 - tail) === text.at(-1 - tail)) tail++;
      if (before !== text) view.dispatch({ changes: { from: head, to: before.length - tail, insert: text.slice(head, text.length - tail) } });
    },
    /** Show a run's values, phases and error. @param {Margin} margin @param {readonly string[]} parameters */
    show(margin, parameters) {
      shown = margin;
      view.dispatch({ effects: [setMargin.of(margin), names.set.of(parameters)] });
    },
    /** Show the outputs of cells. @param {readonly CellShown[]} shown */
    cells(shown) {
      const now = view.state.field(cells).shown;
      const same = (/** @type {CellShown} */ cell, /** @type {number} */ i) =>
        cell.start_line === now[i]?.start_line && cell.over === now[i].over && samePrinted(cell.printed, now[i].printed) && cell.output === now[i].output;
      if (shown.length !== now.length || !shown.every(same)) view.dispatch({ effects: setCells.of(shown) });
    },
    /** Scroll to the error, else to the lines of the phase, unless the user has scrolled elsewhere. */
    follow() {
      const lines = shown.error ? [shown.error.line] : [...shown.active.keys()];
      if (lines.length) follower.follow(Math.min(...lines), Math.max(...lines));
    },
    /** Follow the playhead again, because the user has moved it. */
    resumeFollowing: follower.resume,
    /** Bring a line into view. @param {number} line */
    reveal(line) {
      if (line > view.state.doc.lines) return;
      view.dispatch({ effects: EditorView.scrollIntoView(view.state.doc.line(line).from, { y: "nearest", yMargin: 24 }) });
    },
    /** Put the cursor into a line, and give the editor the focus. @param {number} line @param {number} column */
    place(line, column) {
      const { from, length } = view.state.doc.line(Math.max(1, Math.min(line, view.state.doc.lines)));
      view.dispatch({ selection: { anchor: from + Math.min(column, length) } });
      view.focus();
    },
    /** Insert a text at the cursor, as if typed. @param {string} text */
    type: (text) => view.dispatch({ ...view.state.replaceSelection(text), userEvent: "input.type" }),
  });
}

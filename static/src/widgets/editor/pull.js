// Drag the numbers of a program: each literal changes while the pointer moves from left to right, or with Alt and the arrow keys.

import { Prec } from "@codemirror/state";
import { Decoration, EditorView, ViewPlugin, keymap } from "@codemirror/view";
import { pullOf, pulled } from "../../core/pulled-number.js";
import { tokens, tokensOf } from "./tokens.js";

/** @import {DecorationSet, ViewUpdate} from "@codemirror/view" */
/** @import {EditorState} from "@codemirror/state" */

const NUMBER = Decoration.mark({ class: "cm-pull", attributes: { title: "Drag to change this number and run again" } });
const SLACK = 3; // pixels that the pointer may move in a click
const NOTCH = 6; // pixels of a notch
const COARSE = 10; // notches at once while Shift is held

/**
 * Return the number literal at a position, or null.
 *
 * @param {EditorState} state
 * @param {number} at
 */
function numberAt(state, at) {
  const found = tokensOf(state.doc).find(({ kind, from, to }) => kind === "number" && from <= at && at <= to);
  return found && pullOf(state.sliceDoc(found.from, found.to)) ? found : null;
}

/** Return the editor's extension. @param {() => void} onpull  a number was changed */
export function pullNumbers(onpull) {
  /** Replace a literal. @param {EditorView} view @param {number} from @param {number} to @param {string} text */
  function put(view, from, to, text) {
    if (view.state.sliceDoc(from, to) === text) return;
    view.dispatch({ changes: { from, to, insert: text }, userEvent: "input.pull" });
    onpull();
  }

  const plugin = ViewPlugin.fromClass(
    class {
      /** @param {EditorView} view */
      constructor(view) {
        this.decorations = marks(view);
      }
      /** @param {ViewUpdate} update */
      update(update) {
        if (update.docChanged || update.viewportChanged) this.decorations = marks(update.view);
      }
    },
    { decorations: (value) => value.decorations },
  );

  const drag = EditorView.domEventHandlers({
    pointerdown(event, view) {
      const mark = event.target instanceof Element ? event.target.closest(".cm-pull") : null;
      if (!mark || event.button || event.pointerType === "touch" || event.shiftKey || event.altKey) return false;
      const found = numberAt(view.state, view.posAtDOM(mark) + 1);
      if (!found) return false;
      const { from } = found;
      const first = view.state.sliceDoc(from, found.to);
      const pull = pullOf(first);
      if (!pull) return false;
      let [to, active] = [found.to, false];
      const start = event.clientX;
      const stop = new AbortController();
      const { signal } = stop;
      /** @param {PointerEvent} move */
      const follow = (move) => {
        const by = move.clientX - start;
        if (!active && Math.abs(by) <= SLACK) return;
        active = true;
        document.body.classList.add("pulling");
        getSelection()?.removeAllRanges();
        const text = pulled(pull, Math.trunc(by / NOTCH) * (move.shiftKey ? COARSE : 1));
        put(view, from, to, text);
        to = from + text.length;
      };
      addEventListener("pointermove", follow, { signal });
      // the editor would select text while the pointer moves
      addEventListener("mousemove", (move) => active && (move.preventDefault(), move.stopImmediatePropagation()), { signal, capture: true });
      for (const end of ["pointerup", "pointercancel", "blur"])
        addEventListener(end, () => (stop.abort(), document.body.classList.remove("pulling")), { signal });
      return false; // a click still places the cursor
    },
  });

  /** Change the number at the cursor. @param {EditorView} view @param {1 | -1} by */
  function nudge(view, by) {
    const found = numberAt(view.state, view.state.selection.main.head);
    const pull = found && pullOf(view.state.sliceDoc(found.from, found.to));
    if (!found || !pull) return false;
    put(view, found.from, found.to, pulled(pull, by));
    return true;
  }
  const keys = Prec.highest(
    keymap.of([
      { key: "Alt-ArrowUp", run: (view) => nudge(view, 1) },
      { key: "Alt-ArrowDown", run: (view) => nudge(view, -1) },
    ]),
  );
  return [plugin, drag, keys];
}

/** Mark the literals in view. @param {EditorView} view @returns {DecorationSet} */
function marks(view) {
  const found = tokens(view).filter(({ kind, from, to }) => kind === "number" && pullOf(view.state.sliceDoc(from, to)));
  return Decoration.set(found.map(({ from, to }) => NUMBER.range(from, to)));
}

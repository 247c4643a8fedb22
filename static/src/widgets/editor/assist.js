// Indent and fold by the grammar of Python, find and replace, and complete names. Loaded when the editor is used for the first time.

import { acceptCompletion, autocompletion, closeCompletion, completionStatus, moveCompletionSelection, selectedCompletionIndex, setSelectedCompletion, startCompletion } from "@codemirror/autocomplete";
import { python, pythonLanguage } from "@codemirror/lang-python";
import { highlightSelectionMatches, openSearchPanel, search, searchKeymap } from "@codemirror/search";
import { EditorState, Prec } from "@codemirror/state";
import { keymap } from "@codemirror/view";
import { attributes } from "./complete.js";

/** Accept the selected completion, else the first one. @param {import("@codemirror/view").EditorView} view */
function accept(view) {
  if (completionStatus(view.state) !== "active") return false;
  if (selectedCompletionIndex(view.state) === null || selectedCompletionIndex(view.state) === -1) {
    view.dispatch({ effects: setSelectedCompletion(0) });
  }
  return acceptCompletion(view);
}

export { closeCompletion, openSearchPanel };

/** The editor's extension. Enter starts a new line unless a completion was chosen with the arrow keys. */
export const assist = [
  python(),
  search({ top: true }),
  EditorState.phrases.of({ next: "Next", previous: "Previous", "match case": "Match case", regexp: "Expression", "by word": "Whole words", replace: "Replace", "replace all": "Replace all" }),
  highlightSelectionMatches({ minSelectionLength: 2 }),
  keymap.of(searchKeymap),
  autocompletion({ defaultKeymap: false, selectOnOpen: false, interactionDelay: 0, icons: false, maxRenderedOptions: 60 }),
  pythonLanguage.data.of({ autocomplete: attributes }),
  Prec.highest(
    keymap.of([
      { key: "Ctrl-Space", run: startCompletion },
      { key: "Escape", run: closeCompletion },
      { key: "ArrowDown", run: moveCompletionSelection(true) },
      { key: "ArrowUp", run: moveCompletionSelection(false) },
      { key: "Enter", run: acceptCompletion },
      { key: "Tab", run: accept },
    ]),
  ),
];

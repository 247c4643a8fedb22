// Indent the continuation of a wrapped line under its beginning.

import { Decoration, ViewPlugin } from "@codemirror/view";
import { RangeSetBuilder } from "@codemirror/state";

const MOST = 40; // columns of the deepest indentation

/** Decorations by indentation, whose classes the style sheet adds up: those of the powers of two in the indentation. */
const LINES = Array.from({ length: MOST + 1 }, (_, indent) => {
  const parts = [1, 2, 4, 8, 16, 32].filter((part) => indent & part);
  return Decoration.line({ class: ["hangs", ...parts.map((part) => `in-${part}`)].join(" ") });
});

/** @param {import("@codemirror/view").EditorView} view */
function decorate(view) {
  /** @type {RangeSetBuilder<Decoration>} */
  const builder = new RangeSetBuilder();
  for (const { from, to } of view.visibleRanges) {
    for (let at = from; at <= to; ) {
      const line = view.state.doc.lineAt(at);
      const indent = /^ */.exec(line.text)?.[0].length ?? 0;
      builder.add(line.from, line.from, /** @type {Decoration} */ (LINES[Math.min(indent, MOST)]));
      at = line.to + 1;
    }
  }
  return builder.finish();
}

/** The editor's extension. */
export const hangingIndent = ViewPlugin.fromClass(
  class {
    /** @param {import("@codemirror/view").EditorView} view */
    constructor(view) {
      this.decorations = decorate(view);
    }
    /** @param {import("@codemirror/view").ViewUpdate} update */
    update(update) {
      if (update.docChanged || update.viewportChanged) this.decorations = decorate(update.view);
    }
  },
  { decorations: (value) => value.decorations },
);

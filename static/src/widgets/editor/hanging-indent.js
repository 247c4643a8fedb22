// Indent the continuation of a wrapped line under its beginning.

import { EditorView, ViewPlugin, Decoration } from "@codemirror/view";
import { RangeSetBuilder } from "@codemirror/state";

const MORE = 4; // columns that a continuation is indented further than its line
const MOST = 40; // columns of the deepest indentation

const LINES = Array.from({ length: MOST + 1 }, (_, indent) => Decoration.line({ class: `cm-hang-${indent}` }));
const rules = Object.fromEntries(
  LINES.map((_, indent) => [`.cm-line.cm-hang-${indent}`, { paddingLeft: `${indent + MORE}ch`, textIndent: `-${indent + MORE}ch` }]),
);

/** @param {EditorView} view */
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

const plugin = ViewPlugin.fromClass(
  class {
    /** @param {EditorView} view */
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

/** The editor's extension. */
export const hangingIndent = [plugin, EditorView.theme(rules)];

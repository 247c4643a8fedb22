// Highlight parameters in blue and gradients in amber, and make keywords and comments pale.

import { RangeSetBuilder, StateEffect, StateField } from "@codemirror/state";
import { Decoration, ViewPlugin } from "@codemirror/view";
import { tokens } from "./tokens.js";

/** @import {DecorationSet, EditorView, ViewUpdate} from "@codemirror/view" */
/** @import {Token} from "../../leaves/python-tokens.js" */

const PARAMETER = Decoration.mark({ class: "cm-param" });
const GRADIENT = Decoration.mark({ class: "cm-grad" });
const KEYWORD = Decoration.mark({ class: "tok-keyword" });
const COMMENT = Decoration.mark({ class: "tok-comment" });
const GRADIENTS = new Set(["grad", "backward", "autograd", "zero_grad", "retain_grad"]);

/** Return the editor's extension, and the effect that sets the names of parameters. */
export function highlight() {
  /** @type {import("@codemirror/state").StateEffectType<readonly string[]>} */
  const set = StateEffect.define();
  /** @type {StateField<readonly string[]>} */
  const names = StateField.define({
    create: () => /** @type {readonly string[]} */ ([]),
    update: (value, { effects }) => effects.find((effect) => effect.is(set))?.value ?? value,
  });

  /** @param {Token["kind"]} kind @param {string} word @param {ReadonlySet<string>} parameters */
  function mark(kind, word, parameters) {
    if (kind === "keyword") return KEYWORD;
    if (kind === "comment") return COMMENT;
    if (kind === "attribute") return GRADIENTS.has(word) ? GRADIENT : null;
    return kind === "name" && parameters.has(word) ? PARAMETER : null;
  }

  /** @param {EditorView} view @returns {DecorationSet} */
  function colour(view) {
    const parameters = new Set([...view.state.field(names), ...declared(view.state.doc.toString())]);
    /** @type {RangeSetBuilder<Decoration>} */
    const builder = new RangeSetBuilder();
    for (const { kind, from, to } of tokens(view)) {
      const found = mark(kind, view.state.sliceDoc(from, to), parameters);
      if (found) builder.add(from, to, found);
    }
    return builder.finish();
  }

  const plugin = ViewPlugin.fromClass(
    class {
      /** @param {EditorView} view */
      constructor(view) {
        this.decorations = colour(view);
      }
      /** @param {ViewUpdate} update */
      update(update) {
        const renamed = update.startState.field(names) !== update.state.field(names);
        if (update.docChanged || update.viewportChanged || renamed) this.decorations = colour(update.view);
      }
    },
    { decorations: (value) => value.decorations },
  );
  return { extension: [names, plugin], set };
}

/** Return the names that the text declares as parameters, so that they are highlighted before the first run. @param {string} text */
function declared(text) {
  return [
    ...text.matchAll(
      /^[ \t]*(\w+)\s*(?::[^=\n]+)?=(?!=).*(?:requires_grad\s*=\s*True|requires_grad_\(\s*\)|nn\.Parameter\()/gm,
    ),
  ].map((match) => match[1] ?? "");
}

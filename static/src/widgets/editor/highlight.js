// Highlight parameters in blue and gradients in amber.

import { syntaxTree } from "@codemirror/language";
import { RangeSetBuilder, StateEffect, StateField } from "@codemirror/state";
import { Decoration, ViewPlugin } from "@codemirror/view";

/** @import {DecorationSet, EditorView, ViewUpdate} from "@codemirror/view" */

const PARAMETER = Decoration.mark({ class: "cm-param" });
const GRADIENT = Decoration.mark({ class: "cm-grad" });
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

  /** @param {EditorView} view @returns {DecorationSet} */
  function colour(view) {
    const parameters = new Set([...view.state.field(names), ...declared(view.state.doc.toString())]);
    /** @type {RangeSetBuilder<Decoration>} */
    const builder = new RangeSetBuilder();
    for (const { from, to } of view.visibleRanges) {
      syntaxTree(view.state).iterate({
        from,
        to,
        enter(node) {
          if (node.name !== "VariableName" && node.name !== "PropertyName") return;
          const word = view.state.sliceDoc(node.from, node.to);
          if (node.name === "PropertyName") {
            if (GRADIENTS.has(word)) builder.add(node.from, node.to, GRADIENT);
          } else if (parameters.has(word)) builder.add(node.from, node.to, PARAMETER);
        },
      });
    }
    return builder.finish();
  }

  const plugin = ViewPlugin.fromClass(
    class {
      /** @param {EditorView} view */
      constructor(view) {
        this.tree = syntaxTree(view.state);
        this.decorations = colour(view);
      }
      /** @param {ViewUpdate} update */
      update(update) {
        const tree = syntaxTree(update.state);
        if (
          !update.docChanged &&
          !update.viewportChanged &&
          tree === this.tree &&
          update.startState.field(names) === update.state.field(names)
        )
          return;
        this.tree = tree;
        this.decorations = colour(update.view);
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

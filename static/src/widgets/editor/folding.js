// Fold the bodies of functions, classes and loops, and long literals.

import { codeFolding, foldGutter, foldKeymap } from "@codemirror/language";
import { keymap } from "@codemirror/view";
import { h } from "../../leaves/dom.js";

/** The editor's extension. */
export const folding = [
  codeFolding({
    placeholderDOM: (_view, onclick) =>
      h("button", { type: "button", class: "cm-folded", title: "Unfold", "aria-label": "Unfold the folded lines", onclick }, "…"),
  }),
  foldGutter({
    markerDOM: (open) => h("span", { class: `cm-fold ${open ? "open" : "closed"}`, title: open ? "Fold" : "Unfold" }, h("i", { class: "caret" })),
  }),
  keymap.of(foldKeymap),
];

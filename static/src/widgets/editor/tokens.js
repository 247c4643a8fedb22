// The tokens of the program in the editor.

import { pythonTokens } from "../../leaves/python-tokens.js";

/** @import {Text} from "@codemirror/state" */
/** @import {EditorView} from "@codemirror/view" */
/** @import {Token} from "../../leaves/python-tokens.js" */

/** @type {WeakMap<Text, Token[]>} */
const known = new WeakMap();

/** Return the tokens of a text. @param {Text} doc */
export function tokensOf(doc) {
  const all = known.get(doc) ?? pythonTokens(doc.toString());
  known.set(doc, all);
  return all;
}

/** Return the tokens in the visible part of the text, in their order. @param {EditorView} view */
export function tokens(view) {
  return tokensOf(view.state.doc).filter((token) => view.visibleRanges.some(({ from, to }) => token.from < to && token.to > from));
}

// Explain a term of autograd in a tooltip, and link it to the guide.

import { h } from "../leaves/dom.js";

/** The explanation of each term, by the anchor of its section in the guide. */
const TERMS = {
  leaf: "A leaf is a tensor that no operation made. backward() fills the .grad of leaves that require a gradient.",
  grad_fn: "The function that computes the gradients of this operation's inputs.",
  norm: "The norm of a gradient: the square root of the sum of the squares of its elements.",
  "no-gradient": "Neither this tensor nor anything that it was made from has requires_grad=True.",
};

/**
 * Return a term as a link to the guide.
 *
 * @param {keyof typeof TERMS} term
 * @param {import("../leaves/dom.js").Child} [text]
 */
export function explained(term, text = term) {
  const guide = document.querySelector("a[data-guide]")?.getAttribute("href") ?? "/guide";
  return h("a", { class: "term", href: `${guide}/graph#${term}`, target: "_blank", title: TERMS[term] }, text);
}

// Build the inspector's sections and tables: facts, gradients, the arithmetic of a product, the path from the loss.

import { h } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";

/** @import {GraphNode, Tensor} from "../../leaves/types.js" */
/** @import {Child} from "../../leaves/dom.js" */

/**
 * @typedef {object} Products
 * @property {string} heading                   name of the gradient that is multiplied
 * @property {string} factor                    name of the tensor that it is multiplied by
 * @property {Record<"gradient" | "factor" | "product", number | null>[]} rows    null: loading
 * @property {number | null | undefined} sum    null: nothing is summed; undefined: loading
 */

const WHOLE = 28; // characters of a gradient that stays in one line
const NAME = 18; // maximum characters of a name in a path
const LONGEST = 30; // a path of at most this many nodes is shown whole
const ENDS = { first: 8, last: 12 }; // nodes of a longer path that are shown

/** Make a remark in small grey text. @param {...Child} children */
export const remark = (...children) => h("p", { class: "remark" }, children);

/** Make a row of a description list. @param {string} name @param {Child} value */
export const fact = (name, value) => [h("dt", null, name), h("dd", null, value)];

/** Make a section with a heading. @param {Child} heading @param {Child} aside @param {...Child} rest */
export const part = (heading, aside, ...rest) =>
  h("section", null, h("h4", null, h("span", null, heading), aside && h("span", { class: "aside" }, aside)), rest);

/** Make a row of a table. @param {Child} label @param {Child} value @param {{tone?: string, total?: boolean}} [look] */
export const row = (label, value, { tone, total } = {}) =>
  h("tr", { class: total ? "total" : null }, h("th", { scope: "row" }, label), h("td", { class: tone }, value));

/** Make a table. @param {string} name @param {Child} rows @param {Child} [caption] */
export const table = (name, rows, caption = null) =>
  h("table", { class: name }, caption && h("caption", null, caption), h("tbody", null, rows));

/** Format a gradient in its colour. @param {Tensor | null} tensor */
export function amber(tensor) {
  const text = format.tensor(tensor);
  return h("span", { class: text.length <= WHOLE ? "grad whole" : "grad", title: tensor ? format.described(tensor) : null }, text);
}

/**
 * Make a table of the gradients that arrive, their sum if there are several, and the gradient after hooks.
 *
 * @param {{label: Child, gradient: Tensor | null}[]} arriving
 * @param {Tensor | null} total
 * @param {Tensor | null} used
 * @param {string | null} caption
 */
export function sum(arriving, total, used, caption) {
  const hooked = used && total && format.all(used) !== format.all(total);
  const summed = row(arriving.length ? "Σ of these" : "total", amber(total), { total: true });
  return table(
    "flows",
    [
      arriving.map(({ label, gradient }) => row(label, amber(gradient))),
      arriving.length !== 1 && summed,
      hooked && row("used, after hooks", amber(used)),
    ],
    caption,
  );
}

/** @param {string} text */
const sign = (text) => h("td", { class: "sign" }, text);
/** @param {string} text */
const head = (text) => h("th", { scope: "col" }, text);
/** Make the head of a column of signs. @param {string} name  for screen readers */
const unseen = (name) => h("th", { scope: "col", class: "sign" }, h("span", { class: "away" }, name));
/** @param {number | null | undefined} value @param {boolean} [gradient] */
const cell = (value, gradient = false) => h("td", { class: gradient ? "grad" : null }, format.number(value));

/** Make a table of a multiplication, element by element. @param {Products} products */
export function product({ rows, sum: total, factor, heading }) {
  const summed = total !== null;
  return h(
    "table",
    { class: "worked" },
    h("thead", null, h("tr", null, head(heading), unseen("times"), head(factor), unseen("equals"), head("product"))),
    h(
      "tbody",
      null,
      rows.map((each) =>
        h("tr", null, cell(each.gradient, true), sign("×"), cell(each.factor), sign("="), cell(each.product, !summed)),
      ),
      summed && h("tr", { class: "total" }, h("td"), sign(""), h("td"), sign("Σ"), cell(total, true)),
    ),
  );
}

/**
 * Make a table of the path from the loss to a node, with a bar for each gradient on a logarithmic scale.
 *
 * @param {{node: GraphNode, norm: number | null}[]} path
 * @param {(node: string, room: number) => Child} link
 * @param {(node: string, room: number) => string} nameOf
 */
export function route(path, link, nameOf) {
  const names = path.map(({ node }) => nameOf(node.id, NAME));
  const skipped = path.length > LONGEST ? path.length - ENDS.first - ENDS.last : 0;
  const width = lengths(path.map(({ norm }) => norm ?? 0));
  const rows = path.map(({ node, norm }, i) => {
    if (skipped && i === ENDS.first)
      return h("tr", null, h("th", { scope: "row", colspan: "3" }, `… ${format.counted(skipped, "more node")} …`));
    if (skipped && i > ENDS.first && i < path.length - ENDS.last) return null;
    const wrong = norm !== null && !Number.isFinite(norm);
    const bar = h("i", { class: wrong ? "wrong" : null });
    bar.style.width = wrong ? "100%" : `${width(norm ?? 0)}%`;
    const alike = names.filter((name) => name === names[i]).length > 1; // a name that is assigned again and again
    const operation = alike && h("small", null, ` ${node.op.replace(/Backward\d+$/, "")}`);
    return h(
      "tr",
      { "aria-current": i === path.length - 1 ? "true" : null },
      h("th", { scope: "row" }, link(node.id, alike ? NAME - 6 : NAME), operation),
      h("td", null, bar),
      h("td", { class: wrong ? "bad" : "grad" }, format.number(norm)),
    );
  });
  return table("route", rows);
}

/** Return a function from a norm to the length of its bar, in percent: zero has none, and the smallest norm a short one. @param {number[]} norms */
function lengths(norms) {
  const sizes = norms.filter((norm) => norm > 0 && Number.isFinite(norm)).map(Math.log10);
  const [low, high] = [Math.floor(Math.min(...sizes)), Math.max(...sizes)];
  return (/** @type {number} */ norm) => (norm > 0 ? 4 + (96 * (Math.log10(norm) - low)) / (high - low || 1) : 0);
}

// Draw which rows of the data reach which rows of a node's value, as a square: a row of the data to the right, its effects below.

import { h, prose, s } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";

/** @import {DataDependence, Dependences} from "../../leaves/types.js" */

const CELL = 10; // in units of the picture
const [LARGEST_CELL, LARGEST] = [16, 200]; // in pixels, of one row and of the picture
const MARKS = { apart: "each its own", moved: "each another one", later: "later rows too", mixed: "mixed", none: "none" };

/** Draw the dependence on each tensor of the data. @param {Dependences} answer */
export function dependences({ data = [], length = 0 }) {
  return h("div", null, data.length ? data.map((each) => drawn(each, length)) : h("p", { class: "remark" }, `No data with ${format.thousands(length)} rows reaches it.`));
}

/** @param {DataDependence} data @param {number} length */
function drawn(data, length) {
  const { rows, pattern, sentence } = data;
  const name = data.name ?? "data";
  return h(
    "figure",
    null,
    h("h4", null, h("span", null, "Rows of ", h("code", null, name), " that reach here"), h("span", { class: "aside" }, MARKS[pattern])),
    h("div", { class: "square" }, picture(data), h("p", { class: "axis" }, `row of ${name} ↓`, h("br"), "row here →")),
    h("p", { class: "remark" }, prose(sentence), rows.length < length && ` ${rows.length} of ${format.thousands(length)} rows were replaced.`),
    h(
      "details",
      null,
      h("summary", null, "Rows"),
      h(
        "table",
        { class: "worked", "aria-label": `Rows that each row of ${name} reaches` },
        h("thead", null, h("tr", null, h("th", { scope: "col" }, `row of ${name}`), h("th", { scope: "col" }, "reaches"))),
        h("tbody", null, rows.map(({ row, reaches, count }) => h("tr", null, h("th", { scope: "row" }, String(row)), h("td", null, listed(reaches, count))))),
      ),
    ),
  );
}

/** List rows, with runs of neighbours as ranges. @param {number[]} reaches @param {number} count */
function listed(reaches, count) {
  if (!count) return "none";
  if (reaches.length < count) return format.counted(count, "row");
  const parts = [];
  for (let at = 0; at < reaches.length; ) {
    let end = at;
    while (reaches[end + 1] === /** @type {number} */ (reaches[end]) + 1) end++;
    parts.push(end > at ? `${reaches[at]}–${reaches[end]}` : `${reaches[at]}`);
    at = end + 1;
  }
  return parts.join(", ");
}

/** @param {DataDependence} data */
function picture({ rows, name, sentence }) {
  const at = new Map(rows.map(({ row }, i) => [row, i]));
  const size = rows.length * CELL;
  const shown = Math.min(rows.length * LARGEST_CELL, LARGEST);
  const cells = rows.flatMap(({ row, reaches }, y) =>
    reaches.map((other) =>
      s("rect", { class: other === row ? "own" : "other", x: (at.get(other) ?? 0) * CELL, y: y * CELL, width: CELL - 1, height: CELL - 1 }, s("title", null, `row ${row} of ${name ?? "the data"} reaches row ${other} here`)),
    ),
  );
  const frame = s("rect", { class: "frame", x: -0.5, y: -0.5, width: size, height: size });
  return s("svg", { viewBox: `-1 -1 ${size + 1} ${size + 1}`, width: shown, height: shown, role: "img", "aria-label": sentence.replaceAll("`", "") }, frame, cells);
}

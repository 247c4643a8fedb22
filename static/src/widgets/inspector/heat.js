// Show the elements of a small tensor as a table of coloured cells: green above zero, purple below, stronger the farther from it.

import { h } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";

/** @import {Tensor} from "../../leaves/types.js" */

const LEAST = { matrix: 4, vector: 7 }; // elements: a smaller tensor is as easy to read in brackets
const ROOM = 300; // width for the numbers, in pixels; cells too narrow for theirs have none
const LETTER = 6.4; // width of a character, in pixels
const PADDING = 4; // beside a number, in pixels
const DECIMALS = [4, 3, 2, 1]; // of the numbers in cells: the first that fit
const CELL = { written: 58, bare: 24 }; // maximum width of a cell, in pixels

/**
 * Return whether a tensor is shown as a heat map: its elements were recorded, are real, and are many enough.
 *
 * @param {Tensor | null | undefined} tensor
 */
export function mapped(tensor) {
  if (!tensor || tensor.values === null || tensor.dtype.startsWith("complex") || !tensor.shape.length) return false;
  const count = tensor.shape.reduce((product, size) => product * size, 1);
  return count >= (tensor.shape.length > 1 ? LEAST.matrix : LEAST.vector);
}

/**
 * Make the heat map of a tensor. The last dimension goes across; the others are the rows.
 *
 * @param {Tensor} tensor  for which `mapped` holds
 * @param {string} name    of the tensor, for screen readers and tooltips
 */
export function heatMap({ values, shape, dtype }, name) {
  const all = format.flat(values ?? []);
  const across = shape.at(-1) ?? 1;
  const outer = shape.slice(0, -1);
  const whole = /int|bool/.test(dtype);
  const most = Math.max(...all.filter(Number.isFinite).map((each) => Math.abs(Number(each))), 0);
  const power = whole ? 0 : format.sharedPower(all);
  const texts = shortened(all, across, whole, power);
  /** @param {number} position */
  const cell = (position) => {
    const value = all[position] ?? null;
    const exact = format.number(value, 4, whole);
    const finite = typeof value !== "string";
    const own = h("td", { class: finite ? (Number(value) < 0 ? "below" : "above") : "bad", title: `${name}[${format.indexOf(position, shape).join(", ")}] = ${exact}` });
    own.append(texts ? (texts[position] ?? "") : h("span", { class: "away" }, exact));
    if (finite && most) own.style.setProperty("--part", `${Math.round((100 * Math.abs(Number(value))) / most)}%`);
    return own;
  };
  const rows = Array.from({ length: all.length / (across || 1) }, (_, row) => {
    const index = format.indexOf(row, outer).join(", ");
    return h("tr", null, outer.length > 0 && h("th", { scope: "row" }, index), Array.from({ length: across }, (_, column) => cell(row * across + column)));
  });
  const corner = outer.length > 0 && h("td", null);
  const columns = Array.from({ length: across }, (_, column) => h("th", { scope: "col" }, texts ? column : h("span", { class: "away" }, column)));
  const table = h("table", { "aria-label": `${name}, element by element` }, h("thead", null, h("tr", null, corner, columns)), h("tbody", null, rows));
  table.style.maxWidth = `${across * (texts ? CELL.written : CELL.bare) + 30}px`;
  const end = format.number(most, 2, whole);
  const scale = most > 0 && [h("span", null, `${format.MINUS}${end}`), h("i"), h("span", null, end)];
  return h("div", { class: "heat" }, table, h("p", { class: "scale", "aria-hidden": "true" }, h("code", null, name), texts && power ? ` × 1e${format.number(power, 0, true)}` : null, scale));
}

/** Write numbers so that each fits into its cell, with few decimals; null if they do not fit. @param {import("../../leaves/types.js").Scalar[]} all @param {number} across @param {boolean} whole @param {number} power  of ten that the numbers are divided by */
function shortened(all, across, whole, power) {
  for (const decimals of DECIMALS) {
    const texts = all.map((each) => (whole || typeof each !== "number" ? format.number(each, decimals, whole) : format.fixed(each / 10 ** power, decimals)));
    const longest = Math.max(...texts.map((text) => text.length));
    if (across * (longest * LETTER + PADDING) <= ROOM) return texts;
  }
  return null;
}

// Draw how the elements of a tensor are distributed: a histogram, the largest elements, and the first that is not finite.

import { h, s } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";

/** @import {Distribution, Distributions} from "../../leaves/types.js" */
/** @import {Child} from "../../leaves/dom.js" */

const [WIDTH, HEIGHT] = [240, 56]; // in units of the picture, which is stretched to the width of the inspector
const LISTED = 3; // largest elements that are listed

/** Draw the distributions of a node's value and of its gradients. @param {Distributions} answer @param {boolean} leaf  the value of a leaf is blue */
export function histograms({ value, gradients = [] }, leaf) {
  const several = gradients.length > 1;
  return h(
    "div",
    null,
    value && drawn(value, "Distribution of the value", leaf ? "param" : "value"),
    gradients.map((each, output) => each && drawn(each, `Distribution of the gradient${several ? ` at output ${output}` : ""}`, "grad")),
  );
}

/** @param {Distribution} distribution @param {string} heading @param {"param" | "value" | "grad"} tone */
function drawn(distribution, heading, tone) {
  const { shape, counts, largest, bad, low, high } = distribution;
  const size = shape.reduce((product, length) => product * length, 1);
  const finite = counts.reduce((sum, count) => sum + count, 0);
  const most = Math.max(...counts, 0);
  return h(
    "figure",
    { class: tone },
    h("h4", null, h("span", null, heading), h("span", { class: "aside" }, bad ? `${format.thousands(finite)} of ${format.thousands(size)} are finite` : format.counted(finite, "element"))),
    counts.length > 1 && [picture(distribution, `${heading}: ${summary(distribution)}`), scale(distribution, most), numbers(distribution, heading)],
    counts.length === 1 && h("p", { class: "remark" }, `All are ${format.number(low)}.`),
    !counts.length && h("p", { class: "remark" }, "No element is finite."),
    h(
      "table",
      { class: "flows" },
      h(
        "tbody",
        null,
        low !== high && largest.slice(0, LISTED).map((each, i) => row(i ? "" : "largest", each, tone)),
        bad && row(`first ${format.number(bad.value)}`, bad, "bad"),
      ),
    ),
  );
}

/** @param {string} label @param {Distribution["largest"][number]} listed @param {string} tone */
const row = (label, { element, value }, tone) =>
  h("tr", null, h("th", { scope: "row" }, h("span", { class: "label" }, label), " ", h("code", null, format.shape(element))), h("td", { class: tone }, format.number(value)));

/** Draw the bars. @param {Distribution} distribution @param {string} label */
function picture({ counts, low, high }, label) {
  const [most, width] = [Math.max(...counts), WIDTH / counts.length];
  const bars = counts.map((count, i) => {
    const size = count && Math.max(1, (count / most) * HEIGHT); // a bin with a single element can be seen, too
    return s("rect", { class: "bar", x: i * width, y: HEIGHT - size, width: width - 1, height: size }, s("title", null, binned({ counts, low, high }, i)));
  });
  const zero = (-Number(low) / (Number(high) - Number(low))) * WIDTH;
  const axis = zero > 0 && zero < WIDTH && s("line", { class: "zero", x1: zero, x2: zero, y1: 0, y2: HEIGHT }, s("title", null, "0"));
  return s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label }, bars, axis);
}

/** Write the ends of the axis, and the number of elements in the highest bar. @param {Distribution} distribution @param {number} most */
const scale = ({ low, high }, most) =>
  h("p", { class: "ends" }, h("span", null, format.number(low)), h("span", null, `highest bar: ${format.thousands(most)}`), h("span", null, format.number(high)));

/** @param {Pick<Distribution, "counts" | "low" | "high">} distribution @param {number} i */
function ends({ counts, low, high }, i) {
  const edge = (/** @type {number} */ at) => Number(low) * (1 - at / counts.length) + Number(high) * (at / counts.length);
  return `${format.number(edge(i))} to ${format.number(edge(i + 1))}`;
}

/** @param {Pick<Distribution, "counts" | "low" | "high">} distribution @param {number} i */
const binned = (distribution, i) => `${ends(distribution, i)}: ${format.counted(distribution.counts[i] ?? 0, "element")}`;

/** List the bins, for readers who cannot see the bars. @param {Distribution} distribution @param {string} heading @returns {Child} */
const numbers = (distribution, heading) =>
  h(
    "details",
    null,
    h("summary", null, "Bins"),
    h(
      "table",
      { class: "worked", "aria-label": `${heading}, by bin` },
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "from, to"), h("th", { scope: "col" }, "elements"))),
      h("tbody", null, distribution.counts.map((count, i) => h("tr", null, h("th", { scope: "row" }, ends(distribution, i)), h("td", null, format.thousands(count))))),
    ),
  );

/** Describe a histogram in words. @param {Distribution} distribution */
function summary(distribution) {
  const most = distribution.counts.indexOf(Math.max(...distribution.counts));
  return `from ${format.number(distribution.low)} to ${format.number(distribution.high)}; most are in the bin ${binned(distribution, most)}.`;
}

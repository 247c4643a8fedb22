// Write the numbers of another pass into the picture of a map: texts, bars, widths and colours. The boxes stay where they are. The
// server writes the same into the first picture of a map (`app/drawing/map_parts.py` and `map_texts.py`); a test compares the two.

import * as format from "../../leaves/format.js";

/** @import {EdgeStyle} from "../../leaves/edge-style.js" */
/** @import {MapSeries, Scalar} from "../../leaves/types.js" */

/**
 * The numbers of a map in one pass, as in `core/state.js`.
 *
 * @typedef {{arrives: Scalar | null, passedOn: Scalar | null, parameters: Scalar | null, series: MapSeries | null, ran: readonly [number, number] | null}} BoxFigures
 * @typedef {{boxes: Map<string, BoxFigures>, edges: Map<string, Scalar | null>, leaves: Map<string, Scalar | null>}} MapFigures
 */

const DECIMALS = 3;
const NORM = 56; // width of the longest bar of a norm, in pixels of the picture
const MOST_BARS = 200;
const BARS = { left: 10, bottom: 56, high: 24 }; // start and maximum height of the bars of a series, in pixels of a box
const ABOUT = "≈ ";
const EXACT = 0.005; // a factor per turn is written if its logarithm has at least this magnitude

/** Return a norm as a number, or null. @param {Scalar | null | undefined} norm */
const finite = (norm) => (norm === null || norm === undefined ? null : Number(norm));

/** Return the path of the bars of a series, the last turn first. @param {MapSeries} series @param {number} step @param {EdgeStyle} edgeStyle */
function barsOf({ norms }, step, edgeStyle) {
  const size = Math.ceil(norms.length / MOST_BARS);
  const chunks = Array.from({ length: Math.ceil(norms.length / size) }, (_, i) => norms.slice(i * size, (i + 1) * size).map(finite));
  const shown = chunks.map((chunk) => chunk.reduce((most, norm) => (norm !== null && !((most ?? -1) >= norm) ? norm : most), null));
  return shown
    .reverse()
    .map((norm, i) => {
      const tall = 1 + (edgeStyle.position(norm) ?? 0) * BARS.high;
      return `M${(BARS.left + i * step).toFixed(1)} ${BARS.bottom}v-${tall.toFixed(1)}h${Math.max(step * 0.8, 0.5).toFixed(2)}v${tall.toFixed(1)}z`;
    })
    .join("");
}

/** Return the text that explains the bars of a series. @param {MapSeries} series */
export function explained({ name, least, greatest, per_turn: factor, zero }) {
  if (least === null) return "";
  const [low, high] = [format.number(least, DECIMALS), format.number(greatest, DECIMALS)];
  if (low === high) return `${name} ${low} in every turn`;
  const text = zero === null ? `${name} ${low} … ${high}` : `${name} ${high} … 0 at turn ${zero.toLocaleString("en")}`;
  if (factor === null || !(factor > 0) || !Number.isFinite(factor) || Math.abs(Math.log(factor)) < EXACT) return text;
  const [sign, size] = factor < 1 ? ["÷", 1 / factor] : ["×", factor];
  return `${text}, ${sign} ${size < 1000 ? Number(size.toPrecision(3)) : format.number(size, DECIMALS)} per turn`;
}

/** Write a text into an element if it differs. @param {Element | null | undefined} element @param {string} text */
function put(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

/** Write a norm, and colour it. @param {Element | null} text @param {Scalar | null | undefined} norm @param {boolean} about @param {string} missing */
function putNorm(text, norm, about, missing) {
  const value = finite(norm);
  put(text, value === null ? missing : (about ? ABOUT : "") + format.number(norm, DECIMALS));
  text?.setAttribute("class", `mono f-${value === null ? "ink-3" : Number.isFinite(value) ? "grad" : "bad"}`);
}

/**
 * Prepare to write into the picture of a map.
 *
 * @param {SVGSVGElement} svg
 * @param {EdgeStyle} edgeStyle
 */
export function figureWriter(svg, edgeStyle) {
  /** @param {string} selector */
  const groups = (selector) => [.../** @type {NodeListOf<SVGGElement>} */ (svg.querySelectorAll(selector))];
  const boxes = groups(".box").map((group) => ({
    group,
    id: group.dataset["group"] ?? "",
    norm: group.querySelector("[data-field=grad]"),
    bar: group.querySelector("[data-field=bar]"),
    bars: group.querySelector("[data-turns]"),
    text: group.querySelector("[data-field=series]"),
    title: group.querySelector("title"),
    about: group.dataset["about"] ?? "",
    description: (group.querySelector("title")?.textContent ?? "").replace(/(, (gradient that arrives|passed on|of its leaves) [^,]*)+$/, ""),
  }));
  const links = groups(".link").map((group) => ({
    ends: `${group.dataset["source"]}\n${group.dataset["target"]}`,
    shaft: group.querySelector(".shaft"),
    title: group.querySelector("title"),
    about: group.dataset["about"] ?? "",
    description: (group.querySelector("title")?.textContent ?? "").replace(/, gradient [^,]*$/, ""),
  }));
  const leaves = groups(".leaf").map((group) => ({
    node: group.dataset["node"] ?? "",
    norm: group.querySelector("[data-field=grad]"),
    title: group.querySelector("title"),
    description: (group.querySelector("title")?.textContent ?? "").replace(/, gradient [^,]*$/, ""),
  }));
  /** Return a label with a norm, or nothing. @param {string} label @param {Scalar | null} norm @param {boolean} about */
  const named = (label, norm, about) => (norm === null ? "" : `, ${label} ${about ? "about " : ""}${format.number(norm, DECIMALS)}`);

  /** @param {MapFigures} figures */
  return ({ boxes: ofBoxes, edges, leaves: ofLeaves }) => {
    for (const { group, id, norm, bar, bars, text, title, about, description } of boxes) {
      const own = ofBoxes.get(id);
      if (!own) continue;
      putNorm(norm, own.arrives, about.includes("arrives"), "–");
      bar?.setAttribute("width", (NORM * (edgeStyle.position(finite(own.arrives)) ?? 0)).toFixed(1));
      if (own.series) {
        bars?.setAttribute("d", barsOf(own.series, Number(bars.getAttribute("data-step")), edgeStyle));
        put(text, explained(own.series));
      }
      const texts = [named("gradient that arrives", own.arrives, about.includes("arrives")), named("passed on", own.passedOn, about.includes("passed")), named("of its leaves", own.parameters, about.includes("parameters"))];
      put(title, description + texts.join(""));
      for (const [name, value] of Object.entries({ first: own.ran?.[0], last: own.ran?.[1] })) {
        if (value === undefined) delete group.dataset[name];
        else group.dataset[name] = String(value);
      }
    }
    for (const { ends, shaft, title, about, description } of links) {
      if (!shaft || !edges.has(ends)) continue;
      const norm = edges.get(ends) ?? null;
      shaft.setAttribute("class", `shaft ${edgeStyle.level(finite(norm))}`);
      shaft.setAttribute("stroke-width", String(Math.min(edgeStyle.width(finite(norm)), Number(shaft.getAttribute("data-thickest") ?? Infinity))));
      put(title, description + named("gradient", norm, about !== ""));
    }
    for (const { node, norm, title, description } of leaves) {
      const value = ofLeaves.get(node);
      if (value === undefined) continue;
      if (norm) putNorm(norm, value, false, "");
      put(title, description + named("gradient", value, false));
    }
  };
}

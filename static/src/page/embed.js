// A run in a frame of another page. It needs no cookie and no storage. It sends the height of its content to the page around it.

import { lastStep } from "../core/instant.js";
import { ended } from "../core/state.js";
import { client } from "../leaves/api.js";
import { find } from "../leaves/dom.js";
import { viewer } from "./stage/viewer.js";

/** @import {Given} from "../core/state.js" */
/** @import {Quantity} from "../core/curves.js" */

const LEAST = 260; // minimum height of a graph, in pixels
const MOST = 760; // maximum height of a graph that a frame requests, in pixels
const BESIDE = 48; // pixels around a graph
const CHART = 196; // height of a chart, in pixels; beside or below a deck, it grows if the frame is higher
const WIDE = 761; // pixels from which a chart is beside the deck

const given = /** @type {Given} */ (JSON.parse(find("#state").textContent ?? "{}"));
const query = new URLSearchParams(location.search);
const panes = new Set((query.get("panes") ?? "graph,deck").split(",").map((each) => each.trim()));
const curves = /** @type {Quantity[]} */ (panes.has("curve") ? [query.get("curve") ?? "value"] : []);
const { playing, still, work } = viewer(given, client(given.api), { search: location.search, curves, offered: ["curves"] });
if (given.run && !ended(given.run)) {
  if (!query.has("step")) work.go({ at: lastStep(given.run) }); // at the last step, the playhead follows the run
  void work.attend(given.run);
}
if (query.has("autoplay") && query.get("autoplay") !== "0" && !still()) playing.play();

// -- the height

/** Return the height that shows everything, in pixels. */
function height() {
  const svg = /** @type {SVGSVGElement | null} */ (document.querySelector("#canvas svg.graph"));
  const [wide, high] = [svg?.width.baseVal.value || 1, svg?.height.baseVal.value || 0];
  const graph = find("#graph");
  const drawn = graph.hidden ? 0 : Math.max(LEAST, Math.min(MOST, high * Math.min(1, (graph.clientWidth - BESIDE) / wide) + BESIDE)) + find(".pane-head").offsetHeight;
  const side = find(".side");
  const texts = /** @type {HTMLElement[]} */ ([...side.querySelectorAll(".pane:not([hidden])")]).map((pane) => {
    const scroll = pane.querySelector(".scroll");
    return pane.offsetHeight - (scroll?.clientHeight ?? 0) + (scroll?.scrollHeight ?? 0);
  });
  const beside = texts.reduce((sum, each) => sum + each, 0);
  const stacked = side.hidden || graph.hidden || side.offsetLeft === graph.offsetLeft;
  const content = stacked ? drawn + beside : Math.max(drawn, Math.min(MOST, beside));
  return Math.ceil(content + find(".plate").offsetHeight + (side.hidden && graph.hidden ? deckAndChart() : find(".floor").offsetHeight));
}

/** Return the least height that shows the deck and the chart, in pixels. In a frame without other panes they fill it. */
function deckAndChart() {
  const deck = find("#deck").offsetHeight;
  const chart = find("#charts").hidden ? 0 : CHART;
  return innerWidth >= WIDE ? Math.max(deck, chart) : deck + chart;
}

let sent = 0;
/** Send the height, if it has changed. A page that listens sets the height of its frame. */
function send() {
  const now = height();
  if (now === sent || parent === window) return;
  sent = now;
  parent.postMessage({ tapedeck: { run: given.run?.id ?? null, height: now } }, "*"); // to a page of any origin: the height reveals nothing
}
/** The width for which the height was sent last. If only the frame's height changes, no height is sent. */
let width = 0;
new ResizeObserver(() => {
  if (innerWidth !== width) send();
  width = innerWidth;
}).observe(document.documentElement);
send();

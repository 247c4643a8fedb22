// Show a recording that cannot be edited: connect its graph, program, deck, inspector and findings to one state. A frame in
// another page (`embed.js`) and a file of its own (`file.js`) are such pages. Each has the panes that the server wrote into it.

import { readNamed } from "../../core/address.js";
import { lastStep, wantedOf } from "../../core/instant.js";
import { margin } from "../../core/margin.js";
import { cellsOver } from "../../core/playhead.js";
import { player } from "../../core/player.js";
import { session } from "../../core/session.js";
import { EMPTY, ended } from "../../core/state.js";
import { store } from "../../core/store.js";
import { fill, find, h } from "../../leaves/dom.js";
import { edgeStyle } from "../../leaves/edge-style.js";
import { findings, summary } from "../../widgets/findings.js";
import { inspector } from "../../widgets/inspector.js";
import { listing } from "../../widgets/listing.js";
import { flip } from "../../widgets/shell.js";
import { deckAndCharts } from "../playground/deck-and-charts.js";
import { inspectorContent } from "../playground/inspector-content.js";
import { keys } from "../playground/keys.js";
import { absence, outputs } from "../playground/messages.js";
import { picked } from "../playground/picking.js";
import { deckActions } from "./deck-actions.js";
import { graphHead } from "./graph-head.js";
import { stage } from "./stage.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {Given, State, Tab} from "../../core/state.js" */
/** @import {Instant} from "../../core/instant.js" */
/** @import {Quantity} from "../../core/curves.js" */

/**
 * Show the recording that is written into the page.
 *
 * @param {Given} given
 * @param {Client} api
 * @param {object} [options]
 * @param {string} [options.search]                the view, as in an address
 * @param {readonly Quantity[]} [options.curves]   the curves of a parameter, if not all
 * @param {readonly Tab[]} [options.offered]       what can be shown in place of the curves
 */
export function viewer(given, api, { search = "", curves, offered = ["curves", "optimizer"] } = {}) {
  const view = readNamed(search);
  const state = store(/** @type {State} */ ({ ...EMPTY, phase: given.phase, ...view, at: given.step?.index ?? 0, tab: view.tab && offered.includes(view.tab) ? view.tab : "curves" }));
  const work = session(state, api, () => {});
  const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
  const still = () => reducedMotion.matches;
  const playing = player(state, work.go, still, work.opened);
  const list = document.querySelector("ol.listing");
  const text = list instanceof HTMLElement ? listing(list, { onpick: pick }) : null;
  const online = (/** @type {number} */ line) => text?.reveal(line);

  /** Move the playhead for the reader, and stop playback. @param {Partial<Instant>} instant */
  function go(instant) {
    playing.pause();
    const { pass, at } = wantedOf(state.get());
    work.go({ ...instant, apart: null, pass: instant.at === undefined || instant.at === at ? pass : null });
  }

  /** Select the node that a line refers to. @param {number} line */
  function pick(line) {
    const { node, graph } = picked(state.get(), line, null, null);
    if (graph) void work.display(graph);
    if (node) work.reveal(node);
  }

  // -- the panes

  const serverPicture = document.querySelector("#canvas svg.graph");
  /** @type {ReturnType<typeof graphHead> | null} */
  let head = null;
  const drawn = stage({
    state,
    work,
    edgeStyle: edgeStyle(given.legend),
    still,
    onmove: ({ k }) => head?.zoomed(k),
    ondraw: (picture) => head?.drawn(picture),
    absence: (now) => absence(now, step),
  });
  const { canvas } = drawn;
  find("#canvas").replaceWith(canvas);
  canvas.id = "canvas";
  head = graphHead({ state, work, canvas, online, maps: given.api !== "" });

  const details = inspector({ onpick: (node) => work.reveal(node), online });
  fill(find("#inspected"), details);
  const notes = findings({
    onfinding({ line, step: at, pass, node }) {
      const there = at !== null && at <= lastStep(state.get().run);
      if (there && node) {
        playing.pause();
        work.reveal(node, { at, phase: "backward", pass: pass ?? null, apart: null });
      } else if (there) go({ at });
      if (line !== null) online(line);
      if (line !== null && !(there && node)) pick(line);
    },
  });
  fill(find("#found"), notes);
  const play = () => (state.get().playing ? playing.pause() : playing.play());
  const { step } = deckAndCharts({
    state,
    go,
    onplay: play,
    onspeed: playing.setSpeed,
    onpick: (node) => work.reveal(node),
    compare: h("span", null),
    api,
    ...(curves ? { curves } : {}),
    offered,
  });

  keys({ ...deckActions({ state, go, step, play, canvas }), theme: flip }, /Mac|iP/.test(navigator.platform));

  // -- rendering

  if (given.run) {
    const whole = given.svg_inline && state.get().view === null && state.get().layout === null; // the server draws the view that it chooses
    const svg = (whole && serverPicture?.outerHTML) || null;
    work.begin({ run: given.run, step: given.step, graph: given.graph, node: state.get().node ?? given.node, svg });
    const { picture } = state.get();
    if (serverPicture && picture) canvas.adopt(serverPicture, picture);
    else void work.load();
    // a file has no server that prepares it for the step in its address
    if (view.at !== undefined && view.at !== given.step?.index) work.go(view);
  }
  state.watch(["run", "step", "phase", "ran", "apart", "graph", "node"], (now) => {
    if (!now.run) return;
    text?.cells(outputs(now.run, cellsOver(now)));
    text?.show(margin(now));
  });
  state.watch(["step", "phase"], () => text?.follow());
  state.watch(["run"], ({ run }) => {
    notes.show(run, false, null);
    fill(find("#found-summary"), run && summary(run.findings));
    find("#findings").hidden ||= !run || !ended(run);
  });
  drawn.begin();
  head.begin();
  state.watch(["playing"], ({ playing: on }) => on && work.prepare());
  const unchecked = h("span", { hidden: true }); // a check runs the program again, which a viewer does not
  state.watch(["detail", "asking", "origin", "phase", "ran", "step", "run"], (now) => {
    if (now.run && !now.graph && !now.picture) details.show(null, "There is no graph to inspect.");
    else details.show(inspectorContent(now, { check: unchecked, why: null }));
  });

  return { state, work, playing, canvas, still };
}

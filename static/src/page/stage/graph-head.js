// Connect the head of the graph's pane to the state: zoom, direction, the choice between groups and every node, the
// layout of a map, and the choice among several graphs.

import { offersBoth } from "../../core/extent.js";
import { shownPass } from "../../core/state.js";
import { fill, find, h } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";
import { choices } from "../playground/messages.js";

/** @import {Picture, State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */
/** @typedef {Pick<ReturnType<typeof import("../../core/session.js").session>, "go" | "display">} Session */
/** @typedef {{by: (factor: number) => void, fit: () => void}} Zoomed */

/**
 * Set up the head of the pane, and return functions that update it.
 *
 * @param {object} options
 * @param {Store<State>} options.state
 * @param {Session} options.work
 * @param {Zoomed} options.canvas
 * @param {(line: number) => void} options.online  bring a line of the program into view
 * @param {boolean} [options.maps]  whether a graph that is drawn whole can be drawn as a map; a file has no such pictures
 */
export function graphHead({ state, work, canvas, online, maps = true }) {
  find("#zoom-out").addEventListener("click", () => canvas.by(0.8));
  find("#zoom-in").addEventListener("click", () => canvas.by(1.25));
  find("#zoom").addEventListener("click", () => canvas.fit());

  const turns = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-direction]")]);
  for (const button of turns) {
    const direction = /** @type {State["direction"]} */ (button.dataset["direction"]);
    button.addEventListener("click", () => work.go({ direction }));
  }

  const layouts = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-layout-of-map]")]);
  for (const button of layouts) {
    const layout = /** @type {State["layout"]} */ (button.dataset["layoutOfMap"]);
    button.addEventListener("click", () => layout !== state.get().picture?.layout && work.go({ layout }));
  }

  const extents = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-extent]")]);
  for (const button of extents) {
    const groups = button.dataset["extent"] === "groups";
    button.addEventListener("click", () => {
      const drawn = state.get().picture?.map === groups; // it is behind the Models view
      work.go(drawn ? { pane: "graph" } : { pane: "graph", layout: groups ? "groups" : "nodes", view: null });
    });
  }

  const chosen = /** @type {HTMLSelectElement} */ (find("#chosen"));
  chosen.addEventListener("change", () => {
    const [kind, id = ""] = chosen.value.split(" ");
    const line = Number(/line (\d+)$/.exec(chosen.selectedOptions[0]?.label ?? "")?.[1] ?? 0);
    if (line) online(line);
    if (kind === "graph") void work.display(id);
    else work.go({ apart: null, pass: Number(id), view: null });
  });

  return {
    /** Show the buttons that apply to a picture, and explain in the legend what the picture has. @param {Picture} picture */
    drawn({ map, layout, svg }) {
      for (const seg of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("#turns"))) seg.hidden = map; // a map is drawn in one direction
      for (const seg of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("#layouts"))) seg.hidden = !map;
      for (const button of layouts) button.setAttribute("aria-pressed", String(button.dataset["layoutOfMap"] === layout));
      for (const entry of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-legend]"))) {
        entry.hidden = !map && !svg.includes(entry.dataset["legend"] ?? "");
      }
    },
    /** Show the zoom level. @param {number} k */
    zoomed(k) {
      const level = `${Math.round(k * 100)}%`;
      find("#zoom").textContent = level;
      find("#zoom").setAttribute("aria-label", `${level}: fit the graph`);
    },
    /** Follow the state from now on. */
    begin() {
      state.watch(["picture", "graph", "pane"], ({ picture, graph: shown, pane }) => {
        const both = offersBoth(picture, shown) && (maps || Boolean(picture?.map));
        for (const button of extents) {
          button.hidden = !both;
          button.setAttribute("aria-pressed", String(pane === "graph" && picture?.map === (button.dataset["extent"] === "groups")));
        }
      });
      state.watch(["run", "step", "graph", "apart", "pass", "direction"], (now) => {
        const { graph: shown, apart, direction } = now;
        const offered = choices(now);
        const here = apart ? `graph ${apart}` : `pass ${shownPass(now)?.index}`;
        fill(
          chosen,
          offered.map(({ value, label }) => h("option", { value, selected: value === here }, label)),
        );
        /** @type {HTMLElement} */ (chosen.parentElement).hidden = offered.length < 2;
        const nodes = shown ? shown.nodes.length + (shown.omitted?.["nodes"] ?? 0) : 0;
        find("#summary").textContent = shown && offered.length < 2 ? format.counted(nodes, "node") : "";
        for (const button of turns) button.setAttribute("aria-pressed", String(button.dataset["direction"] === direction));
      });
    },
  };
}

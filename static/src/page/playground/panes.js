// Switch between the graph and the Models view, which is loaded when it is first shown.

import { offersBoth } from "../../core/extent.js";
import { shownPass } from "../../core/state.js";
import { find } from "../../leaves/dom.js";
import { laterStyle } from "../../leaves/later-style.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {EdgeStyle} from "../../leaves/edge-style.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */
/** @typedef {ReturnType<typeof import("../../core/session.js").session>} Session */

/**
 * @param {Store<State>} state
 * @param {Session} work
 * @param {Client} api
 * @param {EdgeStyle} edgeStyle
 */
export function panes(state, work, api, edgeStyle) {
  const buttons = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-pane]")]);
  /** @type {Promise<unknown> | null} */
  let loading = null;
  for (const button of buttons) {
    button.addEventListener("click", () => state.set({ pane: button.dataset["pane"] === "models" ? "models" : "graph" }));
  }
  state.watch(["pane", "graph", "picture", "step", "pass", "apart"], (now) => {
    const some = Boolean(shownPass(now) && now.graph?.nodes.some(({ module }) => module));
    const models = now.pane === "models" && some;
    const both = offersBoth(now.picture, now.graph); // a button for each way to draw the graph replaces the one for the graph
    find("#graph").classList.toggle("shows-models", models);
    find("#models").hidden = !models;
    for (const button of buttons) button.hidden = !some || (both && button.dataset["pane"] === "graph");
    for (const button of buttons) button.setAttribute("aria-pressed", String((button.dataset["pane"] === "models") === models));
    if (models) loading ??= Promise.all([import("./models-pane.js"), laterStyle()]).then(([{ modelsPane }]) => modelsPane(state, work, api, edgeStyle));
  });
}

// Read the view from the address and write it back, so that every view is a link.

import { PHASES } from "../leaves/types.js";
import { withoutInstant } from "./instant.js";
import { START } from "./state.js";

/** @import {Layout, Tab, View} from "./state.js" */

/** @type {readonly Tab[]} */
const TABS = ["curves", "loss", "optimizer", "watch"];

/** @type {readonly Layout[]} */
const LAYOUTS = ["nodes", "groups", "graph", "rows"];

const INSTANT = ["step", "phase", "ran", "graph", "pass"]; // the keys of an instant

/** Return the view that a query string describes, without an instant if it names none: the run then opens at its own. @param {string} search @returns {Partial<View>} */
export function readNamed(search) {
  const query = new URLSearchParams(search);
  return INSTANT.some((key) => query.has(key)) ? read(search) : withoutInstant(read(search));
}

/** Return the view that a query string describes. @param {string} search */
export function read(search) {
  const query = new URLSearchParams(search);
  const view = { ...START };
  const step = Number(query.get("step") ?? NaN);
  if (Number.isInteger(step) && step >= 0) view.at = step;
  const phase = PHASES.find((name) => name === query.get("phase"));
  if (phase) view.phase = phase;
  const ran = Number(query.get("ran") ?? NaN);
  if (Number.isInteger(ran) && ran >= 0 && view.phase === "backward") view.ran = ran;
  if (query.has("node")) view.node = query.get("node");
  if (query.has("graph")) view.apart = query.get("graph");
  const pass = Number(query.get("pass") ?? NaN);
  if (Number.isInteger(pass) && pass >= 0) view.pass = pass;
  const direction = query.get("direction");
  if (direction === "BT" || direction === "LR") view.direction = direction;
  if (query.get("present") === "1") view.density = "compact";
  if (query.has("view")) view.view = query.get("view");
  view.layout = LAYOUTS.find((name) => name === query.get("layout")) ?? null;
  if (query.get("show") === "models") view.pane = "models";
  if (query.has("log")) view.logarithmic = true;
  const tab = TABS.find((name) => name === query.get("tab"));
  if (tab) view.tab = tab;
  if (query.has("parameter")) view.parameter = query.get("parameter");
  if (query.has("over")) view.over = query.get("over");
  if (query.has("compare")) view.compare = query.get("compare");
  return view;
}

/**
 * Return the query string for a view. Fields with their initial value are left out; other keys, such as `theme`, are kept.
 *
 * @param {View} view
 * @param {string} search  the current query string
 * @param {import("./instant.js").Instant} [opens]  the instant that an address without one names
 */
export function write(view, search, opens = START) {
  const query = new URLSearchParams(search);
  /** @param {string} key @param {string | null} value */
  const put = (key, value) => (value === null ? query.delete(key) : query.set(key, value));
  /** The field's text, or null for its initial value. @param {keyof View} field */
  const changed = (field) => (view[field] === START[field] ? null : String(view[field]));
  put("step", changed("at"));
  put("phase", changed("phase"));
  put("ran", view.phase === "backward" ? changed("ran") : null);
  put("node", changed("node"));
  put("graph", changed("apart"));
  put("pass", changed("pass"));
  put("direction", changed("direction"));
  put("view", changed("view"));
  put("layout", changed("layout"));
  put("show", changed("pane"));
  put("log", view.logarithmic ? "1" : null);
  put("tab", changed("tab"));
  put("parameter", changed("parameter"));
  put("over", view.tab === "loss" ? changed("over") : null);
  put("compare", changed("compare"));
  const elsewhere = opens.at !== START.at || opens.phase !== START.phase;
  if (elsewhere && !INSTANT.some((key) => query.has(key))) query.set("step", String(view.at));
  const text = query.toString();
  return text && `?${text}`;
}

/** Return the fragment that carries a program. @param {string} program */
export const withProgram = (program) => `#code=${encodeURIComponent(program)}`;

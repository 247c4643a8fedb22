// Keep the place looked at in the address, so that every view is a link.

import { PHASES } from "../leaves/types.js";
import { START } from "./state.js";

/** @import {Place, Tab} from "./state.js" */

/** @type {readonly Tab[]} */
const TABS = ["curves", "loss", "optimizer"];

/**
 * The place that a query names.
 *
 * @param {string} search
 */
export function read(search) {
  const asked = new URLSearchParams(search);
  const place = { ...START };
  const step = Number(asked.get("step") ?? NaN);
  if (Number.isInteger(step) && step >= 0) place.at = step;
  const phase = PHASES.find((name) => name === asked.get("phase"));
  if (phase) place.phase = phase;
  const ran = Number(asked.get("ran") ?? NaN);
  if (Number.isInteger(ran) && ran >= 0 && place.phase === "backward") place.ran = ran;
  if (asked.has("node")) place.node = asked.get("node");
  if (asked.has("graph")) place.apart = asked.get("graph");
  const pass = Number(asked.get("pass") ?? NaN);
  if (Number.isInteger(pass) && pass >= 0) place.pass = pass;
  const direction = asked.get("direction");
  if (direction === "BT" || direction === "LR") place.direction = direction;
  if (asked.has("log")) place.logarithmic = true;
  const tab = TABS.find((name) => name === asked.get("tab"));
  if (tab) place.tab = tab;
  if (asked.has("parameter")) place.parameter = asked.get("parameter");
  if (asked.has("over")) place.over = asked.get("over");
  if (asked.has("compare")) place.compare = asked.get("compare");
  return place;
}

/**
 * The query for a place; what is as at first is left out, what is not ours (`theme`) is kept.
 *
 * @param {Place} place
 * @param {string} search  the query that is there
 */
export function write(place, search) {
  const asked = new URLSearchParams(search);
  /** @param {string} key @param {string | null} value */
  const put = (key, value) => (value === null ? asked.delete(key) : asked.set(key, value));
  /** @param {keyof Place} field */
  const told = (field) => (place[field] === START[field] ? null : String(place[field]));
  put("step", told("at"));
  put("phase", told("phase"));
  put("ran", place.phase === "backward" ? told("ran") : null);
  put("node", told("node"));
  put("graph", told("apart"));
  put("pass", told("pass"));
  put("direction", told("direction"));
  put("log", place.logarithmic ? "1" : null);
  put("tab", told("tab"));
  put("parameter", told("parameter"));
  put("over", place.tab === "loss" ? told("over") : null);
  put("compare", told("compare"));
  const text = asked.toString();
  return text && `?${text}`;
}

/** The program that travels in the address, if one does. @param {string} hash */
export function programIn(hash) {
  if (!hash.startsWith("#code=")) return null;
  try {
    return decodeURIComponent(hash.slice(6));
  } catch {
    return null;
  }
}

/** @param {string} program */
export const withProgram = (program) => `#code=${encodeURIComponent(program)}`;

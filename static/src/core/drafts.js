// Keep the edits that were not run yet, in this browser: one text for each run that was edited.

import { recall, remember } from "../leaves/storage.js";

/** @typedef {{run: string, text: string, at: number}} Draft    at: milliseconds since 1970 */

const KEY = "drafts";
const MOST = 12; // drafts; the oldest ones are dropped
const LONGEST = 200_000; // characters of a draft

/** Return all drafts, the newest first. @returns {Draft[]} */
function all() {
  try {
    const found = JSON.parse(recall(KEY) ?? "[]");
    return Array.isArray(found) ? found.filter((each) => typeof each?.run === "string" && typeof each.text === "string") : [];
  } catch {
    return [];
  }
}

export const drafts = {
  all,
  /** Return the draft of a run, or null. @param {string} run */
  of: (run) => all().find((each) => each.run === run) ?? null,
  /** Keep a text as the draft of a run. @param {string} run @param {string} text */
  keep(run, text) {
    if (text.length > LONGEST) return;
    const others = all().filter((each) => each.run !== run);
    remember(KEY, JSON.stringify([{ run, text, at: Date.now() }, ...others].slice(0, MOST)));
  },
  /** Drop the draft of a run. @param {string} run */
  drop(run) {
    const found = all();
    const rest = found.filter((each) => each.run !== run);
    if (rest.length < found.length) remember(KEY, rest.length ? JSON.stringify(rest) : null);
  },
};

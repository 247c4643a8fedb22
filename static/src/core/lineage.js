// Remember, in this browser, which run each of the user's runs was edited from.

import { recall, remember } from "../leaves/storage.js";

/** @typedef {{run: string, from: string, title: string}} Descent    title: of the run `from` */

const KEY = "edited-from";
const MOST = 300; // runs; the oldest ones are forgotten

/** @returns {Descent[]} */
function all() {
  try {
    const found = JSON.parse(recall(KEY) ?? "[]");
    return Array.isArray(found) ? found.filter((each) => [each?.run, each?.from, each?.title].every((part) => typeof part === "string")) : [];
  } catch {
    return [];
  }
}

export const lineage = {
  /** Return the run that a run was edited from, or null. @param {string} run */
  of: (run) => all().find((each) => each.run === run) ?? null,
  /** Keep the run that a run was edited from. @param {Descent} descent */
  keep(descent) {
    if (descent.run === descent.from) return;
    const others = all().filter(({ run }) => run !== descent.run);
    remember(KEY, JSON.stringify([descent, ...others].slice(0, MOST)));
  },
};

// Load a page again that was served while the programs of its lesson were being recorded. They are recorded once for all readers.

import { fill, find, h } from "../../leaves/dom.js";

/** @import {Given} from "./types.js" */

const FIRST = 800; // milliseconds before the page is asked for again; each later time waits longer
const LONGEST = 5000; // milliseconds between two times
const MOST = 60; // times: a server that starts on a busy machine takes minutes

/** @type {Promise<void>} */
const forever = new Promise(() => {}); // questions without answers are not set up

/** Return at once if the answers of the lesson's questions are known; else load the page again as soon as they are. @param {Given} given */
export async function complete({ waiting, mode }) {
  if (!waiting || mode === "refused") return;
  for (let times = 1; times <= MOST; times++) {
    await new Promise((go) => setTimeout(go, Math.min(LONGEST, FIRST * times)));
    const answer = await fetch(location.href).catch(() => null);
    if (!answer?.ok) continue;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = /** @type {Given} */ (JSON.parse(page.querySelector("#state")?.textContent ?? "{}"));
    if (fresh.waiting) continue;
    location.reload();
    return forever;
  }
  const again = h("a", { href: "" }, "Load the page again");
  fill(find(".recording-note"), "The programs of this lesson could not be recorded yet: the server is busy. ", again, ".");
  return forever;
}

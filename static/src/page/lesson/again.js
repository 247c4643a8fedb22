// Complete a page that was served while the programs of its lesson were being recorded. They are recorded once for all readers.

import { fill, find, h } from "../../leaves/dom.js";

/** @import {Given} from "./types.js" */

const FIRST = 800; // milliseconds before the page is asked for again; each later time waits longer
const LONGEST = 5000; // milliseconds between two times
const MOST = 60; // times: a server that starts on a busy machine takes minutes

/** Wait until the answers of the lesson's questions are known. If there were no graphs either, load the page again. @param {Given} given */
export async function complete({ waiting, runs, mode }) {
  for (let times = 1; waiting && mode !== "refused" && times <= MOST; times++) {
    await new Promise((go) => setTimeout(go, Math.min(LONGEST, FIRST * times)));
    const answer = await fetch(location.href).catch(() => null);
    if (!answer?.ok) continue;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = /** @type {Given} */ (JSON.parse(page.querySelector("#state")?.textContent ?? "{}"));
    if (fresh.waiting) continue;
    if (Object.values(runs).some((run) => !run)) return location.reload();
    for (const question of document.querySelectorAll("[data-task=predict]")) {
      const answered = page.getElementById(question.id);
      if (answered) question.replaceWith(answered);
    }
    find(".recording-note").remove();
    return;
  }
  const again = h("a", { href: "" }, "Load the page again");
  if (waiting && mode !== "refused") fill(find(".recording-note"), "The programs of this lesson could not be recorded yet: the server is busy. ", again, ".");
}

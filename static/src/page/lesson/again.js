// Complete a page that was served while the programs of its lesson were being recorded. They are recorded once for all readers.

import { find } from "../../leaves/dom.js";

/** @import {Given} from "./types.js" */

const FIRST = 800; // milliseconds before the page is asked for again; each later time waits longer
const MOST = 10; // times

/** Wait until the answers of the lesson's questions are known. If there were no graphs either, load the page again. @param {Given} given */
export async function complete({ waiting, runs, mode }) {
  for (let times = 1; waiting && mode !== "refused" && times <= MOST; times++) {
    await new Promise((go) => setTimeout(go, FIRST * times));
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
}

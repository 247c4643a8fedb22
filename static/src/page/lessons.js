// The list of lessons: how far the reader has come in each of them.

import { remember } from "../leaves/storage.js";
import { shell } from "../widgets/shell.js";
import { keptOf } from "./lesson/progress.js";

shell();

const rows = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-lesson]")]);

/** Show the progress of each lesson. */
function show() {
  for (const row of rows) {
    const done = Object.values(keptOf(row.dataset["lesson"] ?? "")).filter((task) => task.done).length;
    const tasks = Number(row.dataset["tasks"] ?? 0);
    const words = /** @type {HTMLElement} */ (row.querySelector(".done"));
    words.hidden = done === 0;
    words.textContent = done >= tasks ? "done" : `${done} of ${tasks} tasks`;
    row.classList.toggle("finished", done > 0 && done >= tasks);
  }
}

show();
document.getElementById("forget")?.addEventListener("click", () => {
  for (const row of rows) remember(`lesson ${row.dataset["lesson"]}`, null);
  show();
});

// Set up the tasks of a lesson in which the reader writes code.

import { attempt } from "../../widgets/lesson/attempt.js";

/**
 * Set up the tasks to write or to fix code.
 *
 * @param {object} options
 * @param {ReturnType<typeof import("./progress.js").progress>} options.kept
 * @param {() => Promise<ReturnType<typeof import("./tasks.js").tasks>>} options.loaded   loads the editor's and the judge's part
 */
export function attempts({ kept, loaded }) {
  const keys = /Mac|iP/.test(navigator.platform) ? "⌘ ↵" : "Ctrl ↵";
  for (const section of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-task=write], [data-task=break-fix]"))) {
    attempt(section, {
      keys,
      kept: kept.of(section.id)?.answer ?? null,
      onattempt: (answer, done) => kept.keep(section.id, { done, answer }),
      editor: async (doc, label, onrun) => (await loaded()).editor(doc, label, onrun),
      judge: async (code, signal) => (await loaded()).judge(section, code, signal),
    });
  }
}

// Keep in this browser which tasks of a lesson are done.

import { recall, remember } from "../../leaves/storage.js";

/** @typedef {{done: boolean, answer: string}} Kept    answer: the guess or the code */

/** @param {string} lesson */
const key = (lesson) => `lesson ${lesson}`;

/** Return the kept tasks of a lesson. @param {string} lesson @returns {Record<string, Kept>} */
export function keptOf(lesson) {
  try {
    const found = JSON.parse(recall(key(lesson)) ?? "{}");
    return found && typeof found === "object" && !Array.isArray(found) ? found : {};
  } catch {
    return {};
  }
}

/**
 * Return functions that read and keep the progress of a lesson.
 *
 * @param {string} lesson
 * @param {(tasks: Record<string, Kept>) => void} onchange
 */
export function progress(lesson, onchange) {
  let tasks = keptOf(lesson);
  onchange(tasks);
  return {
    /** @param {string} task @returns {Kept | null} */
    of: (task) => tasks[task] ?? null,
    /** Keep an answer. A task that is done stays done. @param {string} task @param {Kept} kept */
    keep(task, { done, answer }) {
      tasks = { ...tasks, [task]: { done: done || Boolean(tasks[task]?.done), answer } };
      remember(key(lesson), JSON.stringify(tasks));
      onchange(tasks);
    },
  };
}

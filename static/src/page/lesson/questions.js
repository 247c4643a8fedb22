// Set up the questions of a lesson, and blank their answers in the text.

import { predict } from "../../widgets/lesson/predict.js";
import { blank } from "./blanks.js";

/**
 * @typedef {object} Questions
 * @property {ReadonlyMap<HTMLElement, ReturnType<typeof predict>>} all
 * @property {ReadonlySet<HTMLElement>} unanswered   those whose answers are not shown yet
 */

/**
 * Set up the questions.
 *
 * @param {object} options
 * @param {ReturnType<typeof import("./progress.js").progress>} options.kept
 * @param {(section: HTMLElement) => void} options.onopen   the answer of a question is shown
 * @returns {Questions}
 */
export function questions({ kept, onopen }) {
  /** @type {Map<HTMLElement, ReturnType<typeof predict>>} */
  const all = new Map();
  /** @type {Set<HTMLElement>} */
  const unanswered = new Set();
  for (const section of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-task=predict]"))) {
    if (!section.dataset["answer"]) continue; // the answer comes from a recording that is not made yet
    const before = kept.of(section.id);
    if (!before?.done) unanswered.add(section);
    const unblank = before?.done ? () => {} : blank(section, () => section.scrollIntoView({ block: "center" }));
    const question = predict(section, {
      kept: before?.done ? before.answer : null,
      onguess: (answer, done) => kept.keep(section.id, { done, answer }),
      onopen: () => (unanswered.delete(section), unblank(), onopen(section)),
    });
    all.set(section, question);
  }
  return { all, unanswered };
}

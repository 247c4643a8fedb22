// Blank the numbers that a question asks for, in the text and outputs after it, until the answer is shown.

import { equal, read } from "../../core/guess.js";
import { h } from "../../leaves/dom.js";

const SHORT = 3; // outputs are not searched for an answer of at most this many characters, because too many contain it

/** What covers an element, and the questions that ask for it. @type {Map<HTMLElement, {cover: HTMLElement, asking: Set<HTMLElement>}>} */
const covers = new Map();

/**
 * Blank the numbers and outputs after a question that contain its answer. Return a function that shows them again.
 *
 * @param {HTMLElement} question
 * @param {() => void} ask   bring the question into view
 */
export function blank(question, ask) {
  const { answer = "", binding = "" } = question.dataset;
  /** @type {(() => void)[]} */
  const undo = [];
  const plain = answer.replaceAll("\u2212", "-");
  const wanted = read(answer);
  for (const element of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("article data.num, article .cell .output"))) {
    if (!(question.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING) || question.contains(element) || element.closest(".task:not([data-task=drag])")) continue;
    const [text, named] = [element.textContent ?? "", element.getAttribute("value") === binding];
    const shown = wanted.numbers ? equal(read(text), wanted, 0) : text === answer;
    // a task to drag shows the number at other values, too
    const own = element.closest(".task") ? named && shown : element.matches("data") ? named || shown : plain.length > SHORT && given(text, plain);
    if (!own) continue;
    const already = covers.get(element);
    const asking = already?.asking ?? new Set();
    asking.add(question);
    const cover = already?.cover ?? h("button", { type: "button", class: "blank", title: "Guess first", "aria-label": "A number to guess: go to the question", onclick: ask }, "?");
    if (!already && element.hidden) continue;
    if (!already) {
      covers.set(element, { cover, asking });
      element.before(element.matches("data") ? cover : h("div", { class: "output" }, cover));
      element.hidden = true;
    }
    undo.push(() => {
      asking.delete(question);
      if (asking.size) return; // another question asks for it too
      covers.delete(element);
      (cover.parentElement?.matches(".output") ? cover.parentElement : cover).remove();
      element.hidden = false;
    });
  }
  return () => {
    for (const each of undo.splice(0)) each();
  };
}

/** Return whether an output has all numbers of an answer. @param {string} output @param {string} answer */
function given(output, answer) {
  const wanted = answer.match(/-?[\d.]+(e[-+]?\d+)?/g) ?? [];
  return wanted.length > 0 && wanted.every((each) => new RegExp(`(?<![\\d.-])${each.replace(".", "\\.")}(?!\\d)`).test(output));
}

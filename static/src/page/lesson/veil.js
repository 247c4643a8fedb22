// Hide on the stage the numbers that questions ask for, until their answers are shown.

import { read } from "../../core/guess.js";

/** @typedef {{nodes: ReadonlySet<string>, answer: readonly number[]}} Asked    the ids of the nodes that an unanswered question is about */

const NUMBER = /(?<![\w.])[\u2212-]?\d[\d,]*(?:\.\d+)?(?:e[\u2212+-]?\d+)?(?![\w.]\d)/g;
const COVER = "?";
const DIGITS = 3; // an answer with fewer digits is hidden only at the nodes that its question is about
const ROUNDED = 0.05; // largest relative difference between an answer and a number that shows it with few digits

/**
 * Hide numbers in a part of the page, also when they are written again. Return a function that reads the open questions again.
 *
 * @param {HTMLElement} region
 * @param {() => readonly Asked[]} asked
 * @param {() => string | null} inspected   the node in the inspector
 */
export function veil(region, asked, inspected) {
  /** The covered texts, as they were written. @type {Map<Text, {cover: string, written: string}>} */
  const covered = new Map();
  const writing = new MutationObserver(cover);

  function cover() {
    for (const [text, { cover: shown, written }] of covered) if (text.data === shown) text.data = written;
    covered.clear();
    const questions = asked();
    if (questions.length) {
      const walker = document.createTreeWalker(region, NodeFilter.SHOW_TEXT);
      for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const text = /** @type {Text} */ (node);
        const written = text.data;
        if (!/\d/.test(written)) continue;
        const shown = hidden(written, questions, nodesOf(text));
        if (shown === written) continue;
        text.data = shown;
        covered.set(text, { cover: shown, written });
      }
    }
    writing.takeRecords(); // what was written here
  }

  /** Return the ids of the nodes that a text is about. @param {Text} text @returns {string[]} */
  function nodesOf(text) {
    const part = /** @type {SVGElement | HTMLElement | null | undefined} */ (text.parentElement?.closest(".node, .edge, #inspected"));
    if (part?.id === "inspected") return [inspected() ?? ""];
    return part ? [part.dataset["node"] ?? "", part.dataset["source"] ?? "", part.dataset["target"] ?? ""] : [];
  }

  writing.observe(region, { subtree: true, childList: true, characterData: true });
  cover();
  return cover;
}

/**
 * Return a text without the numbers that are asked for.
 *
 * @param {string} text
 * @param {readonly Asked[]} questions
 * @param {readonly string[]} nodes  the nodes that the text is about
 */
export function hidden(text, questions, nodes) {
  const own = questions.filter((question) => nodes.some((node) => question.nodes.has(node)));
  const found = text.match(NUMBER) ?? [];
  const answers = [
    ...own.flatMap(({ answer }) => answer),
    ...questions.flatMap(({ answer }) => (telling(answer) && (answer.length === 1 || (found.length > 1 && found.every((each) => answer.some((number) => shows(each, number))))) ? answer : [])),
  ];
  return answers.length ? text.replace(NUMBER, (each) => (answers.some((number) => shows(each, number)) ? COVER : each)) : text;
}

/** Return whether an answer is unlikely to be another number of the stage too. @param {readonly number[]} answer */
const telling = (answer) => answer.some((each) => String(Number(each.toPrecision(6))).replace(/e.*|[^\d]|^[-0.]+/g, "").length >= DIGITS);

/** Return whether a text shows a number, maybe rounded. @param {string} text @param {number} number */
function shows(text, number) {
  const plain = text.replaceAll("\u2212", "-").replaceAll(",", "");
  const [mantissa = "", exponent = "0"] = plain.split("e");
  const unit = 10 ** (Number(exponent) - (mantissa.split(".")[1]?.length ?? 0));
  const difference = Math.abs(Number(plain) - number);
  return difference <= 1e-12 || (difference <= unit / 2 + 1e-12 && difference <= ROUNDED * Math.abs(number));
}

/** Return the numbers of an answer; none if it is a word. @param {string} answer */
export const numbersOf = (answer) => read(answer).numbers ?? [];

// Read what a person answers to a question, and compare it with an answer: numbers within a tolerance, or words.

/** @typedef {{numbers: readonly number[] | null, word: string}} Guess    `numbers` is null for words */

const LEAST_DIGITS = 2; // a rounded answer must have this many digits to be right

const SAME_WORD = new Map([
  ["true", "yes"],
  ["false", "no"],
  ["y", "yes"],
  ["n", "no"],
]);

/** Return a text as a guess. @param {string} text @returns {Guess} */
export function read(text) {
  const plain = text.replace(/[\u2212\u2013]/g, "-").trim();
  const parts = plain
    .replace(/^tensor\((.*)\)$/i, "$1")
    .replace(/[[\]()]/g, " ")
    .split(/[\s,;]+/)
    .filter(Boolean);
  const numbers = parts.map(number);
  const word = plain.toLowerCase().replace(/^["'`]|["'`.!]+$/g, "");
  return { numbers: parts.length && numbers.every((each) => Number.isFinite(each)) ? numbers : null, word: SAME_WORD.get(word) ?? word };
}

/** Return a number or a fraction as a number, else NaN. @param {string} text */
function number(text) {
  const [over, under = "1", ...rest] = text.split("/");
  return rest.length || !over ? NaN : Number(over) / Number(under);
}

/**
 * Return whether a guess equals an answer.
 *
 * @param {Guess} guess
 * @param {Guess} answer
 * @param {number} tolerance  relative
 */
export function equal(guess, answer, tolerance) {
  if (!answer.numbers || !guess.numbers) return guess.word === answer.word;
  const { numbers } = answer;
  return guess.numbers.length === numbers.length && guess.numbers.every((each, i) => Math.abs(each - (numbers[i] ?? NaN)) <= Math.max(tolerance * Math.abs(numbers[i] ?? 0), 1e-9));
}

const ERRORS = /^(an? |it raises an? |raises an? )?(error|exception)$/;

/**
 * Return whether a reply was written for a guess: it is for the same answer, or for some exception if the guess is "error".
 *
 * @param {Guess} guess
 * @param {Guess} replied  the answer that the reply is for
 * @param {number} tolerance  relative
 */
export function isFor(guess, replied, tolerance) {
  return equal(guess, replied, tolerance) || (ERRORS.test(guess.word) && /(error|exception)$/.test(replied.word));
}

/**
 * Return why a guess cannot be right, whatever its numbers are; empty if it can be.
 *
 * @param {Guess} guess
 * @param {Guess} answer
 */
export function misfit(guess, answer) {
  const wanted = answer.numbers?.length ?? 0;
  if (!wanted || guess.numbers?.length === wanted) return "";
  if (!guess.numbers) return /^[a-z ]+$/.test(guess.word) ? "" : "Type numbers only, such as -1.5 or 2/3.";
  return wanted === 1 ? "The answer is a single number." : `The answer has ${wanted} numbers: separate them by commas.`;
}

/**
 * Return whether a guess is an answer that was rounded to the digits that were typed.
 *
 * @param {string} text  the guess as it was typed
 * @param {Guess} answer
 */
export function rounded(text, answer) {
  const { numbers } = answer;
  const typed = text.replace(/[\u2212\u2013]/g, "-").match(/-?\d*\.?\d+(?!\d*\/)/g) ?? [];
  const guess = read(text).numbers;
  if (!numbers || !guess || guess.length !== numbers.length || typed.length !== numbers.length) return false;
  return typed.every((each, i) => {
    const digits = each.replace(/^-?0*\.?0*|\./g, "").length;
    const unit = 10 ** -(each.split(".")[1]?.length ?? 0);
    return digits >= LEAST_DIGITS && Math.abs(Number(each) - (numbers[i] ?? NaN)) <= unit / 2 + 1e-12;
  });
}

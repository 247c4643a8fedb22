// Read what a person answers to a question, and compare it with an answer: numbers within a tolerance, or words.

/**
 * What a person answers. `numbers` is null for words, else it has a number for each of the `parts`.
 *
 * @typedef {{numbers: readonly number[] | null, parts: readonly string[], word: string}} Guess
 */

const LEAST_DIGITS = 2; // a rounded answer must have this many digits to be right
const SLACK = 1e-6; // of a unit of the last digit: decimal fractions are not exact in binary

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
    .replace(/\s*(\*\*|\^|\/)\s*/g, "$1")
    .replace(/(^|[\s,;[(])([-+])\s+(?=[\d.])/g, "$1$2")
    .replace(/\(([^()]*)\)(?:\*\*|\^)(-?\d+)/g, (_, base, exponent) => String(number(base) ** Number(exponent)))
    .replace(/[[\]()]/g, " ")
    .split(/[\s,;]+/)
    .filter(Boolean);
  const numbers = parts.map(number);
  const word = plain.toLowerCase().replace(/^["'`]|["'`.!]+$/g, "");
  return { numbers: parts.length && numbers.every((each) => Number.isFinite(each)) ? numbers : null, parts, word: SAME_WORD.get(word) ?? word };
}

/** Return a number, a fraction such as 2/3 or a power such as 2**3 as a number, else NaN. @param {string} text @returns {number} */
function number(text) {
  const [over, under, ...rest] = text.split("/");
  if (rest.length || !over || under === "") return NaN;
  if (under !== undefined) return number(over) / number(under);
  const [base, exponent, ...more] = over.split(/\*\*|\^/);
  if (more.length || !base || exponent === "") return NaN;
  return exponent === undefined ? Number(base) : Number(base) ** Number(exponent);
}

/** Return whether two numbers are equal within a relative tolerance. @param {number} mine @param {number} right @param {number} tolerance */
const near = (mine, right, tolerance) => Math.abs(mine - right) <= Math.max(tolerance * Math.abs(right), 1e-9);

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
  return guess.numbers.length === numbers.length && guess.numbers.every((each, i) => near(each, numbers[i] ?? NaN, tolerance));
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
 * Return what is wrong with a guess, whatever the question is; empty if nothing can be said.
 *
 * @param {Guess} guess
 * @param {Guess} answer
 * @param {number} tolerance  relative
 */
export function misfit(guess, answer, tolerance) {
  const { numbers } = answer;
  if (!numbers) return "";
  const count = numbers.length === 1 ? "The answer is a single number." : `The answer has ${numbers.length} numbers: separate them by commas.`;
  if (!guess.numbers) return /^[a-z ]+$/.test(guess.word) ? count : "Type numbers only, such as -1.5 or 2/3.";
  if (numbers.length === 1 && /^[-+]?\d+,\d+$/.test(guess.word)) return `Type a point before the decimals: ${guess.word.replace(",", ".")}.`;
  if (guess.numbers.length !== numbers.length) return count;
  return guess.numbers.every((each, i) => near(Math.abs(each), Math.abs(numbers[i] ?? NaN), tolerance)) ? "The size is right, but not the sign." : "";
}

/**
 * Return whether a guess is an answer that was rounded to the digits that were typed.
 *
 * @param {Guess} guess
 * @param {Guess} answer
 * @param {number} tolerance  relative
 */
export const rounded = (guess, answer, tolerance) => within(guess, answer, tolerance, (mine, right) => (Math.abs(mine) >= Math.abs(right) ? 0.5 + SLACK : 0.5 - SLACK));

/**
 * Return whether a guess differs from an answer by less than a unit of its last digit, as if the rest had been cut off.
 *
 * @param {Guess} guess
 * @param {Guess} answer
 * @param {number} tolerance  relative
 */
export const close = (guess, answer, tolerance) => within(guess, answer, tolerance, () => 1 - SLACK);

/**
 * Return whether each number of a guess equals that of the answer, or differs by at most a part of the unit of its last digit.
 *
 * @param {Guess} guess
 * @param {Guess} answer
 * @param {number} tolerance  relative
 * @param {(mine: number, right: number) => number} most  the part
 */
function within(guess, answer, tolerance, most) {
  const { numbers } = answer;
  if (!numbers || guess.numbers?.length !== numbers.length) return false;
  return guess.numbers.every((mine, i) => {
    const right = numbers[i] ?? NaN;
    if (near(mine, right, tolerance)) return true;
    const [, whole = "", decimals = "", exponent = "0"] = guess.parts[i]?.match(/^[-+]?(\d*)\.?(\d*)(?:e([-+]?\d+))?$/i) ?? [];
    const digits = `${whole}${decimals}`.replace(/^0+/, "").length;
    return digits >= LEAST_DIGITS && Math.abs(mine - right) <= most(mine, right) * 10 ** (Number(exponent) - decimals.length);
  });
}

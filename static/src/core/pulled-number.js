// Change a number literal of a program by dragging it, and keep its notation.

/**
 * @typedef {object} Pull
 * @property {number} value
 * @property {number} step         change for one notch
 * @property {number} decimals
 * @property {string} exponent     such as `e-3`, or empty
 */

const FINE = 10; // a number below this many steps is changed in finer ones

/**
 * Read a number literal. Null if it cannot be dragged: a hexadecimal or complex number, or one with underscores.
 *
 * @param {string} text
 * @returns {Pull | null}
 */
export function pullOf(text) {
  const [, digits, exponent = ""] = /^(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.exec(text) ?? [];
  if (digits === undefined) return null;
  const value = Number(digits);
  const written = digits.split(".")[1]?.length ?? 0;
  const whole = !digits.includes(".") && !exponent;
  const decimals = whole ? 0 : Math.max(1, written) + (value < FINE * 10 ** -Math.max(1, written) ? 1 : 0);
  return { value, step: 10 ** -decimals, decimals, exponent };
}

/**
 * Return the literal after some notches. The number keeps its sign, because the sign is not part of the literal.
 *
 * @param {Pull} pull
 * @param {number} notches
 */
export function pulled({ value, step, decimals, exponent }, notches) {
  const next = Math.max(0, value + notches * step);
  const text = next.toFixed(decimals);
  return (decimals > 1 ? text.replace(/(\.\d+?)0+$/, "$1") : text) + exponent;
}

// Write numbers the one way they are written everywhere here: four decimals, a true minus, one exponent for small vectors.
// The server's pictures follow the same rules (`app/drawing/numerals.py`); a test holds the two together.

/** @import {Scalar, Tensor, Values} from "./types.js" */

export const MINUS = "\u2212";
export const NONE = "·";

const LOW = 0.01;
const HIGH = 1e4;

/**
 * One number: four decimals from 0.01 to 10⁴, else an exponent.
 *
 * @param {Scalar | null | undefined} value
 * @param {number} [decimals]
 * @param {boolean} [whole]  the number is an integer by its type
 */
export function number(value, decimals = 4, whole = false) {
  if (value === null || value === undefined) return NONE;
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string") return value.replace("-", MINUS).replace("Infinity", "∞");
  if (whole && Math.abs(value) < 1e12) return minus(String(value));
  const size = Math.abs(value);
  return value === 0 || (size >= LOW && size < HIGH) ? fixed(value, decimals) : exponent(value, decimals);
}

/** @param {string} text */
const minus = (text) => text.replace(/-/g, MINUS);

/** What rounds to zero has no sign. @param {number} value @param {number} decimals */
function fixed(value, decimals) {
  const text = value.toFixed(decimals);
  return minus(/^-[0.]*$/.test(text) ? text.slice(1) : text);
}

/** @param {number} value @param {number} decimals */
function exponent(value, decimals) {
  const [mantissa, power] = value.toExponential(decimals).split("e");
  return minus(`${mantissa}e${Number(power)}`);
}

/** @param {string} dtype */
const isWhole = (dtype) => /^(u?int\d+|bool)$/.test(dtype);

/** @param {Values} values @returns {Scalar[]} */
const flat = (values) => (Array.isArray(values) ? values.flatMap(flat) : [values]);

/**
 * The values of a tensor in nested brackets, with one shared exponent where all are small or some are large.
 *
 * @param {Values} values
 * @param {{decimals?: number, dtype?: string}} [options]
 */
export function nested(values, { decimals = 4, dtype = "float32" } = {}) {
  if (dtype.startsWith("complex")) return complex(values, decimals);
  const whole = isWhole(dtype);
  if (!Array.isArray(values)) return number(values, decimals, whole);
  const sizes = flat(values).flatMap((value) => (typeof value === "number" && value !== 0 ? [Math.abs(value)] : []));
  const largest = sizes.reduce((most, size) => Math.max(most, size), 0);
  const shared = !whole && largest > 0 && (largest < LOW || largest >= HIGH) ? Math.floor(Math.log10(largest)) : 0;
  /** @param {Values} part @returns {string} */
  const write = (part) => {
    if (Array.isArray(part)) return `[${part.map(write).join(", ")}]`;
    if (typeof part !== "number" || whole) return number(part, decimals, whole);
    return shared ? fixed(part / 10 ** shared, 2) : fixed(part, decimals);
  };
  return write(values) + (shared ? `e${minus(String(shared))}` : "");
}

/** @param {Values} values @param {number} decimals @returns {string} */
function complex(values, decimals) {
  if (!Array.isArray(values)) return number(values, decimals);
  const [real, imaginary] = values;
  if (
    values.length === 2 &&
    real !== undefined &&
    imaginary !== undefined &&
    !Array.isArray(real) &&
    !Array.isArray(imaginary)
  ) {
    const text = number(imaginary, decimals);
    return `${number(real, decimals)}${text.startsWith(MINUS) ? "" : "+"}${text}j`;
  }
  return `[${values.map((part) => complex(part, decimals)).join(", ")}]`;
}

/** The shape as torch prints it: `[3, 4]`, and `[]` for a scalar. @param {number[]} sizes */
export const shape = (sizes) => `[${sizes.join(", ")}]`;

/** @param {Tensor} tensor */
export const kind = ({ shape: sizes, dtype }) => `${shape(sizes)} ${dtype}`;

/**
 * The values of a tensor in at most `room` characters, with fewer decimals if need be; null where they don't fit.
 *
 * @param {Tensor} value
 * @param {number} room
 */
export function values(value, room) {
  if (value.values === null || value.values === undefined) return null;
  for (const decimals of [4, 3, 2]) {
    const text = nested(value.values, { decimals, dtype: value.dtype });
    if (text.length <= room) return text;
  }
  return null;
}

/**
 * A tensor in at most `room` characters: its values, else its norm.
 *
 * @param {Tensor | null | undefined} value
 * @param {number} [room]
 */
export function tensor(value, room = 27) {
  if (!value) return NONE;
  const whole = values(value, room);
  if (whole !== null) return whole;
  if (value.nan || value.inf) {
    const counts = [value.nan ? `${value.nan} NaN` : "", value.inf ? `${value.inf} ∞` : ""].filter(Boolean).join(", ");
    return `${counts} in ${shape(value.shape)}`;
  }
  if (value.norm === null || value.norm === undefined) return kind(value);
  const norm = `‖${number(value.norm)}‖`;
  return [`${shape(value.shape)} ${norm}`, norm].find((text) => text.length <= room) ?? kind(value);
}

/** All that is known of a tensor's values. @param {Tensor | null | undefined} value */
export function all(value) {
  if (!value) return NONE;
  if (value.values !== null && value.values !== undefined) return nested(value.values, { dtype: value.dtype });
  if (value.norm === null || value.norm === undefined) return "not kept";
  return `${tensor(value, 60)}, ${number(value.min)} to ${number(value.max)}, mean ${number(value.mean)}`;
}

/**
 * A count with its noun: `1 step`, `20 steps`, `5 120 nodes`.
 *
 * @param {number} count
 * @param {string} noun
 * @param {string} [plural]
 */
export const counted = (count, noun, plural = `${noun}s`) => `${thousands(count)} ${count === 1 ? noun : plural}`;

/** @param {number} count */
export const thousands = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, "\u202f");

/** Lines as ranges where they follow each other: `line 9`, `lines 12–14`. @param {number[]} numbers */
export function lines(numbers) {
  const sorted = [...new Set(numbers)].sort((a, b) => a - b);
  /** @type {string[]} */
  const parts = [];
  for (let i = 0; i < sorted.length;) {
    let j = i;
    while (sorted[j + 1] === (sorted[j] ?? NaN) + 1) j++;
    parts.push(j === i ? `${sorted[i]}` : `${sorted[i]}${j === i + 1 ? ", " : "–"}${sorted[j]}`);
    i = j + 1;
  }
  return parts.length ? `${sorted.length === 1 ? "line" : "lines"} ${parts.join(", ")}` : "";
}

/** @param {number} ms */
export const duration = (ms) =>
  ms < 10 ? `${ms.toFixed(1)} ms` : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;

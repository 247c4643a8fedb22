// Format numbers and tensors: four decimals, a true minus sign, one shared exponent for a vector of small numbers. The server's
// pictures follow the same rules (`app/drawing/numerals.py`); a test compares the two.

/** @import {Scalar, Tensor, Values} from "./types.js" */

export const MINUS = "\u2212";
export const NONE = "·"; // shown for a missing value

const LOW = 0.01; // smaller numbers have an exponent
const LEAST = LOW - 5e-7; // 0.01 as a float32 is slightly less than 0.01
const HIGH = 1e4; // numbers from here on have an exponent
const WRITTEN = 7; // a number with at most this many characters keeps its spelling

/**
 * Format a number: with four decimals from 0.01 to 10⁴, else with an exponent.
 *
 * @param {Scalar | null | undefined} value
 * @param {number} [decimals]
 * @param {boolean} [whole]  the dtype is an integer
 */
export function number(value, decimals = 4, whole = false) {
  if (value === null || value === undefined) return NONE;
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string" || !Number.isFinite(value)) return String(value).replace("-", MINUS).replace("Infinity", "∞");
  if (whole && Math.abs(value) < 1e12) return minus(String(value));
  const size = Math.abs(value);
  return value === 0 || (size >= LEAST && size < HIGH) ? fixed(value, decimals) : exponent(value, decimals);
}

/** @param {string} text */
const minus = (text) => text.replace(/-/g, MINUS);

/** Format a number with fixed decimals. A number that rounds to zero has no sign. @param {number} value @param {number} decimals */
export function fixed(value, decimals) {
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

/** Return the elements of a tensor in one array. @param {Values} values @returns {Scalar[]} */
export const flat = (values) => (Array.isArray(values) ? values.flatMap(flat) : [values]);

/** Return the exponent that numbers share: that of the largest after rounding if all are small or some are large, else 0. @param {readonly Scalar[]} numbers */
export function sharedPower(numbers) {
  const sizes = numbers.flatMap((value) => (Number.isFinite(value) && value !== 0 ? [Math.abs(Number(value))] : []));
  const largest = sizes.reduce((most, size) => Math.max(most, size), 0);
  return largest > 0 && (largest < LOW || largest >= HIGH) ? Number(largest.toExponential(2).split("e")[1]) : 0;
}

/**
 * Format the values of a tensor in nested brackets, with one shared exponent if all are small or some are large.
 *
 * @param {Values} values
 * @param {{decimals?: number, dtype?: string}} [options]
 */
export function nested(values, { decimals = 4, dtype = "float32" } = {}) {
  if (dtype.startsWith("complex")) return complex(values, decimals);
  const whole = isWhole(dtype);
  if (!Array.isArray(values)) return number(values, decimals, whole);
  const shared = whole ? 0 : sharedPower(flat(values));
  /** @param {Values} part @returns {string} */
  const write = (part) => {
    if (Array.isArray(part)) return `[${part.map(write).join(", ")}]`;
    if (typeof part !== "number" || whole || !Number.isFinite(part)) return number(part, decimals, whole);
    return shared ? fixed(part / 10 ** shared, 2) : fixed(part, decimals);
  };
  return write(values) + (shared ? `e${minus(String(shared))}` : "");
}

const ARROW = " → ";
const FINEST = 9; // maximum decimals of a change

/** Return the index of an element, given its position in the flattened tensor. @param {number} position @param {readonly number[]} shape */
export function indexOf(position, shape) {
  const index = [];
  for (const size of [...shape].reverse()) {
    index.unshift(position % size);
    position = Math.floor(position / size);
  }
  return index;
}

/**
 * Format values before and after a change, with enough decimals to show the difference.
 *
 * @param {Values} before
 * @param {Values} after
 * @param {number} [decimals]  minimum number of decimals
 * @param {string} [dtype]
 * @returns {[string, string]}
 */
export function change(before, after, decimals = 4, dtype = "float32") {
  const write = (/** @type {number} */ count) =>
    /** @type {[string, string]} */ ([before, after].map((each) => nested(each, { decimals: count, dtype })));
  const same = JSON.stringify(before) === JSON.stringify(after);
  for (let count = decimals; count <= FINEST && !same; count++) {
    const [one, other] = write(count);
    if (one !== other) return [one, other];
  }
  return write(decimals);
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

/** Format a shape as PyTorch does: `[3, 4]`, and `[]` for a scalar. @param {number[]} sizes */
export const shape = (sizes) => `[${sizes.join(", ")}]`;

/** Format shape and dtype as PyTorch does: `[3, 4] float32`. @param {Tensor} tensor */
export const shapeAndDtype = ({ shape: sizes, dtype }) => `${shape(sizes)} ${dtype}`;

/** Format shape and dtype for a reader: `[3, 4] float32`, or `scalar float32`. @param {Tensor} tensor */
export const described = (tensor) => (tensor.shape.length ? shapeAndDtype(tensor) : `scalar ${tensor.dtype}`);

/** Count the elements of a tensor that are NaN or infinite, with the sign of the infinite ones. @param {Tensor} value */
function nonFinite({ nan, inf, min, max }) {
  const sign = min === "-Infinity" ? (max === "Infinity" ? "±" : MINUS) : "";
  return [nan ? `${nan} NaN` : "", inf ? `${inf} ${sign}∞` : ""].filter(Boolean).join(", ");
}

/** Return whether a value is probably wrong: it has NaN or +∞. A mask of −∞ before a softmax is ordinary. @param {Tensor | null} value */
export const suspect = (value) =>
  value !== null && Boolean(value.nan || value.norm === "NaN" || ((value.inf || value.norm === "Infinity") && !(value.min === "-Infinity" && value.max !== "Infinity")));

/** Return the length of a text with `inf` for `∞`, as the server counts it. @param {string} text */
const long = (text) => text.length + 2 * (text.split("∞").length - 1);

/** @param {number[]} sizes */
const elements = (sizes) => sizes.reduce((product, size) => product * size, 1);

/**
 * Format the values of a tensor in at most `room` characters, with fewer decimals if necessary; null if they do not fit.
 *
 * @param {Tensor} value
 * @param {number} room
 */
export function values(value, room) {
  const { values: kept, dtype, shape: sizes } = value;
  if (kept === null || kept === undefined) return null;
  const count = elements(sizes);
  if (sizes.length && 2 * count + Math.max(0, count - 1) > room) return null; // even one character for each element is too long
  for (const decimals of sizes.length ? [4, 3, 2] : [4, 3, 2, 1]) {
    const text = nested(kept, { decimals, dtype });
    if (long(text) <= room) return text;
  }
  const items = sizes.length ? flat(kept) : [];
  if (!items.length || !dtype.startsWith("float") || !items.every((item) => Number.isInteger(item))) return null;
  const text = nested(kept, { decimals: 0, dtype }).replace(/\d(?=[,\]])/g, "$&.");
  return long(text) <= room && !text.includes("e") ? text : null;
}

/**
 * Format the range of an integer tensor, whose norm means little; null for other dtypes.
 *
 * @param {Tensor} value
 */
function ranged({ dtype, shape: sizes, min, max, zeros }) {
  if (!isWhole(dtype)) return null;
  if (dtype === "bool" && zeros !== null) return `${shape(sizes)} ${elements(sizes) - zeros} True`;
  if (typeof min !== "number" || typeof max !== "number") return null;
  return `${shape(sizes)} ${number(min, 4, true)} to ${number(max, 4, true)}`;
}

/**
 * Format the text of a value that is not a tensor: reformat its long numbers, but not quoted ones.
 *
 * @param {string} text
 */
export const plain = (text) =>
  text.replace(/'[^']*'|"[^"]*"|(?<![\w.])(-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)(?![\w.])/g, (found, value) =>
    value === undefined ? found : value.length <= WRITTEN || /^-?\d+$/.test(value) ? minus(found) : number(Number(value)),
  );

/**
 * Format a tensor in at most `room` characters: its values, else its norm.
 *
 * @param {Tensor | null | undefined} value
 * @param {number} [room]
 */
export function tensor(value, room = 27) {
  if (!value) return NONE;
  const whole = values(value, room);
  if (whole !== null) return whole;
  if (value.nan || value.inf) {
    const counts = nonFinite(value);
    return `${counts} in ${shape(value.shape)}`;
  }
  if (value.norm === null || value.norm === undefined) return shapeAndDtype(value);
  const range = ranged(value);
  if (range !== null) return range.length <= room ? range : shapeAndDtype(value);
  const norm = `‖${number(value.norm)}‖`;
  return [`${shape(value.shape)} ${norm}`, norm].find((text) => text.length <= room) ?? shapeAndDtype(value);
}

/** Shorten a text to `room` characters. @param {string} text @param {number} room */
export const cut = (text, room) => (text.length <= room ? text : `${text.slice(0, Math.max(0, room - 1))}…`);

/**
 * Format a tensor for a picture's card: its values, else its norm and range, else its shape.
 *
 * @param {Tensor} value
 * @param {number} room
 */
export function brief(value, room) {
  const whole = values(value, room);
  if (whole !== null) return whole;
  if (value.nan || value.inf) {
    const counts = nonFinite(value);
    return cut(`${counts} of ${elements(value.shape)}`, room);
  }
  if (value.norm === null) return cut(shapeAndDtype(value), room);
  const range = ranged(value);
  if (range !== null) return range.length <= room ? range : cut(shapeAndDtype(value), room);
  const norm = `‖${number(value.norm)}‖`;
  if (value.min !== null && value.max !== null) {
    for (const decimals of [4, 2, 1]) {
      const ranged = `${norm} ${number(value.min, decimals)} to ${number(value.max, decimals)}`;
      if (long(ranged) <= room) return ranged;
    }
  }
  return norm.length <= room ? norm : cut(shapeAndDtype(value), room);
}

/** Format a tensor before and after a change, in full. @param {Tensor} before @param {Tensor} after @returns {[string, string]} */
export const changed = (before, after) =>
  before.values !== null && after.values !== null && before.dtype === after.dtype
    ? change(before.values, after.values, 4, before.dtype)
    : [all(before), all(after)];

/**
 * Format a tensor before and after a change in at most `room` characters. If both do not fit, format only the later one.
 *
 * @param {Tensor} before
 * @param {Tensor} after
 * @param {number} room
 */
export function became(before, after, room) {
  const kept = before.values !== null && after.values !== null && before.dtype === after.dtype;
  for (const decimals of kept ? (before.shape.length ? [4, 3, 2] : [4]) : []) {
    const whole = change(before.values ?? 0, after.values ?? 0, decimals, before.dtype).join(ARROW);
    if (long(whole) <= room) return whole;
  }
  const [one, other] = [brief(before, room), brief(after, room)];
  const both = one + ARROW + other;
  return one !== other && long(both) <= room ? both : ARROW.trimStart() + brief(after, room - 2);
}

const SHORT = 3; // maximum number of elements whose values an edge's label shows

/** Format a gradient for an edge's label: the values of a few elements, else the norm. @param {Tensor} value @param {number} room */
export function size(value, room) {
  const whole = elements(value.shape) <= SHORT ? values(value, room) : null;
  if (whole !== null) return whole;
  return value.norm === null ? cut(shapeAndDtype(value), room) : `‖${number(value.norm)}‖`;
}

/** Format a tensor for a tooltip, in ASCII and with every digit of its dtype. @param {Tensor | null} value */
export function full(value) {
  if (!value) return "none";
  const { values: kept, dtype, shape: sizes } = value;
  if (kept !== null && kept !== undefined && elements(sizes) <= 16) {
    const text = exact(kept, dtype, sizes.length);
    return sizes.length ? `${text}, ${shapeAndDtype(value)}` : text;
  }
  const plain = (/** @type {Scalar | null} */ each) => number(each).replaceAll(MINUS, "-").replace("∞", "inf");
  if (value.norm === null) return shapeAndDtype(value);
  const strange = value.nan || value.inf ? `, ${value.nan} NaN, ${value.inf} inf` : "";
  return `${shapeAndDtype(value)}, norm ${plain(value.norm)}, from ${plain(value.min)} to ${plain(value.max)}${strange}`;
}

/** @param {Values} item @param {string} dtype @param {number} depth @returns {string} */
function exact(item, dtype, depth) {
  if (depth > 0 && Array.isArray(item))
    return item.length ? `[${item.map((each) => exact(each, dtype, depth - 1)).join(", ")}]` : "[]";
  if (Array.isArray(item)) {
    const [real, imaginary] = item.map((each) => exact(each, dtype === "complex128" ? "float64" : "float32", 0));
    return `${real}${imaginary?.startsWith("-") ? "" : "+"}${imaginary}j`;
  }
  if (typeof item === "boolean") return item ? "True" : "False";
  if (typeof item === "string") return item.replace("Infinity", "inf");
  if (isWhole(dtype)) return String(item);
  const double = dtype === "float64";
  const size = Math.abs(item);
  const rounded = double ? item : Number(item.toPrecision(7));
  const power = size ? Number(rounded.toExponential().split("e")[1]) : 0;
  if (power >= -4 && power < (double ? 16 : 7)) {
    const text = Object.is(rounded, -0) ? "-0" : String(rounded);
    return double && !/[.e]/.test(text) ? `${text}.0` : text;
  }
  const [mantissa, exponent = "0"] = rounded.toExponential().split("e");
  return `${mantissa}e${exponent.startsWith("-") ? "-" : "+"}${exponent.replace(/^[-+]/, "").padStart(2, "0")}`;
}

/** Format a tensor in full: all values, else norm, range and mean. @param {Tensor | null | undefined} value */
export function all(value) {
  if (!value) return NONE;
  if (value.values !== null && value.values !== undefined) return nested(value.values, { dtype: value.dtype });
  if (value.norm === null || value.norm === undefined) return "not recorded";
  if (value.nan) return tensor(value, 60); // with a NaN, the range and the mean are NaN too
  return `${tensor(value, 60)}, ${number(value.min)} to ${number(value.max)}, mean ${number(value.mean)}`;
}

const WORDY = 8; // if a number on an axis has more characters, the others are written as differences

/**
 * Format ascending numbers on an axis, with enough digits to distinguish them. If the numbers need many digits, all but the
 * first are written as differences from the first.
 *
 * @param {readonly number[]} numbers
 * @returns {string[]}
 */
export function axis(numbers) {
  const most = Math.max(...numbers.map(Math.abs));
  const scientific = most >= HIGH || most < 1e-3;
  const texts = numbers.map((each, i) => {
    const near = [numbers[i - 1], numbers[i + 1]].flatMap((other) => (other === undefined ? [] : [Math.abs(other - each)]));
    return digits(each, near.length ? Math.min(...near) : Math.abs(each) / 100, scientific);
  });
  const [first = 0] = numbers;
  if (numbers.length < 2 || !texts.some((text) => text.length > WORDY)) return texts;
  return [texts[0] ?? "", ...axis(numbers.slice(1).map((each) => each - first)).map((text) => `+${text}`)];
}

/** Format a number with enough digits to distinguish it from others `apart` away. @param {number} value @param {number} apart @param {boolean} scientific  write an exponent */
function digits(value, apart, scientific) {
  const size = Math.abs(value);
  if (size < apart / 1e6 || !size) return "0"; // a rounding error of zero
  const power = (/** @type {number} */ of) => Math.floor(Math.log10(of) + 1e-9);
  const count = Math.max(1, Math.min(17, power(size) - power(apart) + 1));
  if (!scientific && size >= 1e-3) return minus(String(Number(value.toPrecision(count))));
  const [mantissa, exponent] = value.toExponential(count - 1).split("e");
  return minus(`${Number(mantissa)}e${Number(exponent)}`);
}

/**
 * Format a count with its noun: `1 step`, `20 steps`, `5,120 nodes`.
 *
 * @param {number} count
 * @param {string} noun
 * @param {string} [plural]
 */
export const counted = (count, noun, plural = `${noun}s`) => `${thousands(count)} ${count === 1 ? noun : plural}`;

/** Format a count with commas between groups of three digits. @param {number} count */
export const thousands = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, ",");

/** Format line numbers, consecutive ones as ranges: `line 9`, `lines 12–14`. @param {number[]} numbers */
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

/** Format a duration in milliseconds or seconds. @param {number} ms */
export const duration = (ms) =>
  ms < 10 ? `${ms.toFixed(1)} ms` : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;

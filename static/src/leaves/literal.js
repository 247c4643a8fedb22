// Write a recorded tensor as Python that makes it again.

/** @import {Scalar, Tensor, Values} from "./types.js" */

const DEFAULT = new Set(["float32", "int64", "bool", "complex64"]); // dtypes that torch.tensor chooses by itself

/**
 * Return Python that makes a tensor, or null if its elements were not recorded.
 *
 * @param {Tensor} tensor
 */
export function literal({ values, dtype, shape, requires_grad: needs, is_leaf: leaf }) {
  if (values === null) return null;
  const complex = dtype.startsWith("complex");
  const whole = DEFAULT.has(dtype) && !(shape.includes(0) && dtype !== "float32");
  const options = [!whole && `dtype=torch.${dtype}`, needs && leaf && "requires_grad=True"].filter(Boolean);
  const single = dtype === "float32" || dtype === "complex64";
  return `torch.tensor(${[nested(values, shape.length, complex, single), ...options].join(", ")})`;
}

/** @param {Values} values @param {number} depth  dimensions left @param {boolean} complex @param {boolean} single  float32 @returns {string} */
function nested(values, depth, complex, single) {
  if (depth > 0 && Array.isArray(values)) return `[${values.map((each) => nested(each, depth - 1, complex, single)).join(", ")}]`;
  if (complex && Array.isArray(values)) return `complex(${values.map((each) => scalar(/** @type {Scalar} */ (each), single, true)).join(", ")})`;
  return scalar(/** @type {Scalar} */ (values), single, false);
}

/** @param {Scalar} value @param {boolean} single @param {boolean} part  of a complex number */
function scalar(value, single, part) {
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string") return `float("${value.replace("Infinity", "inf").replace("NaN", "nan")}")`;
  return single || part ? shortest(value, single) : String(value);
}

/** Return the shortest decimal number that has the same value, with a point. @param {number} value @param {boolean} single */
function shortest(value, single) {
  let text = String(value);
  for (let digits = 1; single && digits <= 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === Math.fround(value)) {
      text = String(short);
      break;
    }
  }
  return /[.e]/.test(text) ? text : `${text}.`;
}

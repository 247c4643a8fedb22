// Fetch the curves of a run (its losses, parameters and gradients over the steps) and look up single steps in them.

import { unpack } from "../leaves/msgpack.js";

/** @import {Client} from "../leaves/api.js" */
/** @import {PackedSeries, Run} from "../leaves/types.js" */
/** @import {Curves} from "./state.js" */

const POINTS = 6000; // longer curves are thinned out by the server, which keeps extremes
const EVERY = 100_000; // asks the server for every step
const ELEMENTS = 4; // a parameter with at most this many elements has a curve for each element; a larger one has a curve of its norm
const PARAMETERS = 40; // only the first parameters have curves

/** @typedef {"value" | "grad" | "contribution" | "update"} Quantity */

/** @param {number[]} shape */
const count = (shape) => shape.reduce((product, size) => product * size, 1);

/**
 * Return the keys of a parameter's curves: one for each of a few elements, else one for its norm.
 *
 * @param {{id: string, shape: number[]}} parameter
 * @param {Quantity} quantity
 */
export function keysOf({ id, shape }, quantity) {
  const many = count(shape);
  if (!shape.length || many > ELEMENTS || many === 0) return [`${id}.${quantity}`];
  return Array.from({ length: many }, (_, i) => `${id}.${quantity}[${i}]`);
}

/** Return whether `keysOf` gives the key of a norm. @param {{shape: number[]}} parameter */
export const isNorm = ({ shape }) => shape.length > 0 && count(shape) > ELEMENTS;

/** @param {Uint8Array} bytes */
const viewOf = ({ buffer, byteOffset, byteLength }) => new DataView(buffer, byteOffset, byteLength);

/**
 * Read packed series. A step without a number has null.
 *
 * @param {ArrayBuffer} answer
 * @returns {{index: number[], series: Record<string, (number | null)[]>}}
 */
function seriesOf(answer) {
  const { index, series } = /** @type {PackedSeries} */ (unpack(answer));
  const steps = viewOf(index.data);
  /** @type {Record<string, (number | null)[]>} */
  const columns = {};
  for (const [key, { data, gaps }] of Object.entries(series)) {
    const numbers = viewOf(data);
    /** @type {(number | null)[]} */
    const column = Array.from({ length: numbers.byteLength / 8 }, (_, at) => numbers.getFloat64(8 * at, true));
    for (const gap of gaps) column[gap] = null;
    columns[key] = column;
  }
  return { index: Array.from({ length: steps.byteLength / 4 }, (_, at) => steps.getInt32(4 * at, true)), series: columns };
}

/**
 * Fetch the curves of a parameter that {@link curvesOf} leaves out, for a run that has ended.
 *
 * @param {Client} api
 * @param {Run} run
 * @param {string} id
 * @param {Curves} curves
 * @returns {Promise<Curves | null>}  the curves with those of the parameter; null if nothing is missing
 */
export async function withParameter(api, run, id, curves) {
  const parameter = run.parameters.find((each) => each.id === id);
  const quantities = /** @type {const} */ (["value", "grad", "contribution", "update"]);
  const keys = parameter ? quantities.flatMap((quantity) => keysOf(parameter, quantity)) : [];
  if (!keys.some((key) => !(key in curves.values)) || run.parameters.slice(0, PARAMETERS).some((each) => each.id === id)) return null;
  const { index, series } = seriesOf(await api.series(run.id, keys, run.steps > POINTS ? { points: POINTS } : {}));
  return index.length === curves.index.length ? { index: curves.index, values: { ...curves.values, ...series } } : null;
}

/**
 * Fetch the curves of a run. Curves that were fetched before are extended, not fetched again.
 *
 * @param {Client} api
 * @param {Run} run
 * @param {Curves | null} before
 * @returns {Promise<Curves>}
 */
export async function curvesOf(api, run, before) {
  const keys = run.parameters
    .slice(0, PARAMETERS)
    .flatMap((parameter) => [
      ...keysOf(parameter, "value"),
      ...keysOf(parameter, "grad"),
      ...keysOf(parameter, "update"),
    ]);
  const start = (before?.index.at(-1) ?? -1) + 1;
  const grows = before !== null && run.steps <= POINTS;
  const range = grows ? { start, points: EVERY } : { points: run.steps > POINTS ? POINTS : EVERY };
  const answer = seriesOf(await api.series(run.id, ["loss", "loss:*", ...keys], range));
  // autograd.grad() returns gradients without filling .grad: fetch the contributions of those parameters
  const given = run.parameters
    .slice(0, PARAMETERS)
    .filter((parameter) => !keysOf(parameter, "grad").some((key) => answer.series[key]?.some((value) => value !== null)))
    .flatMap((parameter) => keysOf(parameter, "contribution"));
  if (given.length && answer.index.length) {
    const { index, series } = seriesOf(await api.series(run.id, given, range));
    if (`${index}` === `${answer.index}`) Object.assign(answer.series, series);
  }
  const fresh = answer.series;
  if (!grows) return { index: answer.index, values: fresh };
  const gaps = (/** @type {number} */ length) => /** @type {null[]} */ (Array(length).fill(null));
  const names = new Set([...Object.keys(before.values), ...Object.keys(fresh)]);
  return {
    index: [...before.index, ...answer.index],
    values: Object.fromEntries(
      [...names].map((key) => [
        key,
        [...(before.values[key] ?? gaps(before.index.length)), ...(fresh[key] ?? gaps(answer.index.length))],
      ]),
    ),
  };
}

/** Return the position of a step in the curves, or of the last step before it; -1 if there is none. @param {readonly number[]} index @param {number} step */
export function positionOf(index, step) {
  let [low, high] = [0, index.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((index[middle] ?? 0) <= step) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Return the number of a step, or null. @param {Curves} curves @param {string} key @param {number} step */
export function at(curves, key, step) {
  const position = positionOf(curves.index, step);
  return curves.index[position] === step ? (curves.values[key]?.[position] ?? null) : null;
}

/**
 * Return the curve of each named loss, or a single curve if no root has a name.
 *
 * @param {Curves | null} curves
 */
export function losses(curves) {
  const named = Object.entries(curves?.values ?? {}).flatMap(([key, values]) =>
    key.startsWith("loss:") ? [{ name: key.slice(5), values }] : [],
  );
  const all = curves?.values["loss"];
  return named.length || !all ? named : [{ name: "loss", values: all }];
}

const TAIL = 0.2; // share of the steps at the end in which a settled number hardly changes
const STILL = 0.005; // share of the curve's range by which it may change there
const FLAT = 0.01; // share of the largest gradient that may be left
const SETTLES = 10; // the fewest steps

/**
 * Return the number that a curve settles at: it hardly changes at the end, and its gradient is almost zero there. Null if it does not.
 *
 * @param {readonly (number | null)[]} values
 * @param {readonly (number | null)[]} gradients
 */
export function settlesAt(values, gradients) {
  const known = values.filter((each) => each !== null);
  const slopes = gradients.filter((each) => each !== null).map(Math.abs);
  const last = known.at(-1);
  if (known.length < SETTLES || !slopes.length || last === undefined || ![...known, ...slopes].every(Number.isFinite)) return null;
  const range = Math.max(...known) - Math.min(...known);
  const still = known.slice(-Math.ceil(known.length * TAIL)).every((each) => Math.abs(each - last) <= STILL * range);
  return range > 0 && still && (slopes.at(-1) ?? 0) <= FLAT * Math.max(...slopes) ? last : null;
}

// Fetch how the numbers of a run went over its steps, and find the number of one step among them.

/** @import {Client} from "../leaves/api.js" */
/** @import {Run, Scalar} from "../leaves/types.js" */
/** @import {Curves} from "./state.js" */

const POINTS = 6000; // steps of a curve above which the server leaves some out, keeping extremes
const ELEMENTS = 4; // of a parameter, each with a curve of its own; of a larger one its norm
const PARAMETERS = 40; // that have curves at all

/** @typedef {"value" | "grad" | "contribution" | "update"} Quantity */

/** @param {number[]} shape */
const count = (shape) => shape.reduce((product, size) => product * size, 1);

/**
 * The keys under which a quantity of a parameter has curves: one for each of a few elements, else one for its norm.
 *
 * @param {{id: string, shape: number[]}} parameter
 * @param {Quantity} what
 */
export function keysOf({ id, shape }, what) {
  const many = count(shape);
  if (!shape.length || many > ELEMENTS || many === 0) return [`${id}.${what}`];
  return Array.from({ length: many }, (_, i) => `${id}.${what}[${i}]`);
}

/** Is what stands under these keys a norm? @param {{shape: number[]}} parameter */
export const isNorm = ({ shape }) => shape.length > 0 && count(shape) > ELEMENTS;

/** A number as it came: what is not finite came in words. @param {Scalar | null} value */
const numeral = (value) => (value === null || typeof value === "boolean" ? null : Number(value));

/**
 * The curves of a run; what is here already is kept, and added to.
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
  const range = grows ? { start } : run.steps > POINTS ? { points: POINTS } : {};
  const told = await api.series(run.id, ["loss", "loss:*", ...keys], range);
  // a gradient that autograd.grad gave is in no .grad
  const given = run.parameters
    .slice(0, PARAMETERS)
    .filter((parameter) => !keysOf(parameter, "grad").some((key) => told.series[key]?.some((value) => value !== null)))
    .flatMap((parameter) => keysOf(parameter, "contribution"));
  if (given.length && told.index.length) {
    const { index, series } = await api.series(run.id, given, range);
    if (`${index}` === `${told.index}`) Object.assign(told.series, series);
  }
  const fresh = Object.fromEntries(Object.entries(told.series).map(([key, column]) => [key, column.map(numeral)]));
  if (!grows) return { index: told.index, values: fresh };
  const gaps = (/** @type {number} */ length) => /** @type {null[]} */ (Array(length).fill(null));
  const names = new Set([...Object.keys(before.values), ...Object.keys(fresh)]);
  return {
    index: [...before.index, ...told.index],
    values: Object.fromEntries(
      [...names].map((key) => [
        key,
        [...(before.values[key] ?? gaps(before.index.length)), ...(fresh[key] ?? gaps(told.index.length))],
      ]),
    ),
  };
}

/** The place of a step in the curves, or of the last before it. @param {readonly number[]} index @param {number} step */
export function placeOf(index, step) {
  let [low, high] = [0, index.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((index[middle] ?? 0) <= step) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** A number of a step, if the curves tell it. @param {Curves} curves @param {string} key @param {number} step */
export function at(curves, key, step) {
  const place = placeOf(curves.index, step);
  return curves.index[place] === step ? (curves.values[key]?.[place] ?? null) : null;
}

/**
 * The curves of losses, by the name of their root; of roots without a name all in one.
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

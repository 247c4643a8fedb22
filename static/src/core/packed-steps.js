// Unpack steps from spans. The server packs steps that differ only in their numbers into one span (`app/web/columns/packed_steps.py`).

/** @import {EarlierValue, FileLine, Gradient, NodeNumbers, PackedSteps, Pass, Scalar, Span, SpanPass, Step, SpanTable, Tensor, Values} from "../leaves/types.js" */

const MOST_DIMENSIONS = 64; // tensors with more dimensions have no elements

/** @type {Record<string, [size: number, read: (view: DataView, at: number) => number | boolean]>} */
const READ = {
  "<f4": [4, (view, at) => view.getFloat32(at, true)],
  "<f8": [8, (view, at) => view.getFloat64(at, true)],
  "<f2": [2, (view, at) => half(view.getUint16(at, true))],
  "<i8": [8, (view, at) => Number(view.getBigInt64(at, true))],
  "<i4": [4, (view, at) => view.getInt32(at, true)],
  "<i2": [2, (view, at) => view.getInt16(at, true)],
  "<i1": [1, (view, at) => view.getInt8(at)],
  "<u8": [8, (view, at) => Number(view.getBigUint64(at, true))],
  "<u4": [4, (view, at) => view.getUint32(at, true)],
  "<u2": [2, (view, at) => view.getUint16(at, true)],
  "<u1": [1, (view, at) => view.getUint8(at)],
  "?": [1, (view, at) => view.getUint8(at) !== 0],
};
/** The format of the parts of a complex number. @type {Record<string, string>} */
const PARTS = { "<c8": "<f4", "<c16": "<f8" };

/** Decode a 16-bit float. @param {number} bits */
function half(bits) {
  const [sign, power, rest] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 0x1f, bits & 0x3ff];
  if (power === 0x1f) return rest ? NaN : sign * Infinity;
  return power ? sign * 2 ** (power - 25) * (rest + 1024) : sign * 2 ** -24 * rest;
}

/** Convert a number to its form in JSON, where non-finite numbers are strings. @param {number | boolean} value @returns {Scalar} */
const plain = (value) => (typeof value === "boolean" || Number.isFinite(value) ? value : String(value));

/** @param {Uint8Array} bytes */
const viewOf = ({ buffer, byteOffset, byteLength }) => new DataView(buffer, byteOffset, byteLength);

/** @param {Uint8Array} bytes @returns {number[]} */
function int32(bytes) {
  const view = viewOf(bytes);
  return Array.from({ length: bytes.byteLength / 4 }, (_, i) => view.getInt32(4 * i, true));
}

/**
 * Return a function that reads the tensors of a table: first for a position among the span's steps, then for a row.
 *
 * @param {SpanTable} table
 */
function reader(table) {
  let [width, summarized] = [0, 0]; // bytes of values, and rows with statistics, of each step
  const rows = table.rows.map(([shape, dtype, requires_grad, is_leaf, grad_fn, packed, stats]) => {
    const complex = packed !== null && packed in PARTS;
    const [size, read] = READ[(packed && PARTS[packed]) ?? packed ?? ""] ?? [0, () => 0];
    const count = shape.reduce((product, each) => product * each, 1);
    const step = complex ? 2 * size : size;
    const row = { shape, dtype, requires_grad, is_leaf, grad_fn, complex, size, step, read, count, kept: packed !== null && shape.length <= MOST_DIMENSIONS, at: width, stats: stats ? summarized : null };
    if (packed !== null) width += count * step;
    if (stats) summarized++;
    return row;
  });
  const [values, stats, counts] = [viewOf(table.values), viewOf(table.stats), table.counts.length ? viewOf(table.counts) : null];

  /** @param {number} position @returns {(row: number) => Tensor | null} */
  return (position) => {
    /** @type {Map<number, Tensor>} */
    const cached = new Map(); // one row is often both the gradient that arrived and the gradient that was used
    return (index) => {
      const row = rows[index];
      if (!row) return null;
      const before = cached.get(index);
      if (before) return before;
      const { shape, dtype, requires_grad, is_leaf, grad_fn, complex, size, step, read, count, kept } = row;
      const start = position * width + row.at;

      /** @param {number} at @returns {Values} */
      const element = (at) => {
        const own = start + at * step;
        return complex ? [plain(read(values, own)), plain(read(values, own + size))] : plain(read(values, own));
      };
      let next = 0;
      /** @param {number} depth @returns {Values} */
      const nested = (depth) => (depth === shape.length ? element(next++) : Array.from({ length: shape[depth] ?? 0 }, () => nested(depth + 1)));

      /** @type {(Scalar | null)[]} */
      let numbers = [null, null, null, null];
      /** @type {(number | null)[]} */
      let counted = kept && !count ? [0, 0, 0] : [null, null, null];
      if (row.stats !== null) {
        const own = 32 * (position * summarized + row.stats);
        numbers = [0, 8, 16, 24].map((by) => plain(stats.getFloat64(own + by, true)));
        const first = 12 * (position * summarized + row.stats);
        counted = [0, 4, 8].map((by) => counts?.getInt32(first + by, true) ?? 0);
      } else if (kept && count === 1) {
        const one = Number(read(values, start));
        const length = complex ? Math.hypot(one, Number(read(values, start + size))) : Math.abs(one);
        const shown = plain(complex ? length : one);
        numbers = [shown, shown, shown, plain(length)];
        counted = [Number(length === 0), Number(Number.isNaN(length)), Number(length === Infinity)];
      }
      const [min = null, max = null, mean = null, norm = null] = numbers;
      const [zeros = null, nan = null, inf = null] = counted;
      const tensor = { shape, dtype, requires_grad, is_leaf, grad_fn, values: kept ? nested(0) : null, min, max, mean, norm, zeros, nan, inf };
      cached.set(index, tensor);
      return tensor;
    };
  };
}

/** Return a function that reads a pass of one step. @param {SpanPass} packed */
function passOf({ kind, graph, line, failed, table, outputs, ...packed }) {
  const order = int32(packed.order).map((position) => `n${position}`);
  const [value, arrived, used, edge] = [packed.value && int32(packed.value), int32(packed.arrived), int32(packed.used), int32(packed.edge)];
  const read = reader(table);
  let output = 0;
  const nodes = outputs.map((count, position) => {
    output += count;
    return { id: `n${position}`, row: value?.[position] ?? -1, from: output - count, to: output };
  });

  /** @param {number} position @param {number} step @param {number} index @param {number | null} parent @param {FileLine | null} origin @returns {Pass} */
  return (position, step, index, parent, origin) => {
    const own = { index, step, kind, parent, graph, line, order, failed, origin };
    if (value === null) return own;
    const tensor = read(position);
    return {
      ...own,
      nodes: Object.fromEntries(
        nodes.map(({ id, row, from, to }) => {
          /** @type {Gradient[]} */
          const grads = [];
          for (let at = from; at < to; at++) grads.push({ arrived: tensor(arrived[at] ?? -1), used: tensor(used[at] ?? -1) });
          return /** @type {[string, NodeNumbers]} */ ([id, { value: tensor(row), grads }]);
        }),
      ),
      edges: Object.fromEntries(edge.map((row, at) => [`e${at}`, tensor(row)])),
    };
  };
}

/**
 * Return the steps of an answer in order, each with a function that reads it.
 *
 * @param {PackedSteps} answer
 * @returns {{index: number, read: () => Step}[]}
 */
export function stepsOf({ spans, earlier }) {
  const steps = spans.flatMap(stepsOfSpan).sort((a, b) => a.index - b.index);
  const byIndex = new Map(steps.map((step) => [step.index, step]));
  /** @type {ReadonlyMap<number, number>} */
  let last = new Map(); // by line, the last step of this answer in which it ran
  return steps.map(({ index, lines, read }) => {
    const before = last;
    last = new Map([...before, ...lines.map((line) => /** @type {const} */ ([line, index]))]);
    return {
      index,
      read() {
        /** @type {Record<string, EarlierValue>} */
        const kept = { ...earlier };
        for (const [line, step] of before) {
          const value = byIndex.get(step)?.value(line);
          if (value) kept[line] = { step, text: value.text, tensor: value.tensor };
        }
        for (const line of lines) delete kept[line];
        return { ...read(), earlier: kept };
      },
    };
  });
}

/** Return the steps of one span. @param {Span} span */
function stepsOfSpan({ steps, lines, values, loss, loss_name, losses, parameters, rebinds, passes, table, summary }) {
  const read = reader(table);
  const calls = passes.map(passOf);
  const valueByLine = new Map(values.map(([line], i) => [line, i]));
  return steps.map((own, position) => ({
    index: own.index,
    lines: [...valueByLine.keys()],
    /** Return the value of a line that ran in the step, else null. @param {number} line */
    value(line) {
      const i = valueByLine.get(line);
      const [, row, phase] = (i !== undefined && values[i]) || [];
      if (i === undefined || row === undefined || phase === undefined) return null;
      return { text: own.texts[i] ?? "", tensor: read(position)(row), phase };
    },
    /** Return the step without the values of earlier steps. */
    read() {
      const tensor = read(position);
      return {
        index: own.index,
        iteration: own.iteration,
        lines,
        values: Object.fromEntries(
          values.map(([line, row, phase], i) => [line, { text: own.texts[i] ?? "", tensor: tensor(row), phase }]),
        ),
        main: own.main,
        loss: tensor(loss),
        loss_name,
        losses: Object.fromEntries(Object.entries(losses).map(([name, row]) => [name, tensor(row)])),
        passes: calls.map((call, i) => call(position, own.index, own.passes[i] ?? 0, own.parents[i] ?? null, own.origins[i] ?? null)),
        parameters: parameters.map(({ id, name, state, ...rows }) => ({
          id,
          name,
          value: tensor(rows.value),
          contribution: tensor(rows.contribution),
          grad_before: tensor(rows.grad_before),
          grad_after: tensor(rows.grad_after),
          value_after: tensor(rows.value_after),
          state: Object.fromEntries(Object.entries(state).map(([key, row]) => [key, tensor(row)])),
          grad_used: tensor(rows.grad_used),
          update: tensor(rows.update),
        })),
        rebinds: rebinds.map((each) => ({ ...each, to: tensor(each.to) })),
        optimizer: own.optimizer,
        groups: own.groups,
        update_origins: own.update_origins,
        summary: summary ?? false,
      };
    },
  }));
}

// Compute the width and colour of an edge from the norm of its gradient, by the server's legend.

/**
 * @typedef {object} Legend
 * @property {{knots: [number, number][], width: [number, number], levels: number}} scale
 * @property {{base: number, per_pixel: number, length: number}} head
 *
 * @typedef {ReturnType<typeof edgeStyle>} EdgeStyle
 */

/** Return the functions that style an edge. @param {Legend} legend */
export function edgeStyle({ scale: { knots, width, levels }, head }) {
  const [thin, thick] = width;

  /** Return a norm's height on the scale, from 0 to 1; null for null, zero and non-finite norms. @param {number | null} norm */
  function height(norm) {
    if (norm === null || !(norm > 0) || !Number.isFinite(norm)) return null;
    const log = Math.log10(norm);
    if (log <= (knots[0]?.[0] ?? 0)) return 0;
    for (const [i, [x1, y1]] of knots.entries()) {
      const before = knots[i - 1];
      if (before && log <= x1) return before[1] + ((y1 - before[1]) * (log - before[0])) / (x1 - before[0]);
    }
    return 1;
  }

  return {
    position: height,
    /** Return the width of the shaft in pixels. @param {number | null} norm */
    width(norm) {
      if (norm !== null && !Number.isFinite(norm)) return (thin + thick) / 2;
      const at = height(norm);
      return at === null ? thin : Math.round((thin + (thick - thin) * at) * 100) / 100;
    },
    /** Return the CSS class for the colour. @param {number | null} norm */
    level(norm) {
      if (norm !== null && !Number.isFinite(norm)) return "bad";
      const at = height(norm);
      return at === null ? "flat" : `g${Math.round(at * levels)}`;
    },
    /** Return the size of the head for a shaft, as a multiple of the normal one. @param {number} shaft */
    head: (shaft) => head.base + head.per_pixel * shaft,
    /** Return the drawn length of a shaft, which ends inside its head. @param {number} length @param {number} size */
    shown: (length, size) => Math.max(0, length - size * head.length + 1),
  };
}

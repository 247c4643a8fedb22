// Say how wide and how amber an edge is for the gradient on it, by the server's own legend.

/**
 * @typedef {object} Legend
 * @property {{knots: [number, number][], width: [number, number], levels: number}} scale
 * @property {{base: number, per_pixel: number, length: number}} head
 *
 * @typedef {ReturnType<typeof scale>} Scale
 */

/** @param {Legend} legend */
export function scale({ scale: { knots, width, levels }, head }) {
  const [thin, thick] = width;

  /** How far up the scale a norm stands, from 0 to 1; null for none, for zero, and for what is not finite. @param {number | null} norm */
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
    /** Pixels. @param {number | null} norm */
    width(norm) {
      if (norm !== null && !Number.isFinite(norm)) return (thin + thick) / 2;
      const at = height(norm);
      return at === null ? thin : Math.round((thin + (thick - thin) * at) * 100) / 100;
    },
    /** The class that colours it. @param {number | null} norm */
    level(norm) {
      if (norm !== null && !Number.isFinite(norm)) return "bad";
      const at = height(norm);
      return at === null ? "flat" : `g${Math.round(at * levels)}`;
    },
    /** Size of the head for a shaft, as a multiple of the plain one. @param {number} shaft */
    head: (shaft) => head.base + head.per_pixel * shaft,
    /** Length of the part of a shaft that is drawn, so that it ends inside its head. @param {number} length @param {number} size */
    shown: (length, size) => Math.max(0, length - size * head.length + 1),
  };
}

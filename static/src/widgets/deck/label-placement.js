// Place labels between lines that run from left to right.

/** @typedef {{x: number, y: number}} Point    in pixels */

const HIGH = 10; // pixels of a label above its baseline
const LOW = 3; // pixels of a label below its baseline
const FREE = 5; // pixels between a label and a line
const STRIDE = 2; // pixels between two baselines that are tried

/**
 * Return the highest and lowest y of a line between two x; null if no part of the line is there.
 *
 * @param {readonly Point[]} line
 * @param {number} left
 * @param {number} right
 * @returns {[number, number] | null}
 */
function covered(line, left, right) {
  let [top, foot] = [Infinity, -Infinity];
  for (const [i, b] of line.entries()) {
    const a = line[i - 1] ?? b;
    if (b.x < left || a.x > right) continue;
    for (const x of [Math.max(a.x, left), Math.min(b.x, right)]) {
      const y = b.x > a.x ? a.y + ((b.y - a.y) * (x - a.x)) / (b.x - a.x) : b.y;
      [top, foot] = [Math.min(top, y), Math.max(foot, y)];
    }
  }
  return top <= foot ? [top, foot] : null;
}

/** Return a function that places labels without covering the lines or each other. @param {readonly (readonly Point[])[]} lines */
export function labelPlacer(lines) {
  /** @type {{left: number, right: number, y: number}[]} */
  const texts = [];
  /**
   * Take the free baseline nearest to the preferred one for a label from `left` to `right`; return null if there is none.
   *
   * @param {number} left
   * @param {number} right
   * @param {number} preferred
   * @param {[number, number]} within  the highest and the lowest baseline
   * @returns {number | null}
   */
  return (left, right, preferred, [top, foot]) => {
    const passing = lines.flatMap((line) => {
      const found = covered(line, left - FREE, right + FREE);
      return found ? [found] : [];
    });
    const free = (/** @type {number} */ y) =>
      passing.every(([high, low]) => high - FREE > y + LOW || low + FREE < y - HIGH) &&
      texts.every((other) => other.right < left || other.left > right || Math.abs(other.y - y) > HIGH + LOW);
    const tries = Array.from({ length: Math.max(0, Math.floor((foot - top) / STRIDE) + 1) }, (_, i) => foot - i * STRIDE);
    const y = tries.filter(free).sort((a, b) => Math.abs(a - preferred) - Math.abs(b - preferred))[0];
    if (y === undefined) return null;
    texts.push({ left, right, y });
    return y;
  };
}

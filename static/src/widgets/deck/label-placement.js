// Find room for words among lines that are drawn from left to right.

/** @typedef {{x: number, y: number}} Point */

const HIGH = 10; // pixels of a text above its baseline,
const LOW = 3; // and below it
const FREE = 5; // and those that it keeps from a line
const STRIDE = 2; // pixels between two heights that are tried

/**
 * What a line covers of a stretch, from its highest point to its lowest; null where it does not pass.
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

/** @param {readonly (readonly Point[])[]} lines */
export function room(lines) {
  /** @type {{left: number, right: number, y: number}[]} */
  const texts = [];
  /**
   * Take the free place for a text from `left` to `right` whose baseline is nearest to the one that is wished for.
   *
   * @param {number} left
   * @param {number} right
   * @param {number} wished
   * @param {[number, number]} within  the highest baseline and the lowest
   * @returns {number | null}
   */
  return (left, right, wished, [top, foot]) => {
    const passing = lines.flatMap((line) => {
      const found = covered(line, left - FREE, right + FREE);
      return found ? [found] : [];
    });
    const free = (/** @type {number} */ y) =>
      passing.every(([high, low]) => high - FREE > y + LOW || low + FREE < y - HIGH) &&
      texts.every((other) => other.right < left || other.left > right || Math.abs(other.y - y) > HIGH + LOW);
    const tries = Array.from({ length: Math.max(0, Math.floor((foot - top) / STRIDE) + 1) }, (_, i) => foot - i * STRIDE);
    const y = tries.filter(free).sort((a, b) => Math.abs(a - wished) - Math.abs(b - wished))[0];
    if (y === undefined) return null;
    texts.push({ left, right, y });
    return y;
  };
}

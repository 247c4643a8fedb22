// Say on what scale losses can be shown, which of them get a line, and what a logarithmic one makes of a straight line.

/**
 * @typedef {object} Scale
 * @property {boolean} logarithmic
 * @property {readonly number[]} levels      losses of the lines of a contour
 * @property {number | null} ratio           of each of these to the one before, where it is the same for all
 *
 * @typedef {[value: number, loss: number]} Point
 */

const LEVELS = 9;
const RATIOS = [1.01, 1.02, 1.05, 1.1, 1.2, 1.5, 2, 3, 5, 10, 30, 100, 1e3, 1e4, 1e6, 1e9, 1e12, 1e20, 1e40, 1e80];
const INSIDE = 4; // points of a grid below which a line around them tells of the grid, and not of the loss

/**
 * The scale of losses, logarithmic if that is wished for and all of them are above zero.
 *
 * @param {readonly (number | null)[]} losses   over a grid
 * @param {readonly (number | null)[]} others   that are shown on it
 * @param {boolean} wished
 * @returns {Scale}
 */
export function scaleOf(losses, others, wished) {
  const known = losses.flatMap((each) => (each === null ? [] : [each])).sort((a, b) => a - b);
  const logarithmic = wished && (known[0] ?? 0) > 0 && others.every((each) => each === null || each > 0);
  const [low, high] = [known[0] ?? 0, known.at(-1) ?? 1];
  if (logarithmic) {
    const first = known[Math.min(INSIDE, known.length) - 1] ?? low;
    const ratio = RATIOS.find((each) => Math.log(high / first) / Math.log(each) <= LEVELS);
    const levels = ratio ? powers(first, high, ratio) : [];
    if (ratio && levels.length > 1) return { logarithmic, levels, ratio };
  }
  // closer to each other near the least
  const levels = Array.from({ length: LEVELS }, (_, i) => low + (high - low) * ((i + 0.4) / LEVELS) ** 2);
  return { logarithmic, levels, ratio: null };
}

/** The powers of a number from one number to another. @param {number} low @param {number} high @param {number} base */
function powers(low, high, base) {
  const [first, last] = [low, high].map((each) => Math.log(each) / Math.log(base));
  const found = [];
  for (let power = Math.ceil((first ?? 0) - 1e-9); power <= (last ?? 0) + 1e-9; power++) found.push(base ** power);
  return found;
}

/** Powers of ten between two numbers, so many at most. @param {number} low @param {number} high @param {number} most */
export function decades(low, high, most) {
  const all = powers(low, high, 10);
  const stride = Math.ceil(all.length / Math.max(1, most));
  return all.filter((_, i) => (all.length - 1 - i) % stride === 0);
}

/**
 * A straight piece between two losses above zero in so many parts, each as high as the others on a logarithmic scale: there it
 * is bent.
 *
 * @param {Point} from
 * @param {Point} to
 * @param {number} parts
 * @returns {Point[]}
 */
export function bent([a, from], [b, to], parts) {
  return Array.from({ length: parts + 1 }, (_, i) => {
    const loss = from * (to / from) ** (i / parts);
    return [a + (b - a) * (from === to ? i / parts : (loss - from) / (to - from)), loss];
  });
}

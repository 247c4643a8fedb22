// Choose the scale of the losses and the levels of a contour, and bend straight lines for a logarithmic scale.

/**
 * @typedef {object} LossScale
 * @property {boolean} logarithmic
 * @property {readonly number[]} levels      losses of a contour's lines
 * @property {number | null} ratio           ratio of each level to the one before, if it is constant
 *
 * @typedef {[value: number, loss: number]} LossPoint
 */

const LEVELS = 9; // lines of a contour
const RATIOS = [1.01, 1.02, 1.05, 1.1, 1.2, 1.5, 2, 3, 5, 10, 30, 100, 1e3, 1e4, 1e6, 1e9, 1e12, 1e20, 1e40, 1e80];
const INSIDE = 4; // minimum number of grid points inside a contour line: a line around fewer points shows the grid, not the loss

/**
 * Return the scale for losses: logarithmic if requested and all of them are positive.
 *
 * @param {readonly (number | null)[]} losses   at the grid's points
 * @param {readonly (number | null)[]} others   further losses in the plot
 * @param {boolean} requested
 * @returns {LossScale}
 */
export function scaleOf(losses, others, requested) {
  const finite = losses.flatMap((each) => (each === null ? [] : [each])).sort((a, b) => a - b);
  const logarithmic = requested && (finite[0] ?? 0) > 0 && others.every((each) => each === null || each > 0);
  const [low, high] = [finite[0] ?? 0, finite.at(-1) ?? 1];
  if (logarithmic) {
    const first = finite[Math.min(INSIDE, finite.length) - 1] ?? low;
    const ratio = RATIOS.find((each) => Math.log(high / first) / Math.log(each) <= LEVELS);
    const levels = ratio ? powers(first, high, ratio) : [];
    if (ratio && levels.length > 1) return { logarithmic, levels, ratio };
  }
  // denser near the lowest loss
  const levels = Array.from({ length: LEVELS }, (_, i) => low + (high - low) * ((i + 0.4) / LEVELS) ** 2);
  return { logarithmic, levels, ratio: null };
}

/** Return the powers of a base between two numbers. @param {number} low @param {number} high @param {number} base */
function powers(low, high, base) {
  const [first, last] = [low, high].map((each) => Math.log(each) / Math.log(base));
  const found = [];
  for (let power = Math.ceil((first ?? 0) - 1e-9); power <= (last ?? 0) + 1e-9; power++) found.push(base ** power);
  return found;
}

/** Return at most `most` powers of ten between two numbers. @param {number} low @param {number} high @param {number} most */
export function decades(low, high, most) {
  const all = powers(low, high, 10);
  const stride = Math.ceil(all.length / Math.max(1, most));
  return all.filter((_, i) => (all.length - 1 - i) % stride === 0);
}

/**
 * Divide a straight piece between two positive losses into parts of equal height on a logarithmic scale, where it is bent.
 *
 * @param {LossPoint} from
 * @param {LossPoint} to
 * @param {number} parts
 * @returns {LossPoint[]}
 */
export function bent([a, from], [b, to], parts) {
  return Array.from({ length: parts + 1 }, (_, i) => {
    const loss = from * (to / from) ** (i / parts);
    return [a + (b - a) * (from === to ? i / parts : (loss - from) / (to - from)), loss];
  });
}

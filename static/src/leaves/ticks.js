// Choose round numbers for an axis.

/** Return at most `most` round numbers between two numbers. @param {number} low @param {number} high @param {number} most */
export function ticks(low, high, most) {
  const wide = high - low;
  if (!(wide > 0) || !Number.isFinite(wide)) return [];
  const size = 10 ** Math.floor(Math.log10(wide / Math.max(1, most)));
  const step = size * ([1, 2, 5].find((each) => wide / (each * size) <= most) ?? 10);
  const [first, last] = [Math.ceil(low / step), Math.floor(high / step)];
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => Number(((first + i) * step).toPrecision(15)));
}

/** Return at most `most` powers of ten between two powers of ten, which are given as exponents. @param {number} low @param {number} high @param {number} most */
export function powersOfTen(low, high, most) {
  const [first, last] = [Math.ceil(low - 1e-9), Math.floor(high + 1e-9)];
  const stride = Math.max(1, Math.ceil((last - first + 1) / Math.max(1, most)));
  return Array.from({ length: Math.max(0, Math.floor((last - first) / stride) + 1) }, (_, i) => 10 ** (first + i * stride));
}

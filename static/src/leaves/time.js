// Write how long ago something was.

const [MINUTE, HOUR, DAY] = [60, 3600, 86_400]; // seconds

/** Return how long ago a time was, in words. @param {number} time  milliseconds since 1970 @param {number} [now] */
export function ago(time, now = Date.now()) {
  const seconds = Math.max(0, (now - time) / 1000);
  if (seconds < MINUTE) return "a moment ago";
  const [count, unit] = seconds < HOUR ? [seconds / MINUTE, "minute"] : seconds < DAY ? [seconds / HOUR, "hour"] : [seconds / DAY, "day"];
  const whole = Math.floor(count);
  return `${whole} ${unit}${whole === 1 ? "" : "s"} ago`;
}

// Read the frames of the program from a traceback of Python.

/** @typedef {{line: number, name: string, columns: [number, number] | null}} Frame    columns: 0-based, half-open; null for the whole line */

/**
 * Return the frames of the program, the outermost first. Frames that repeat, as in a recursion, are returned once.
 *
 * @param {string} traceback
 * @param {string} program
 * @returns {Frame[]}
 */
export function frames(traceback, program) {
  const source = program.split("\n");
  const lines = traceback.split("\n");
  /** @type {Frame[]} */
  const found = [];
  for (const [i, text] of lines.entries()) {
    const place = /^ {2}File "<program>", line (\d+)(?:, in (.+))?$/.exec(text);
    if (!place) continue;
    const line = Number(place[1]);
    const carets = /^ {4}(\s*)([~^]+)\s*$/.exec(lines[i + 2] ?? "");
    const indent = /^\s*/.exec(source[line - 1] ?? "")?.[0].length ?? 0;
    const from = indent + (carets?.[1]?.length ?? 0);
    const frame = { line, name: place[2] ?? "", columns: /** @type {Frame["columns"]} */ (carets ? [from, from + (carets[2]?.length ?? 0)] : null) };
    if (!found.some((each) => each.line === line && each.name === frame.name)) found.push(frame);
  }
  return found;
}

// Split Python into the tokens that the editor colours, without its grammar, which is loaded when the editor is first used.

/** @typedef {{kind: "comment" | "string" | "keyword" | "number" | "name" | "attribute", from: number, to: number}} Token */

const KEYWORDS = new Set(
  "and as assert async await break class continue def del elif else except finally for from global if import in is lambda nonlocal not or pass raise return try while with yield".split(" "),
);
const STRING = /[rbuf]{0,2}(?:"""(?:\\.|[^\\])*?(?:"""|$)|'''(?:\\.|[^\\])*?(?:'''|$)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?)/;
const NUMBER = /(?:0[xob][\da-f_]+|(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:e[+-]?\d+)?j?)/;
const TOKEN = new RegExp(`(?<comment>#.*)|(?<string>${STRING.source})|(?<number>(?<![\\p{L}\\p{N}_])${NUMBER.source})|(?<dot>\\.\\s*)?(?<name>[\\p{L}_][\\p{L}\\p{N}_]*)`, "giu");

/** Return the tokens of a program, in their order. An expression in an f-string belongs to the string. @param {string} text @returns {Token[]} */
export function pythonTokens(text) {
  return [...text.matchAll(TOKEN)].map(({ 0: whole, index, groups }) => {
    const { comment, string, number, dot = "", name = "" } = /** @type {Record<string, string | undefined>} */ (groups);
    const word = dot ? "attribute" : KEYWORDS.has(name) ? "keyword" : "name";
    const kind = comment !== undefined ? "comment" : string !== undefined ? "string" : number !== undefined ? "number" : word;
    return { kind, from: index + dot.length, to: index + whole.length };
  });
}

// List the findings of a run, each with its fix and a link to its documentation.

import { fill, h, prose, widget } from "../leaves/dom.js";
import { difference } from "../leaves/edits.js";
import * as format from "../leaves/format.js";

/** @import {Finding, Fix, Run} from "../leaves/types.js" */
/** @import {Child} from "../leaves/dom.js" */

/** @typedef {{code: string, help: string, before: string | null}} Fixed    before: id of the run to compare with */

/** Maximum number of codes that are listed; further codes are counted. */
const LISTED = 3;
/** The lists of a run that may be shown in part, with what they contain. @type {Record<string, string>} */
const PARTS = { lines: "line value", parameters: "parameter", graphs: "graph" };
const MARKS = { error: "!", warning: "!", note: "·", good: "✓" };

/**
 * Make the list of findings. Without `onfix`, fixes are shown but not applied; without `oncompare`, no runs are compared.
 *
 * @param {object} options
 * @param {(finding: Finding) => void} options.onfinding
 * @param {(fix: Fix, finding: Finding) => void} [options.onfix]
 * @param {(run: string) => void} [options.oncompare]
 */
export function findings({ onfinding, onfix, oncompare }) {
  const list = h("ul");
  const element = h("div", { class: "findings" }, list);

  /** @param {Finding} finding @param {string} program @param {boolean} stale */
  function item(finding, program, stale) {
    const { code, severity, message, why, line, fix, help, origin } = finding;
    return h(
      "li",
      { class: severity },
      h("span", { class: "mark", "aria-hidden": "true" }, MARKS[severity]),
      h(
        "div",
        null,
        h(
          "p",
          { class: "message" },
          h("b", null, prose(message)),
          line !== null && [
            " ",
            h("button", { type: "button", class: "to", onclick: () => onfinding(finding) }, `line ${line}`),
          ],
          origin && ` (${origin.file}:${origin.line})`,
          " ",
          help ? h("a", { class: "to help", href: help, target: "_blank", "aria-label": `About ${code}, in a new tab` }, code) : h("span", { class: "help" }, code),
        ),
        why && h("p", { class: "why" }, prose(why)),
        fix && [
          lines(fix, program),
          onfix && h("button", { type: "button", class: "btn", disabled: stale, onclick: () => onfix(fix, finding) }, "Apply fix and run"),
          h("span", { class: "fix-title" }, stale ? "You edited the code. Run it again to use this fix." : prose(fix.title)),
        ],
      ),
    );
  }

  /** Say that a fix worked. @param {Fixed} fixed */
  function resolved({ code, help, before }) {
    const compare = before && h("button", { type: "button", class: "btn", onclick: () => oncompare?.(before) }, "Compare with the run before");
    const message = h("p", { class: "message" }, h("b", null, "Fixed: "), h("a", { class: "to help", href: help, target: "_blank", "aria-label": `About ${code}, in a new tab` }, code));
    return h("li", { class: "good" }, h("span", { class: "mark", "aria-hidden": "true" }, MARKS.good), h("div", null, message, compare));
  }

  return widget(element, {
    /** @param {Run | null} run @param {boolean} stale  whether the program was edited since @param {Fixed | null} [fixed]  the finding that the program's last change resolved */
    show(run, stale, fixed = null) {
      fill(
        list,
        run && [
          fixed && resolved(fixed),
          ...run.findings.map((finding) => item(finding, run.program, stale)),
          run.findings_omitted.length > 0 && missing(run.findings_omitted),
          run.omitted && partial(run.omitted, run.links),
        ],
      );
    },
  });
}

/** Return the item that says that findings may be missing. @param {readonly string[]} omitted */
function missing(omitted) {
  const more = omitted.length > LISTED ? ` and ${omitted.length - LISTED} more` : "";
  return note(
    [h("b", null, "Further findings may be missing:"), ` ${omitted.slice(0, LISTED).join(", ")}${more}`],
    "Tapedeck limits the time for the findings of a run, and their number.",
  );
}

/**
 * Return the item that says what a page leaves out of a large run, with links to the API, which has everything.
 *
 * @param {Record<string, number>} omitted
 * @param {Record<string, string>} links
 */
function partial(omitted, links) {
  const parts = Object.entries(omitted).map(([name, count], at) => [
    at ? ", " : " ",
    h("a", { class: "to", href: links[name], target: "_blank" }, format.counted(count, PARTS[name] ?? name)),
  ]);
  return note(
    [h("b", null, "This run is shown in part. Left out:"), ...parts],
    "The page shows the first ones. The links lead to all of them.",
  );
}

/** @param {Child} message @param {string} why */
function note(message, why) {
  return h(
    "li",
    { class: "note" },
    h("span", { class: "mark", "aria-hidden": "true" }, MARKS.note),
    h("div", null, h("p", { class: "message" }, message), h("p", { class: "why" }, why)),
  );
}

/** Return the counts of findings as a short text. @param {readonly Finding[]} all @returns {Child} */
export function summary(all) {
  /** @param {...Finding["severity"]} kinds */
  const count = (...kinds) => all.filter(({ severity }) => kinds.includes(severity)).length;
  if (!all.length) return "nothing to report";
  const [pitfalls, notes, good] = [count("error", "warning"), count("note"), count("good")];
  return [
    pitfalls ? h("span", { class: "bad" }, format.counted(pitfalls, "pitfall")) : "no pitfalls",
    notes > 0 && `, ${format.counted(notes, "note")}`,
    good > 0 && `, ${format.counted(good, "good sign")}`,
  ];
}

/** Return the lines that a fix removes and adds. @param {Fix} fix @param {string} program */
function lines(fix, program) {
  const { removed, added } = difference(program, fix.edits);
  const indent = Math.min(...[...removed, ...added].filter((text) => text.trim()).map((text) => text.search(/\S/)), Infinity);
  const bare = (/** @type {string} */ text) => text.slice(Number.isFinite(indent) ? indent : 0);
  return h(
    "pre",
    { class: "diff", "aria-label": "Suggested edit" },
    removed.map((text) => h("del", null, `−  ${bare(text)}\n`)),
    added.map((text) => h("ins", null, `+  ${bare(text)}\n`)),
  );
}

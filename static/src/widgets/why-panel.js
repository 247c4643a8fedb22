// Show why a number is what it is: its rule, the terms it is made of, and the way that led to it.

import { fill, h, prose, widget } from "../leaves/dom.js";
import * as format from "../leaves/format.js";

/** @import {Child} from "../leaves/dom.js" */
/** @import {Why, WhyLink, WhyTerm} from "../leaves/types.js" */

const KEYED = 9; // terms that a number key follows
const SHOWN = 12; // terms that are listed

/**
 * @typedef {object} Asked
 * @property {readonly Why[]} trail             the explanations that led here; the last one is shown
 * @property {boolean} waiting                  the next explanation is loading
 * @property {string | null} failed             why it could not be read
 * @property {Child} nudge                      what happened to the loss when the element grew
 * @property {Recording | null} progress        the replay that records missing numbers
 */

/** @typedef {{done: number, of: number, stop: () => void}} Recording    steps repeated, of how many, and how to end it */

/**
 * Make the panel.
 *
 * @param {object} options
 * @param {(href: string) => void} options.onfollow   read another explanation
 * @param {(index: number) => void} options.onback    go back to an earlier explanation
 * @param {() => void} options.onclose
 * @param {(line: number) => void} options.online
 * @param {(node: string) => void} options.onnode
 * @param {() => void} options.onnudge
 * @param {(body: Record<string, unknown>, href: string) => void} options.onrecord   replay the run for missing numbers, and ask again
 */
export function whyPanel({ onfollow, onback, onclose, online, onnode, onnudge, onrecord }) {
  /** The addresses that the number keys follow. @type {string[]} */
  let addresses = [];
  let depth = 0;
  const element = h("div", {
    class: "explains",
    role: "group",
    "aria-label": "Why this number",
    onkeydown: (/** @type {KeyboardEvent} */ event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const href = addresses[Number(event.key) - 1];
      if (/^[1-9]$/.test(event.key) && href) onfollow(href);
      else if (event.key === "Backspace" && depth > 1) onback(depth - 2);
      else if (event.key === "Backspace" || event.key === "Escape") onclose();
      else return;
      event.preventDefault();
      event.stopPropagation();
    },
  });

  /** @param {Asked} asked */
  function write({ trail, waiting, failed, nudge, progress }) {
    const answer = trail.at(-1);
    if (failed) return [crumbs(trail), h("p", { class: "remark" }, failed)];
    if (!answer) return h("p", { class: "remark" }, waiting ? "Looking it up…" : "");
    const line = answer.program_line;
    addresses = [];
    return [
      crumbs(trail),
      h("h4", { tabindex: "-1", class: "asked" }, h("span", null, answer.name, answer.value === null ? null : [" = ", h("span", { class: "grad" }, shown(answer.value))])),
      progress ? repeating(progress) : [h("p", { class: "remark" }, prose(answer.sentence)), answer.note && h("p", { class: "remark" }, prose(answer.note)), missing(answer)],
      answer.rule && math(answer.rule.mathml, answer.rule.latex),
      answer.line && h("p", { class: "line" }, answer.line),
      answer.terms.length > 0 && terms(answer),
      answer.reads.length > 0 && [h("p", { class: "remark" }, answer.kind === "function" ? "Numbers that it read:" : "Other numbers that it read:"), links(answer.reads)],
      Object.entries(answer.published).map(([op, code]) => h("p", { class: "remark" }, "PyTorch defines ", h("code", null, op), ": ", h("code", null, code))),
      answer.nudge && (nudge || h("button", { type: "button", class: "to", onclick: onnudge }, `What if it grows by ${short(answer.nudge.by, 3)}?`)),
      h(
        "p",
        { class: "remark" },
        line === null ? null : h("button", { type: "button", class: "to", onclick: () => online(line) }, `line ${line}`),
        answer.node && [line === null ? null : " · ", h("button", { type: "button", class: "to", onclick: () => onnode(/** @type {string} */ (answer.node)) }, "show in the graph")],
      ),
    ];
  }

  /** Show how far a replay has come. @param {Recording} progress */
  const repeating = ({ done, of, stop }) =>
    h(
      "p",
      { class: "remark" },
      "Running the program again for these numbers… ",
      h("progress", { max: of, value: done, "aria-label": "Steps repeated" }),
      " ",
      h("button", { type: "button", class: "to", onclick: stop }, "stop"),
    );

  /** Offer a replay for the numbers that an explanation lacks. @param {Why} answer */
  function missing({ replay, of, step, pass }) {
    if (replay?.["what"] !== "elements") return null;
    const href = `why?${new URLSearchParams({ of, ...(step === null ? {} : { step: String(step) }), ...(pass === null ? {} : { pass: String(pass) }) })}`;
    return h("p", null, h("button", { type: "button", class: "to", onclick: () => onrecord(replay, href) }, "record the missing numbers"));
  }

  /** Write the way to this number. @param {readonly Why[]} trail */
  function crumbs(trail) {
    const items = trail.map(({ name }, i) =>
      h("li", null, i === trail.length - 1 ? h("span", { "aria-current": "step" }, name) : h("button", { type: "button", class: "to", onclick: () => onback(i) }, name)),
    );
    const close = h("button", { type: "button", class: "to close", "aria-label": "Close the explanation", onclick: onclose }, "×");
    const alone = items.length === 1; // the heading has this name
    return h("nav", { class: alone && "alone", "aria-label": "The way to this number" }, h("ol", null, !alone && items), close);
  }

  /** List the terms of a sum, largest first. @param {Why} answer */
  function terms({ terms: all, omitted, rest, rounding, value }) {
    const rows = all.slice(0, SHOWN).map(term);
    const more = all.length - rows.length + omitted;
    const smaller = all.slice(SHOWN).reduce((sum, each) => sum + Number(each.value), Number(rest ?? 0));
    const rounded = typeof rounding === "number" && rounding !== 0 ? rounding : null;
    return [
      h("ol", { class: "terms" }, rows, more > 0 && h("li", { class: "rest" }, h("span", null, `${format.counted(more, "smaller term")}`), h("b", null, short(smaller, 5)))),
      h("p", { class: "total" }, `sum ${shown(value)}`, rounded !== null && h("small", null, ` · rounding ${format.number(rounded, 2)}`)),
    ];
  }

  /** @param {WhyTerm} each */
  function term(each) {
    const share = `${Math.round(each.share * 100)} %`;
    const bar = h("i", { "aria-hidden": "true" });
    bar.style.width = `${Math.max(1, each.share * 100)}%`;
    const source = each.source;
    const number = source && addresses.length < KEYED ? addresses.push(source.href) : null;
    const words = [h("span", { class: "product" }, each.text), h("b", { class: "grad" }, shown(each.value)), h("small", null, share, source && [" · ", source.name]), bar];
    const own = source
      ? h("button", { type: "button", class: "hop", "aria-keyshortcuts": number, title: `Explain ${source.name}${number ? ` (key ${number})` : ""}`, onclick: () => onfollow(source.href) }, words)
      : h("span", { class: "hop" }, words);
    return h("li", null, own, each.reads.length > 0 && links(each.reads));
  }

  /** @param {readonly WhyLink[]} all */
  const links = (all) =>
    h(
      "p",
      { class: "reads" },
      all.slice(0, SHOWN).map((link) => [h("button", { type: "button", class: "to", onclick: () => onfollow(link.href) }, link.name, link.value === null ? null : ` = ${shown(link.value)}`), " "]),
    );

  return widget(element, {
    /** @param {Asked} asked @param {boolean} focus  move the focus to the number */
    show(asked, focus) {
      depth = asked.trail.length;
      const focused = focus || (element.contains(document.activeElement) && !asked.waiting);
      element.setAttribute("aria-busy", String(asked.waiting));
      fill(element, write(asked));
      if (focused) element.querySelector("h4")?.focus({ preventScroll: true });
    },
  });
}

/** @param {number | string | null} value */
const shown = (value) => (value === null ? "not recorded" : short(Number(value), 5));

/** Write a number with some digits, without zeros at its end. @param {number} value @param {number} digits */
const short = (value, digits) => format.number(Number.isFinite(value) ? Number(value.toPrecision(digits)) : value, digits, String(Number(value.toPrecision(digits))).length < 12);

/** Return MathML from the server as an element. @param {string} text @param {string} latex */
function math(text, latex) {
  const parsed = new DOMParser().parseFromString(text, "application/xml").documentElement;
  if (parsed.localName !== "math") return h("code", null, latex);
  return h("div", { class: "formula", tabindex: "0", role: "group", "aria-label": "local rule" }, document.importNode(parsed, true));
}

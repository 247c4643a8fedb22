// Search a graph while the user types: list the hits, step through them, and give hints about conditions.

import { fill, h, prose, widget } from "../leaves/dom.js";
import * as format from "../leaves/format.js";

/** @import {GraphSearch, SearchHit} from "../leaves/types.js" */

const TYPING = 120; // milliseconds without a key after which a query is sent
const LISTED = 100; // hits that are listed

/** Queries that show what can be searched. @type {readonly [string, string][]} */
const HINTS = [
  ["nan", "NaN in a gradient or value"],
  ["grad > 1e3", "large gradients"],
  ["grad < 1e-8", "small gradients"],
  ["zero", "gradients that are all 0"],
  ["unused", "no gradient arrived"],
  ["line 12", "made on a line"],
  ["weight softmax", "every word in a name, module, operation or line"],
];

/** Return whether a query ends with a condition that is being typed. @param {string} query */
const unfinished = (query) => /(^|\s)grad(ient)?\s*[<>=]=?\s*([-+]?[\d.]*(e[-+]?)?)$/i.test(query) && !/\d$/.test(query);

/**
 * Make the search field.
 *
 * @param {object} options
 * @param {(query: string) => Promise<GraphSearch>} options.find  raises an error whose message is for people
 * @param {(hit: SearchHit) => void} options.onhit                 show a hit
 * @param {(hits: readonly SearchHit[]) => void} options.onfound   the hits have changed
 * @param {() => void} options.onleave                             return the focus to the graph
 */
export function search({ find, onhit, onfound, onleave }) {
  const input = h("input", {
    type: "search",
    role: "combobox",
    "aria-label": "Search the graph",
    "aria-controls": "hits",
    "aria-expanded": "false",
    "aria-autocomplete": "list",
    "aria-describedby": "hit-count",
    placeholder: "Search",
    autocomplete: "off",
    spellcheck: "false",
    maxlength: 200,
  });
  const count = h("output", { class: "hit-count", id: "hit-count", role: "status" });
  const list = h("ul", { id: "hits", role: "listbox", "aria-label": "Hits" });
  const note = h("p", { class: "note" });
  const more = h("p", { class: "note" });
  const panel = h("div", { class: "hits", hidden: true }, note, list, more);
  const previous = h("button", { type: "button", class: "hit-step", "aria-label": "Previous hit", title: "Previous hit (Shift ↵)", disabled: true, onclick: () => go(-1) }, "‹");
  const next = h("button", { type: "button", class: "hit-step", "aria-label": "Next hit", title: "Next hit (↵)", disabled: true, onclick: () => go(1) }, "›");
  const key = h("kbd", { "aria-hidden": "true" }, "/");
  const element = h("div", { class: "search", role: "search" }, h("span", { class: "search-field" }, input, key, count), previous, next, panel);

  /** @type {readonly SearchHit[]} */
  let hits = [];
  let total = 0;
  let active = -1; // index of the hit that is shown
  let [waiting, latest, asked] = [0, 0, ""];

  /** Show the number of hits, and which of them is shown. */
  function number() {
    const some = asked !== "" && note.textContent === "";
    const of = total.toLocaleString("en");
    fill(count, some && (active < 0 ? format.counted(total, "hit") : `${active + 1} of ${of}`));
    for (const button of [previous, next]) button.disabled = !hits.length;
    element.classList.toggle("asked", asked !== "");
  }

  /** Send the query. */
  async function ask() {
    const [query, mine] = [input.value.trim(), ++latest];
    if (query === asked) return;
    asked = query;
    if (!query) return show([], 0, "");
    if (unfinished(query)) return show([], 0, "A condition compares with a number, as in `grad > 1e3`.");
    try {
      const found = await find(query);
      if (mine === latest) show(found.hits, found.count, "");
    } catch (error) {
      if (mine === latest) show([], 0, error instanceof Error ? error.message : String(error));
    }
  }

  /** @param {readonly SearchHit[]} found @param {number} all @param {string} trouble */
  function show(found, all, trouble) {
    [hits, total, active] = [found, all, -1];
    fill(note, prose(trouble || (asked && !all ? "Nothing matches. Names, operations, modules, lines and parameters are searched." : "")));
    note.hidden = !note.textContent;
    note.className = trouble ? "note bad" : "note";
    fill(list, asked ? hits.slice(0, LISTED).map(option) : HINTS.map(hint));
    list.setAttribute("aria-label", asked ? "Hits" : "Examples of queries");
    input.removeAttribute("aria-activedescendant");
    more.textContent = asked && all > LISTED ? `and ${(all - LISTED).toLocaleString("en")} more` : "";
    more.hidden = !more.textContent;
    number();
    onfound(hits);
  }

  /** @param {SearchHit} hit @param {number} index */
  function option(hit, index) {
    const { kind, name, op, line, norm, matches, way } = hit;
    const inside = matches.find(({ field, text }) => field === "module" && text)?.text ?? way.at(-1)?.split("/")[0]?.replace(/^m:/, "");
    return h(
      "li",
      { id: `hit-${index}`, role: "option", "aria-selected": "false", class: kind, onclick: () => choose(index) },
      h("b", null, name ?? op.replace(/Backward\d*$/, "")),
      h("span", { class: "about" }, [kind === "op" ? inside : kind, line !== null && `line ${line}`].filter(Boolean).join(" · ")),
      norm !== null && h("span", { class: typeof norm === "number" ? "norm" : "norm bad" }, format.number(norm, 3)),
    );
  }

  /** @param {readonly [string, string]} example @param {number} index */
  function hint([query, about], index) {
    const props = { id: `hit-${index}`, role: "option", "aria-selected": "false", class: "hint", onclick: () => take(index) };
    return h("li", props, h("code", null, query), h("span", { class: "about" }, about));
  }

  /** Search with the query of a hint. @param {number} index */
  function take(index) {
    input.value = HINTS[index]?.[0] ?? "";
    input.focus();
    void ask();
  }

  /** Make an option the active one. @param {number} index */
  function mark(index) {
    for (const [i, each] of [...list.querySelectorAll("[role=option]")].entries()) {
      each.setAttribute("aria-selected", String(i === index));
      if (i === index) each.scrollIntoView({ block: "nearest" });
    }
    if (index >= 0 && index < LISTED) input.setAttribute("aria-activedescendant", `hit-${index}`);
  }

  /** Show a hit. @param {number} index */
  function choose(index) {
    const hit = hits[index];
    if (!hit) return;
    active = index;
    mark(index);
    number();
    onhit(hit);
  }

  /** Show the next or the previous hit; without a query, mark the next or the previous hint. @param {1 | -1} by */
  function go(by) {
    const count = asked ? hits.length : HINTS.length;
    if (!count) return;
    const index = active < 0 && by < 0 ? count - 1 : (active + by + count) % count;
    if (asked) return choose(index);
    active = index;
    mark(index);
  }

  /** @param {boolean} on */
  function open(on) {
    panel.hidden = !on;
    input.setAttribute("aria-expanded", String(on));
    element.classList.toggle("open", on);
  }

  input.addEventListener("input", () => {
    open(true);
    clearTimeout(waiting);
    waiting = setTimeout(() => void ask(), TYPING);
  });
  input.addEventListener("focus", () => {
    if (!asked) show([], 0, "");
    open(true);
  });
  element.addEventListener("focusout", ({ relatedTarget }) => {
    if (!(relatedTarget instanceof Node && element.contains(relatedTarget))) open(false);
  });
  panel.addEventListener("pointerdown", (event) => event.preventDefault()); // the field keeps the focus
  input.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter") {
      clearTimeout(waiting);
      if (!input.value.trim() && active >= 0) take(active);
      else void ask().then(() => asked && go(event.shiftKey ? -1 : 1));
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      open(true);
      go(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Escape") {
      if (!panel.hidden && asked) open(false);
      else onleave();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });

  return widget(element, {
    /** Focus the field, and select its text. */
    start() {
      input.focus();
      input.select();
    },
    /** Send the query again, if there is one, because another graph or pass is shown. */
    again() {
      if (!asked) return;
      asked = "";
      void ask();
    },
  });
}

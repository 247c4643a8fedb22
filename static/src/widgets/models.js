// The modules of a model in order, with the norms of their gradients, parameters and updates, and bars relative to one of them.

import { fill, h, widget } from "../leaves/dom.js";
import * as format from "../leaves/format.js";
import { comparison } from "./models/comparison.js";

/** @import {ModelRows, ModuleParameter, ModuleRow, Scalar} from "../leaves/types.js" */

const LEAST = -2; // the scale covers at least the powers of ten from here
const MOST = 1; // to here
const EVEN = 1; // powers of ten from the reference within which a gradient counts as even
const FAR = 3; // a gradient this many powers of ten from the reference vanishes or explodes; the server uses the same limit
const TICK = 40; // least distance between two labels of the scale, in pixels

/** @typedef {{least: number, most: number}} Scale   powers of ten at both ends of the bars */

/**
 * @typedef {object} Line   a row of the table: a module, or a parameter
 * @property {string} key
 * @property {number} level
 * @property {ModuleRow | null} row
 * @property {ModuleParameter | null} parameter
 * @property {boolean} inner   there are rows inside
 * @property {ModuleRow} within  the module itself, or that of the parameter
 */

/**
 * Make the table of modules.
 *
 * @param {object} options
 * @param {(row: ModuleRow) => void} options.onmodule            show a module in the graph
 * @param {(parameter: ModuleParameter) => void} options.onparameter  show a parameter in the graph
 * @param {() => void} options.onopen                        a module was opened: its submodules and parameters are needed
 * @param {(norm: number) => number} options.width              width of an edge in pixels
 */
export function models({ onmodule, onparameter, onopen, width }) {
  const headline = h("b");
  const sentence = h("span");
  const summary = h("p", { class: "trend" }, headline, sentence);
  const reference = h("span");
  const axis = h("div", { class: "axis" });
  const head = h(
    "thead",
    null,
    h(
      "tr",
      null,
      h("th", { scope: "col", class: "module" }, "Module"),
      h("th", { scope: "col", class: "number", title: "L2 norm of the gradient of its parameters. Click two of them to compare them." }, "‖∂L/∂θ‖"),
      h("th", { scope: "col", class: "plot", title: "Gradient relative to the reference, on a logarithmic scale; beyond the dashed lines it vanishes or explodes" }, h("div", { class: "about" }, reference, h("small", null, "smaller ← → larger", h("span", { class: "far" }, " · dashed: vanishing, exploding"))), axis),
      h("th", { scope: "col", class: "number wide", title: "L2 norm of the gradient that arrives at its outputs" }, "arrives"),
      h("th", { scope: "col", class: "number value", title: "L2 norm of its parameters" }, "‖θ‖"),
      h("th", { scope: "col", class: "number ratio", title: "Norm of the update, divided by that of the parameters" }, "‖Δθ‖/‖θ‖"),
    ),
  );
  const body = h("tbody");
  const table = h("table", { role: "treegrid", "aria-multiselectable": "true", "aria-label": "Modules, from the loss downwards" }, head, body);
  const note = h("p", { class: "note" });
  const between = comparison(() => compare(null));
  const element = h("div", { class: "models" }, summary, between, h("div", { class: "scroll" }, table, note));

  /** @type {ModelRows | null} */
  let shown = null;
  /** Paths of the modules that are open; null until the first answer. @type {Set<string> | null} */
  let open = null;
  /** @type {Map<string, ReturnType<typeof line>>} */
  let lines = new Map();
  let order = "";
  /** @type {Scale} */
  let scale = { least: LEAST, most: MOST };
  let ticked = 0; // width for which the scale has labels, in pixels
  let focused = ""; // key of the row that is the tab stop
  /** Keys of the rows that are compared: at most two. @type {readonly string[]} */
  let chosen = [];
  let owner = ""; // the run and the structure that the open rows belong to

  /** Return the rows to show: a row is shown if all modules around it are open. @param {ModelRows} given @returns {Line[]} */
  function visible(given) {
    const levels = given.rows.map(() => 1);
    const hidden = given.rows.map(() => false);
    return given.rows.flatMap((row, i) => {
      const around = row.parent;
      levels[i] = around === null ? 1 : (levels[around] ?? 1) + 1;
      const outer = around === null ? null : given.rows[around];
      hidden[i] = around !== null && (hidden[around] || !open?.has(outer?.path ?? ""));
      if (hidden[i]) return [];
      const level = levels[i] ?? 1;
      const own = open?.has(row.path) ? row.own : [];
      return [
        { key: row.path, level, row, parameter: null, inner: row.inner, within: row },
        ...own.map((parameter) => ({ key: parameter.id, level: level + 1, row: null, parameter, inner: false, within: row })),
      ];
    });
  }

  /** Make a row. @param {Line} made */
  function line({ key, level, row, parameter, inner, within }) {
    const chevron = inner && h("button", { type: "button", class: "chevron", tabindex: -1, "aria-label": "Open or close", onclick: (/** @type {Event} */ event) => (event.stopPropagation(), toggle(key)) });
    const flow = h("i", { class: "flow", "aria-hidden": "true" });
    const name = h("span", { class: "name" });
    const size = h("span", { class: "size" });
    const bar = h("i", { class: "bar" });
    const label = h("span", { class: "factor" });
    const cells = { gradient: h("td", { class: "number grad", title: "Click to compare this gradient with another one" }), arrives: h("td", { class: "number wide grad" }), value: h("td", { class: "number value" }), ratio: h("td", { class: "number ratio" }) };
    const element = h(
      "tr",
      { class: row ? "of-module" : "of-parameter", "aria-level": level, "aria-expanded": inner ? String(open?.has(key) ?? false) : null, tabindex: -1, "data-path": row?.path, "data-node": parameter?.node },
      h("td", { class: "module" }, h("div", { class: "card" }, chevron, flow, name, size)),
      cells.gradient,
      h("td", { class: "plot" }, h("div", { class: "track" }, bar, label)),
      cells.arrives,
      cells.value,
      cells.ratio,
    );
    element.style.setProperty("--level", `${level - 1}`);
    element.addEventListener("click", (event) => {
      if (event.shiftKey || cells.gradient.contains(/** @type {Node} */ (event.target))) compare(key);
      else choose(key);
    });
    // a click with Shift would select the text between two rows
    element.addEventListener("mousedown", (event) => event.shiftKey && event.preventDefault());
    element.addEventListener("focus", () => stop(key));

    return {
      element,
      inner,
      row,
      parameter,
      within,
      /** Write the numbers. @param {Line} now @param {ModuleRow | null} base  the reference */
      write(now, base) {
        [this.row, this.parameter] = [now.row, now.parameter];
        const from = now.row ?? now.parameter;
        if (!from) return;
        const gradient = finite(from.gradient);
        put(name, now.row ? now.row.name + (now.row.calls > 1 ? ` × ${now.row.calls}` : "") : shortName(now.parameter));
        put(size, now.row ? amount(now.row.parameters) : (now.parameter?.shape.join("×") ?? ""));
        put(cells.gradient, number(from.gradient));
        cells.gradient.classList.toggle("bad", from.gradient !== null && gradient === null);
        put(cells.arrives, now.row ? number(now.row.arrives) : "");
        put(cells.value, number(from.value));
        put(cells.ratio, number(from.ratio));
        const wide = now.row ? finite(now.row.arrives) : null;
        flow.style.width = `${wide ? width(wide) : 0}px`;
        const relative = now.row ? finite(now.row.relative) : gradient !== null && base ? gradient / (finite(base.gradient) ?? NaN) : null;
        const itself = now.row !== null && now.row === base;
        const log = relative && relative > 0 ? Math.log10(relative) : null;
        const [zero, at] = [place(0), log === null ? place(0) : place(log)];
        bar.style.left = `${Math.min(zero, at)}%`;
        bar.style.width = `${Math.abs(at - zero)}%`;
        element.classList.toggle("even", log !== null && Math.abs(log) <= EVEN);
        element.classList.toggle("left", at < zero || (at === zero && relative !== null && relative < 1));
        put(label, itself ? "reference" : from.gradient !== null && gradient === null ? "not finite" : gradient === 0 ? "zero" : factor(relative));
        label.style.setProperty("--at", `${at}%`);
      },
    };
  }

  /** Return where a power of ten is on the scale, in percent. @param {number} power */
  const place = (power) => (100 * (Math.min(scale.most, Math.max(scale.least, power)) - scale.least)) / (scale.most - scale.least);

  /** Open or close a module. @param {string} path */
  function toggle(path) {
    if (!open || !shown) return;
    const opened = !open.delete(path);
    if (opened) open.add(path);
    draw();
    lines.get(path)?.element.focus();
    if (opened) onopen();
  }

  /** Show a row in the graph. @param {string} key */
  function choose(key) {
    const found = lines.get(key);
    if (found?.row) onmodule(found.row);
    else if (found?.parameter) onparameter(found.parameter);
  }

  /** Compare a row with the one chosen before, or no longer; null for no comparison. @param {string | null} key */
  function compare(key) {
    if (key === null) chosen = [];
    else chosen = chosen.includes(key) ? chosen.filter((each) => each !== key) : [...chosen.slice(0, 1), key];
    showComparison();
  }

  /** Mark the rows that are compared, and write the comparison with their numbers. */
  function showComparison() {
    chosen = chosen.filter((key) => lines.has(key));
    for (const [key, { element: row }] of lines) row.setAttribute("aria-selected", String(chosen.includes(key)));
    between.show(
      chosen.flatMap((key) => {
        const { row, parameter, within } = lines.get(key) ?? {};
        if (!within || !shown) return [];
        const name = fullName(shown, within) + (parameter ? `.${parameter.name}` : "");
        return [{ key, name, group: row ? `${row.parent} ${row.name.replace(/\d+\]?$/, "")}` : "", gradient: (row ?? parameter)?.gradient ?? null }];
      }),
      shown?.trend?.unit ?? "module",
    );
  }

  /** Make a row the tab stop. @param {string} key */
  function stop(key) {
    lines.get(focused)?.element.setAttribute("tabindex", "-1");
    focused = lines.has(key) ? key : (lines.keys().next().value ?? "");
    lines.get(focused)?.element.setAttribute("tabindex", "0");
  }

  /** Write the rows; those that were shown before keep their elements. */
  function draw() {
    if (!shown) return;
    const given = visible(shown);
    const base = shown.reference === null ? null : (shown.rows[shown.reference] ?? null);
    const before = lines;
    lines = new Map(given.map((each) => [each.key, before.get(each.key) ?? line(each)]));
    for (const each of given) {
      const made = lines.get(each.key);
      made?.write(each, base);
      if (made?.inner) made.element.setAttribute("aria-expanded", String(open?.has(each.key) ?? false));
    }
    const now = given.map(({ key }) => key).join("\n");
    if (now !== order) {
      const held = body.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement) : null;
      fill(body, [...lines.values()].map(({ element }) => element));
      if (held?.isConnected) held.focus({ preventScroll: true });
    }
    order = now;
    stop(focused);
    showComparison();
  }

  /** Widen the scale to the numbers of an answer; it never shrinks while one structure is shown. @param {ModelRows} given */
  function widen(given) {
    const logs = given.rows.flatMap(({ relative }) => {
      const value = finite(relative);
      return value && value > 0 ? [Math.log10(value)] : [];
    });
    const [least, most] = [Math.floor(Math.min(scale.least, ...logs)), Math.ceil(Math.max(scale.most, ...logs))];
    const same = least === scale.least && most === scale.most && ticked === axis.clientWidth;
    if (same && axis.childElementCount) return;
    [scale, ticked] = [{ least, most }, axis.clientWidth];
    const step = Math.ceil((most - least) / Math.max(1, Math.floor(axis.clientWidth / TICK)));
    const ticks = Array.from({ length: most - least + 1 }, (_, i) => least + i).filter((power) => power % step === 0);
    fill(axis, ticks.map((power) => at(h("span", null, power === 0 ? "1" : power === 1 ? "10" : ["10", h("sup", null, `${power}`.replace("-", format.MINUS))]), place(power))));
    for (const [name, power] of Object.entries({ "--zero": 0, "--low": -EVEN, "--high": EVEN, "--vanishing": -FAR, "--exploding": FAR })) table.style.setProperty(name, `${place(power)}%`);
    table.classList.toggle("vanishing", least < -FAR);
    table.classList.toggle("exploding", most > FAR);
  }

  table.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.shiftKey && event.key === "Enter" && event.target instanceof HTMLTableRowElement) compare(focused);
    else if (event.key === "Escape" && chosen.length) compare(null);
    else if (event.shiftKey || !moves(event)) return;
    event.preventDefault();
    event.stopPropagation();
  });

  /** Move the focus, or open, close or choose the focused row. Return false if the key does none of it. @param {KeyboardEvent} event */
  function moves(event) {
    const keys = [...lines.keys()];
    const index = keys.indexOf(focused);
    const here = lines.get(focused);
    const row = here?.row;
    if (event.key === "ArrowDown") focus(keys[index + 1]);
    else if (event.key === "ArrowUp") focus(keys[index - 1]);
    else if (event.key === "Home") focus(keys[0]);
    else if (event.key === "End") focus(keys.at(-1));
    else if (event.key === "Enter" && event.target instanceof HTMLTableRowElement) choose(focused);
    else if (event.key === "ArrowRight" && row && here.inner && !open?.has(row.path)) toggle(row.path);
    else if (event.key === "ArrowRight") focus(keys[index + 1]);
    else if (event.key === "ArrowLeft" && row && open?.has(row.path)) toggle(row.path);
    else if (event.key === "ArrowLeft") {
      const level = Number(here?.element.getAttribute("aria-level") ?? 1);
      focus(keys.slice(0, index).findLast((key) => Number(lines.get(key)?.element.getAttribute("aria-level")) < level));
    } else return false;
    return true;
  }

  new ResizeObserver(() => shown && widen(shown)).observe(axis);

  /** @param {string | undefined} key */
  const focus = (key) => void (key !== undefined && lines.get(key)?.element.focus());

  return widget(element, {
    /**
     * Show the modules of a pass.
     *
     * @param {ModelRows} given
     * @param {string} structure  open rows stay open while the structure is the same
     */
    show(given, structure) {
      if (structure !== owner) {
        [open, lines, order, scale, owner, chosen] = [null, new Map(), "", { least: LEAST, most: MOST }, structure, []];
        axis.replaceChildren();
      }
      shown = given;
      open ??= outermost(given);
      const base = given.reference === null ? null : given.rows[given.reference];
      put(reference, base ? `Relative to ${fullName(given, base)}` : "Relative");
      put(headline, given.trend?.headline ?? "");
      put(sentence, given.trend ? given.trend.sentence.replace(/e([-+])0?(\d)/g, (_, sign, digit) => `e${sign === "-" ? format.MINUS : ""}${digit}`) : "No part of the model is repeated, so there is no trend.");
      note.textContent = [
        given.omitted ? `${given.omitted.toLocaleString("en")} more modules are left out.` : "",
        given.outside.length ? `Leaves outside of modules: ${given.outside.map(({ name, id }) => name || id).join(", ")}.` : "",
      ].join(" ");
      widen(given);
      draw();
    },
    /** Say whether the gradients have not been computed at the playhead. @param {boolean} ahead @param {boolean} updated */
    phase(ahead, updated) {
      element.classList.toggle("ahead", ahead);
      element.classList.toggle("updated", updated);
    },
    /** Return the paths of the modules that are open; none before the first answer. */
    open: () => [...(open ?? [])],
    /** Move the focus into the table. */
    enter: () => focus(focused),
  });
}

/** Return the modules that are open at first: those around all others, and those around the reference. @param {ModelRows} given */
function outermost({ rows, reference }) {
  const children = rows.map((_, i) => rows.filter(({ parent }) => parent === i).length);
  const open = new Set(/** @type {string[]} */ ([]));
  for (const [i, { path, parent }] of rows.entries()) {
    const outer = parent === null ? null : rows[parent];
    const only = outer === null || (outer && open.has(outer.path) && rows.filter((each) => each.parent === parent).length === 1);
    if (only && (children[i] ?? 0) > 0) open.add(path);
  }
  for (let around = rows[reference ?? -1]?.parent ?? null; around !== null; around = rows[around]?.parent ?? null) open.add(rows[around]?.path ?? "");
  return open;
}

/** Return the name of a module; of a module that is only numbered, with the name of the module around it. @param {ModelRows} given @param {ModuleRow} row */
function fullName({ rows }, { name, parent }) {
  const around = parent === null ? undefined : rows[parent];
  return around && /^\d+$/.test(name) ? `${around.name}.${name}` : name;
}

/** Put text into an element if it differs. @param {Element} element @param {string} text */
const put = (element, text) => void (element.textContent !== text && (element.textContent = text));

/** Position an element along the scale. @template {HTMLElement} E @param {E} element @param {number} percent */
function at(element, percent) {
  element.style.left = `${percent}%`;
  return element;
}

/** @param {Scalar | null | undefined} value */
const finite = (value) => (typeof value === "number" ? value : null);

/** @param {Scalar | null | undefined} value */
const number = (value) => (value === null || value === undefined ? "–" : format.number(value, 3));

/** Return the factor between a gradient and that of the reference. @param {number | null} relative */
function factor(relative) {
  if (relative === null || !(relative > 0)) return "";
  const [sign, size] = relative < 1 ? ["÷", 1 / relative] : ["×", relative];
  return `${sign} ${size < 9.95 ? size.toFixed(1) : size < 999.5 ? Math.round(size) : size.toExponential(1).replace("e+", "e")}`;
}

/** Return the number of elements in a few characters, such as 197.8 k. @param {number} count */
function amount(count) {
  if (count < 1000) return String(count);
  const [size, unit] = count < 1e6 ? [count / 1e3, "k"] : count < 1e9 ? [count / 1e6, "M"] : [count / 1e9, "G"];
  return `${size < 100 ? size.toFixed(1) : Math.round(size)} ${unit}`;
}

/** Return the last part of a parameter's name. @param {ModuleParameter | null} parameter */
const shortName = (parameter) => parameter?.name.split(".").at(-1) || parameter?.id || "";

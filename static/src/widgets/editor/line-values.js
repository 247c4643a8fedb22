// Show the recording in the editor: the value at the end of each line, its phase and error, and a cell's output below it.

import { RangeSet, StateEffect, StateField } from "@codemirror/state";
import { Decoration, EditorView, GutterMarker, WidgetType, gutterLineClass } from "@codemirror/view";
import { h, prose } from "../../leaves/dom.js";
import { units } from "../../leaves/edits.js";
import { NONE } from "../../leaves/format.js";

/** @import {Range, Text, Transaction} from "@codemirror/state" */
/** @import {Frame} from "../../leaves/traceback.js" */
/** @import {CellShown, Printed} from "../../leaves/types.js" */

/**
 * @typedef {object} Margin
 * @property {Map<number, {text: string, title: string, tone: string, literal?: string | null}>} notes    literal: Python that makes the value
 * @property {Map<number, string>} active
 * @property {{line: number, columns: [number, number] | null} | null} selected
 * @property {{line: number, columns: [number, number] | null, type: string, message: string, frames: readonly Frame[]} | null} error    frames: the callers, the outermost first
 * @property {readonly number[]} found
 */

const LONGEST = 20_000; // maximum characters of an output
const MOST_CALLS = 12; // calls shown below an error

/** Replaces the margin. @type {import("@codemirror/state").StateEffectType<Margin>} */
export const setMargin = StateEffect.define();
/** Replaces the cells. @type {import("@codemirror/state").StateEffectType<readonly CellShown[]>} */
export const setCells = StateEffect.define();

/**
 * What the user does with a line's value.
 *
 * @typedef {object} Actions
 * @property {(line: number) => void} onpick
 * @property {(line: number) => void} oncopy
 * @property {((line: number) => void) | null} onwatch   null where nothing can be watched
 */

/** The value of a line, at its end. */
class Value extends WidgetType {
  /** @param {string} text @param {string} title @param {string} tone @param {Actions} actions @param {boolean} [copied]  it can be copied */
  constructor(text, title, tone, actions, copied = false) {
    super();
    this.copied = copied;
    this.text = text;
    this.title = title;
    this.tone = tone;
    this.actions = actions;
  }
  /** @override @param {Value} other */
  eq(other) {
    return this.text === other.text && this.tone === other.tone && this.title === other.title && this.copied === other.copied;
  }
  /** @override @param {EditorView} view */
  toDOM(view) {
    const copy = this.copied && h("span", { class: "cm-copy", title: "Copy as Python (Alt C)", "aria-hidden": "true" });
    const watch = this.actions.onwatch && h("span", { class: "cm-watch", title: "Watch an expression after this line (Alt W)", "aria-hidden": "true" });
    const dom = h("span", { class: `cm-value ${this.tone}`, title: this.title }, watch, copy, this.text);
    dom.addEventListener("mousedown", (event) => {
      event.preventDefault();
      const line = view.state.doc.lineAt(view.posAtDOM(dom)).number;
      if (event.target === copy) this.actions.oncopy(line);
      else if (event.target === watch) this.actions.onwatch?.(line);
      else this.actions.onpick(line);
    });
    return dom;
  }
  /** @override */
  ignoreEvent() {
    return true;
  }
}

/** An error's message, and the calls that led to it, under its line. */
class Message extends WidgetType {
  /** @param {string} text @param {readonly Frame[]} calls  the innermost first @param {readonly string[]} source  lines of the program @param {Actions} actions */
  constructor(text, calls, source, actions) {
    super();
    this.text = text;
    this.calls = calls;
    this.source = source;
    this.actions = actions;
  }
  /** @override @param {Message} other */
  eq(other) {
    return this.text === other.text && this.calls.length === other.calls.length && this.calls.every(({ line }, i) => line === other.calls[i]?.line);
  }
  /** @override */
  toDOM() {
    const call = (/** @type {Frame} */ { line, name }) =>
      h(
        "li",
        null,
        `called ${name === "<module>" ? "by the program" : `in ${name}`}, `,
        h("button", { type: "button", class: "to", onclick: () => this.actions.onpick(line) }, `line ${line}`),
        ": ",
        h("code", null, (this.source[line - 1] ?? "").trim()),
      );
    const calls = this.calls.length > 0 && h("ol", { class: "calls", "aria-label": "Calls that led to the error" }, this.calls.slice(0, MOST_CALLS).map(call));
    return h("div", { class: "cm-below error" }, block("Error", this.text, prose), calls);
  }
  /** @override */
  ignoreEvent() {
    return true;
  }
}

/** A cell's printed output and value, under the cell. */
class Output extends WidgetType {
  /** @param {readonly Printed[]} printed @param {string} value @param {boolean} over  the cell has finished at the playhead */
  constructor(printed, value, over) {
    super();
    this.printed = printed;
    this.value = value;
    this.over = over;
  }
  /** @override @param {Output} other */
  eq(other) {
    return samePrinted(this.printed, other.printed) && this.value === other.value && this.over === other.over;
  }
  /** @override */
  toDOM() {
    const { printed, value, over } = this;
    if (over) return h("div", { class: "cm-below output" }, output(printed, value));
    return h(
      "div",
      { class: "cm-below output" },
      printed.length > 0 && [h("p", { class: "when" }, "printed by the end of the run"), h("div", { class: "later" }, output(printed, ""))],
      value && h("pre", { class: "off", title: "not run yet" }, NONE),
    );
  }
  /** @override */
  ignoreEvent() {
    return true;
  }
}

/** The Markdown of a notebook, above or below a cell, as it was written. */
class Prose extends WidgetType {
  /** @param {readonly string[]} texts */
  constructor(texts) {
    super();
    this.text = texts.join("\n\n");
  }
  /** @override @param {Prose} other */
  eq(other) {
    return this.text === other.text;
  }
  /** @override */
  toDOM() {
    const paragraphs = this.text.split(/\n{2,}|(?<=^#.*)\n/m).map((text) => {
      const title = /^#{1,6} +(.*)$/.exec(text);
      return title ? h("p", { class: "title" }, title[1]) : h("p", null, text);
    });
    return h("div", { class: "cm-prose" }, paragraphs);
  }
  /** @override */
  ignoreEvent() {
    return true;
  }
}

/**
 * Make the block of a cell's printed text, with stderr marked, and its value.
 *
 * @param {readonly Printed[]} printed
 * @param {string} value
 */
function output(printed, value) {
  const whole = printed.map(({ text }) => text).join("");
  const separated = value && whole && !whole.endsWith("\n") ? `\n${value}` : value;
  return block("Output", whole + separated, (text) => {
    let from = 0;
    /** @type {import("../../leaves/dom.js").Child[]} */
    const parts = printed.map(({ stream, text: { length } }) => {
      const part = text.slice(from, (from += length));
      return stream === "stderr" && part ? h("span", { class: "stderr" }, h("span", { class: "stream" }, "stderr"), part) : part;
    });
    return [...parts, text.slice(from)];
  });
}

/** Return whether two cells printed the same. @param {readonly Printed[]} one @param {readonly Printed[]} other */
export function samePrinted(one, other) {
  return one.length === other.length && one.every(({ stream, text }, i) => stream === other[i].stream && text === other[i].text);
}

/** Make a block of text, which can be focused to scroll it if it is long. @param {string} label @param {string} text @param {(text: string) => import("../../leaves/dom.js").Child} [write] */
function block(label, text, write = (plain) => plain) {
  return h(
    "pre",
    { "aria-label": label, role: "group", tabindex: text.split("\n").length > 8 ? 0 : null },
    write(text.slice(0, LONGEST)),
    text.length > LONGEST && "\n… cut here: the JSON export has the whole text",
  );
}

/** A class for a line's number. */
class LineNumberClass extends GutterMarker {
  /** @param {string} name */
  constructor(name) {
    super();
    this.elementClass = name;
  }
}
const SELECTED = new LineNumberClass("cm-picked-number");
const CELL = new LineNumberClass("cm-cell-number");
const FOUND = new LineNumberClass("cm-found-number");
const FAILED = new LineNumberClass("cm-failed-number");
const CALLER = new LineNumberClass("cm-caller-number");
const PLAYED = new Map(["forward", "loss", "backward", "update"].map((phase) => [phase, new LineNumberClass(`cm-at-${phase}`)]));

/**
 * @typedef {{decorations: import("@codemirror/view").DecorationSet, numbers: import("@codemirror/state").RangeSet<GutterMarker>, stale: boolean}} Shown
 */

/** Return the editor's extension. @param {Actions} actions */
export function lineValues(actions) {
  /** @param {Margin} margin @param {Text} doc @returns {Shown} */
  function show(margin, doc) {
    /** @type {Range<Decoration>[]} */
    const marks = [];
    /** @type {Range<GutterMarker>[]} */
    const numbers = [];
    const exists = (/** @type {number} */ line) => line >= 1 && line <= doc.lines;
    for (const [line, phase] of margin.active) {
      if (!exists(line) || line === margin.error?.line) continue;
      marks.push(Decoration.line({ class: `cm-phase ${phase}` }).range(doc.line(line).from));
      const played = PLAYED.get(phase);
      if (played) numbers.push(played.range(doc.line(line).from));
    }
    for (const [line, { text, title, tone, literal }] of margin.notes) {
      if (exists(line))
        marks.push(Decoration.widget({ widget: new Value(text, title, tone, actions, Boolean(literal)), side: 1 }).range(doc.line(line).to));
    }
    const { selected, error, found } = margin;
    for (const line of new Set(found)) if (exists(line)) numbers.push(FOUND.range(doc.line(line).from));
    if (selected && exists(selected.line)) {
      const line = doc.line(selected.line);
      marks.push(Decoration.line({ class: "cm-picked" }).range(line.from));
      numbers.push(SELECTED.range(line.from));
      markColumns(line, selected.columns, "cm-picked-span", marks);
    }
    if (error && exists(error.line)) {
      const line = doc.line(error.line);
      marks.push(Decoration.line({ class: "cm-failed" }).range(line.from));
      marks.push(Decoration.widget({ widget: new Value(error.type, error.message, "bad", actions), side: 1 }).range(line.to));
      const calls = error.frames.filter((frame) => frame.line !== error.line && exists(frame.line)).reverse();
      const source = calls.length ? doc.toString().split("\n") : [];
      marks.push(Decoration.widget({ widget: new Message(error.message, calls, source, actions), side: 2, block: true }).range(line.to));
      for (const frame of calls) {
        const caller = doc.line(frame.line);
        numbers.push(CALLER.range(caller.from));
        markColumns(caller, frame.columns ?? [/^\s*/.exec(caller.text)?.[0].length ?? 0, caller.text.length], "cm-caret", marks);
      }
      numbers.push(FAILED.range(line.from));
      markColumns(line, error.columns, "cm-caret", marks);
    }
    return { decorations: Decoration.set(marks, true), numbers: ranges(numbers), stale: false };
  }

  /** @type {StateField<Shown>} */
  const field = StateField.define({
    create: () => EMPTY,
    update(value, transaction) {
      const effect = transaction.effects.find((each) => each.is(setMargin));
      if (effect) return show(effect.value, transaction.newDoc);
      if (!transaction.docChanged) return value;
      if (removed(transaction, 0, transaction.startState.doc.length)) return { ...EMPTY, stale: true };
      return {
        decorations: value.decorations.map(transaction.changes),
        numbers: value.numbers.map(transaction.changes),
        stale: true,
      };
    },
    provide: (self) => [
      EditorView.decorations.from(self, ({ decorations }) => decorations),
      gutterLineClass.from(self, ({ numbers }) => numbers),
      EditorView.editorAttributes.from(self, ({ stale }) => ({ class: stale ? "cm-stale" : "" })),
    ],
  });
  return [field, cells];
}

/** @type {Shown} */
const EMPTY = { decorations: Decoration.none, numbers: RangeSet.empty, stale: false };

/** Return whether a transaction removed a whole range. @param {Transaction} transaction @param {number} from @param {number} to */
function removed({ changes }, from, to) {
  let all = false;
  changes.iterChangedRanges((start, end) => (all ||= start <= from && end >= to && from < to));
  return all;
}

/** @param {Range<GutterMarker>[]} numbers */
const ranges = (numbers) => RangeSet.of(numbers, true);

/**
 * Mark some columns of a line.
 *
 * @param {{from: number, to: number, text: string}} line
 * @param {[number, number] | null} columns
 * @param {string} name
 * @param {Range<Decoration>[]} marks
 */
function markColumns(line, columns, name, marks) {
  if (!columns) return;
  const from = line.from + units(line.text, columns[0]);
  const to = Math.min(line.to, line.from + units(line.text, columns[1]));
  if (from < to) marks.push(Decoration.mark({ class: name }).range(from, to));
}

/**
 * @typedef {{shown: readonly CellShown[], starts: readonly number[], decorations: import("@codemirror/view").DecorationSet, numbers: RangeSet<GutterMarker>}} Cells
 */

/**
 * The cells of a notebook, with a rule between them and their output below. They move with edits of the text.
 *
 * @type {StateField<Cells>}
 */
export const cells = StateField.define({
  create: () => /** @type {Cells} */ ({ shown: [], starts: [], decorations: Decoration.none, numbers: RangeSet.empty }),
  update(value, transaction) {
    const effect = transaction.effects.find((each) => each.is(setCells));
    if (effect) return decorate(effect.value, transaction.newDoc);
    if (!transaction.docChanged) return value;
    const { changes } = transaction;
    if (removed(transaction, 0, transaction.startState.doc.length)) return { shown: [], starts: [], decorations: Decoration.none, numbers: RangeSet.empty };
    return {
      ...value,
      starts: value.starts.map((start) => changes.mapPos(start, -1)),
      decorations: value.decorations.map(changes),
      numbers: value.numbers.map(changes),
    };
  },
  provide: (self) => [
    EditorView.decorations.from(self, ({ decorations }) => decorations),
    gutterLineClass.from(self, ({ numbers }) => numbers),
  ],
});

/** @param {readonly CellShown[]} shown @param {Text} doc @returns {Cells} */
function decorate(shown, doc) {
  /** @type {Range<Decoration>[]} */
  const marks = [];
  /** @type {Range<GutterMarker>[]} */
  const numbers = [];
  const inside = shown.filter(({ start_line, end_line }) => start_line >= 1 && end_line <= doc.lines && start_line <= end_line);
  /** @param {readonly string[] | undefined} texts @param {number} at @param {number} side */
  const prose = (texts, at, side) => {
    if (texts?.length) marks.push(Decoration.widget({ widget: new Prose(texts), side, block: true }).range(at));
  };
  for (const { index, end_line, start_line, printed, output: value, over, markdown, markdown_below, name, number } of inside) {
    prose(markdown, doc.line(start_line).from, -1);
    prose(markdown_below, doc.line(end_line).to, 4);
    if (index > 0 || name || number != null) {
      const label = number == null ? name || `cell ${index + 1}` : `${name || "In"} [${number}]`;
      marks.push(Decoration.line({ class: index ? "cm-cell" : "cm-cell first", attributes: { "data-cell": label } }).range(doc.line(start_line).from));
      numbers.push(CELL.range(doc.line(start_line).from));
    }
    if (printed.length || value)
      marks.push(
        Decoration.widget({ widget: new Output(printed, value?.replace(/\n$/, "") ?? "", over), side: 3, block: true }).range(
          doc.line(end_line).to,
        ),
      );
  }
  return {
    shown,
    starts: inside.map(({ start_line }) => doc.line(start_line).from),
    decorations: Decoration.set(marks, true),
    numbers: ranges(numbers),
  };
}

/** Return the first lines of the cells. @param {import("@codemirror/state").EditorState} state */
export const cellStarts = (state) => [...new Set(state.field(cells).starts.map((start) => state.doc.lineAt(start).number))];

// Show a program that cannot be edited, with the values of its lines at the playhead. The server writes its lines into the page.

import { h, prose, widget } from "../leaves/dom.js";

/** @import {CellShown} from "../leaves/types.js" */
/** @import {Margin} from "../core/margin.js" */

const NOT_RUN = "·";

/**
 * Take over the list of lines that the server wrote.
 *
 * @param {HTMLElement} list
 * @param {{onpick: (line: number) => void}} options
 */
export function listing(list, { onpick }) {
  const rows = /** @type {HTMLElement[]} */ ([...list.querySelectorAll(":scope > li[id]")]); // not a notebook's Markdown
  /** What each line shows beside its text, to leave an unchanged line alone. @type {string[]} */
  const shown = [];
  /** @type {readonly CellShown[]} */
  let cells = [];

  for (const [at, row] of rows.entries()) {
    row.addEventListener("click", () => getSelection()?.isCollapsed !== false && onpick(at + 1));
  }

  /** Return what a line has beside and below its text. @param {number} line @param {Margin} margin */
  function beside(line, { notes, error }) {
    const note = notes.get(line);
    const failed = error?.line === line ? error : null;
    const cell = cells.find(({ end_line }) => end_line === line);
    const below = cell && (cell.printed.length || cell.output) ? cell : null;
    return { note, failed, below };
  }

  /** Return the element of a line's value, if it has one. @param {ReturnType<typeof beside>} content */
  function valueOf({ note, failed }) {
    if (failed) return h("output", { class: "cm-value bad", title: failed.message }, failed.type);
    return note && h("output", { class: `cm-value ${note.tone}`.trim(), title: note.title }, note.text);
  }

  /** Return the elements below a line. @param {ReturnType<typeof beside>} content */
  function elements({ failed, below }) {
    const off = below && !below.over ? "off" : null;
    const printed = below?.printed.map(({ stream, text }) => (stream === "stderr" ? h("span", { class: "stderr" }, h("span", { class: "stream" }, "stderr"), text) : text));
    return [
      failed && h("div", { class: "cm-below error" }, h("pre", null, prose(failed.message))),
      printed?.length && h("div", { class: "printed cm-below output" }, off && h("p", { class: "when" }, "printed by the end of the run"), h("pre", { class: off }, printed)),
      below?.output && h("div", { class: "cm-below output" }, h("pre", { class: off, title: off && "not run yet" }, off ? NOT_RUN : below.output)),
    ].filter((each) => each instanceof Element);
  }

  return widget(list, {
    /** Show the values of the lines, the lines of the phase, and the selected line. @param {Margin} margin */
    show(margin) {
      for (const [at, row] of rows.entries()) {
        const line = at + 1;
        const content = beside(line, margin);
        const key = JSON.stringify(content);
        const tone = content.failed ? "failed" : (margin.active.get(line) ?? "");
        row.className = margin.selected?.line === line ? `${tone} picked` : tone;
        if (shown[at] === key) continue;
        shown[at] = key;
        for (const old of row.querySelectorAll(":scope > div, output")) old.remove();
        row.querySelector("pre")?.append(valueOf(content) ?? "");
        row.append(...elements(content));
      }
    },
    /** Set the cells with their printed text, which is shown with the next values. @param {readonly CellShown[]} now */
    cells(now) {
      cells = now;
    },
    /** Bring a line into view. @param {number} line */
    reveal(line) {
      rows[line - 1]?.scrollIntoView({ block: "nearest" });
    },
    /** Bring the first line of the phase into view, as far as the list itself scrolls. */
    follow() {
      const first = rows.find((row) => /forward|loss|backward|update|failed/.test(row.className));
      const box = list.closest(".scroll");
      if (!first || !box) return;
      const [own, around] = [first.getBoundingClientRect(), box.getBoundingClientRect()];
      if (own.top < around.top || own.bottom > around.bottom) box.scrollTop += own.top - around.top - around.height / 3;
    },
  });
}

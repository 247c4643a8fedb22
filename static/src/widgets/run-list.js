// A dialog with the caller's runs: search, open, rename and delete them.

import { fill, h, widget } from "../leaves/dom.js";
import * as format from "../leaves/format.js";
import { ago } from "../leaves/time.js";

/** @import {RunHeading} from "../leaves/types.js" */

/** How a run ended, unless it is done. @type {Readonly<Record<string, string>>} */
const ENDED = {
  queued: "waiting",
  running: "running",
  failed: "error",
  timed_out: "stopped at the time limit",
  out_of_memory: "out of memory",
  output_limit: "recording too large",
  killed: "ended early",
  cancelled: "stopped",
  interrupted: "interrupted",
};

/**
 * Make the dialog.
 *
 * @param {object} options
 * @param {string} options.kept  how long runs are kept, as a sentence
 * @param {(id: string) => void} options.onopen
 * @param {(id: string, title: string) => Promise<RunHeading | null>} options.onrename  null if it failed
 * @param {(id: string) => Promise<boolean>} options.ondelete  false if it failed
 * @param {() => void} options.onolder  fetch older runs
 * @param {(id: string) => string} options.pictureOf  address of the picture of a run's first pass
 */
export function runList({ kept, onopen, onrename, ondelete, onolder, pictureOf }) {
  const search = h("input", { type: "search", class: "text-field", placeholder: "Search titles", "aria-label": "Search your runs" });
  const list = h("ul", { class: "run-list" });
  const older = h("button", { type: "button", class: "btn", onclick: onolder, hidden: true }, "Show older runs");
  const close = h("button", { type: "button", class: "btn ghost icon", "aria-label": "Close", onclick: () => element.close() }, "×");
  const element = h(
    "dialog",
    { class: "runs", "aria-labelledby": "runs-title" },
    h("div", { class: "runs-head" }, h("h2", { id: "runs-title" }, "My runs"), search, close),
    h("p", { class: "mute" }, kept),
    list,
    older,
  );
  /** @type {readonly RunHeading[]} */
  let runs = [];
  let current = /** @type {string | null} */ (null);
  let edited = /** @type {ReadonlySet<string>} */ (new Set());
  let loading = false;
  let from = /** @type {(id: string) => string | null} */ (() => null);

  /** @param {RunHeading} run */
  function row(run) {
    const { id, title, status, steps, created } = run;
    const facts = [
      steps ? format.counted(steps, "step") : "no steps",
      ago(Date.parse(created)),
      ENDED[status] && h("span", { class: status === "failed" ? "bad" : "" }, ENDED[status]),
      edited.has(id) && "edited since",
      id === current && "shown now",
      from(id) && `edited from ${format.cut(from(id) ?? "", 40)}`,
    ].filter(Boolean);
    const item = h("li", { "data-run": id });
    const picture = steps > 0 && h("img", { src: pictureOf(id), alt: "", loading: "lazy", onerror: () => picture && picture.remove() });
    fill(
      item,
      h(
        "button",
        { type: "button", class: "open", onclick: () => (element.close(), onopen(id)) },
        h("span", { class: "pictured" }, picture),
        h("b", null, title),
        h("small", null, facts.flatMap((fact, i) => [i ? " · " : "", fact])),
      ),
      h("button", { type: "button", class: "btn ghost", "aria-label": `Rename ${title}`, onclick: () => rename(item, run) }, "Rename"),
      h("button", { type: "button", class: "btn ghost", "aria-label": `Delete ${title}`, onclick: () => confirm(item, run) }, "Delete"),
    );
    return item;
  }

  /** @param {HTMLElement} item @param {RunHeading} run */
  function rename(item, run) {
    const input = h("input", { class: "text-field", value: run.title, maxlength: 80, "aria-label": "New title" });
    const form = h("form", { class: "renaming" }, input, h("button", { class: "btn primary" }, "Save"), h("button", { type: "button", class: "btn ghost", onclick: draw }, "Cancel"));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const renamed = await onrename(run.id, input.value);
      if (renamed) runs = runs.map((each) => (each.id === run.id ? renamed : each));
      draw();
      refocus(run.id);
    });
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault(); // keeps the dialog open
      draw();
      refocus(run.id);
    });
    fill(item, form);
    input.select();
  }

  /** @param {HTMLElement} item @param {RunHeading} run */
  function confirm(item, run) {
    const remove = async () => {
      if (await ondelete(run.id)) runs = runs.filter(({ id }) => id !== run.id);
      draw();
      search.focus();
    };
    const yes = h("button", { type: "button", class: "btn primary", onclick: remove }, "Delete");
    fill(item, h("span", { class: "asked" }, "Delete “", run.title, "” for everybody who has its link?"), yes, h("button", { type: "button", class: "btn ghost", onclick: draw }, "Keep"));
    yes.focus();
  }

  /** @param {string} id */
  const refocus = (id) => /** @type {HTMLElement | null} */ (list.querySelector(`[data-run="${id}"] .open`))?.focus();

  function draw() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = runs.filter(({ title }) => words.every((word) => title.toLowerCase().includes(word)));
    fill(
      list,
      found.map(row),
      !found.length &&
        h("li", { class: "none" }, loading ? "Loading…" : runs.length ? "No title contains these words." : "No runs yet. Each program that you run in this browser is listed here."),
    );
  }
  search.addEventListener("input", draw);

  return widget(element, {
    /**
     * Show runs, newest first.
     *
     * @param {readonly RunHeading[]} found
     * @param {{current: string | null, edited: ReadonlySet<string>, more: boolean, loading?: boolean, from: (id: string) => string | null}} about  edited: runs with a draft; from: title of the run that a run was edited from
     */
    show(found, about) {
      runs = found;
      ({ current, edited, from } = about);
      loading = about.loading ?? false;
      older.hidden = !about.more;
      draw();
    },
  });
}

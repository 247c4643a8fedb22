// Code that the reader of a lesson writes: an editor, hints, the solution, and the verdict of the server.

import { fill, find, h, widget } from "../../leaves/dom.js";

/** @import {Child} from "../../leaves/dom.js" */

/**
 * @typedef {{passed: boolean, content: Child}} Verdict
 * @typedef {{text: () => string, replace: (text: string) => void}} CodeField
 */

/**
 * Turn the section that the server wrote into a task.
 *
 * @param {HTMLElement} section
 * @param {object} options
 * @param {string | null} options.kept                        the code of an earlier visit
 * @param {(code: string, signal: AbortSignal) => Promise<Verdict>} options.judge   run the code, and judge it
 * @param {(code: string, done: boolean) => void} options.onattempt
 * @param {(doc: string, label: string, onrun: () => void) => Promise<{element: Element, field: CodeField}>} options.editor   loads the editor
 * @param {string} options.keys                               the keys that run the code
 */
export function attempt(section, { kept, judge, onattempt, editor, keys }) {
  const starter = /** @type {HTMLTemplateElement} */ (section.querySelector("template.starter")).content.textContent ?? "";
  const label = find("h3", section).textContent ?? "";
  const area = h("textarea", { "aria-label": `${label}: your code`, rows: Math.min(16, Math.max(2, (kept ?? starter).split("\n").length + 1)), spellcheck: "false", autocapitalize: "off", autocomplete: "off" });
  area.value = kept ?? starter;
  /** @type {CodeField} */
  let code = { text: () => area.value, replace: (text) => void (area.value = text) };
  const field = h("div", { class: "field" }, area);
  const hints = /** @type {HTMLElement[]} */ ([...section.querySelectorAll("details.hint > div")]);
  const solution = section.querySelector("details.solution pre");
  const given = h("div");
  const verdict = h("div", { class: "verdict", role: "status" });
  let request = new AbortController();
  let running = false;

  const runs = h("button", { type: "button", class: "btn primary", onclick: () => (running ? request.abort() : void run()) });
  const hint = h("button", { type: "button", class: "to", onclick: () => nextHint() });
  const solve = h("button", { type: "button", class: "to", onclick: () => showSolution() }, "Show the solution");
  const again = h("button", { type: "button", class: "to", onclick: () => startOver() }, "Start over");
  const tools = h("div", { class: "tools-of-task" }, runs, hint, solve, h("span", { class: "space" }), again);
  section.append(field, given, tools, verdict);
  let shown = 0;

  /** Show how many hints are left, and what the button does. */
  function present() {
    hint.hidden = shown >= hints.length;
    hint.textContent = hints.length > 1 ? `Hint ${shown + 1} of ${hints.length}` : "Hint";
    fill(runs, running ? "Stop" : "Run", !running && h("kbd", { class: "from-760" }, keys));
  }

  function nextHint() {
    const next = hints[shown++];
    if (next) given.append(h("div", { class: "hint-given" }, [...next.childNodes].map((node) => node.cloneNode(true))));
    present();
  }

  function showSolution() {
    code.replace(solution?.textContent ?? "");
    solve.hidden = true;
    fill(verdict, h("p", { class: "mute" }, "This is one solution. Run it, change it, and see which changes still pass."));
  }

  function startOver() {
    code.replace(starter);
    solve.hidden = false;
    fill(verdict);
  }

  async function run() {
    if (running) return;
    if (!code.text().trim()) return fill(verdict, h("p", null, "There is no code yet. Write a line, or press Start over."));
    running = true;
    request = new AbortController();
    present();
    fill(verdict, h("p", { class: "mute" }, "Running…"));
    const text = code.text();
    try {
      const { passed, content } = await judge(text, request.signal);
      fill(verdict, h("p", { class: passed ? "first" : "first wrong" }, h("span", { "aria-hidden": "true" }, passed ? "✓" : "✗"), passed ? "Right." : "Not yet."), content);
      onattempt(text, passed);
    } catch (error) {
      fill(verdict, h("p", null, request.signal.aborted ? "Stopped." : error instanceof Error ? error.message : String(error)));
    } finally {
      running = false;
      present();
    }
  }

  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void (event.preventDefault(), run());
  });

  /** Replace the plain field by the editor, once it is loaded. */
  async function improve() {
    const { element, field: better } = await editor(code.text(), `${label}: your code`, () => void run());
    better.replace(code.text()); // it may have changed meanwhile
    const focused = document.activeElement === area;
    fill(field, element);
    code = better;
    if (focused) /** @type {HTMLElement | null} */ (element.querySelector("[contenteditable]"))?.focus();
  }
  const near = new IntersectionObserver((entries) => {
    if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
    near.disconnect();
    void improve().catch(() => {}); // the plain field still works
  }, { rootMargin: "400px" });
  near.observe(section);
  present();

  return widget(section, {});
}

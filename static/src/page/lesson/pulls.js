// Run a program of the lesson again while a number in it is dragged: the stage and the numbers of the text follow.

import * as format from "../../leaves/format.js";
import { drag } from "../../widgets/lesson/drag.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {Checked, Run} from "../../leaves/types.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */
/** @import {Given} from "./types.js" */
/** @typedef {ReturnType<typeof import("./views.js").views>} Views */
/** @typedef {ReturnType<typeof drag>} Puller */

const REST = 250; // milliseconds without a change after which the slope is measured
const ELEMENTS = 4; // elements of a parameter whose slope is measured

/**
 * Set up the numbers that can be dragged.
 *
 * @param {object} options
 * @param {Given} options.given
 * @param {Client} options.api
 * @param {Store<State>} options.state
 * @param {ReturnType<typeof import("./progress.js").progress>} options.kept
 * @param {Views} options.shown
 * @param {(section: HTMLElement) => void} options.show
 * @param {Map<string, Run>} options.dragged
 * @param {readonly HTMLElement[]} options.sections
 * @param {ReadonlyMap<HTMLElement, {again: () => void}>} options.questions
 */
export function pulls({ given, api, state, kept, shown, show, dragged, sections, questions }) {
  /** The texts of the article's numbers as the lesson states them. @type {Map<HTMLElement, string>} */
  const stated = new Map();

  /** Write numbers of the text, by id; null writes those of the lesson. @param {Readonly<Record<string, string>> | null} numbers */
  function write(numbers) {
    for (const element of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("article [data-number]"))) {
      if (element.closest(".seen")) continue;
      const { number = "", reply, answer } = element.dataset;
      const field = answer !== undefined ? "answer" : reply !== undefined ? "reply" : null;
      const before = field ? (element.dataset[field] ?? "") : (element.textContent ?? "");
      if (!stated.has(element)) stated.set(element, before);
      const text = numbers ? numbers[number]?.replace(/(?<![\w)\]])-/g, format.MINUS) : stated.get(element);
      if (text === undefined || text === before) continue;
      if (field) element.dataset[field] = text;
      else element.textContent = text;
      if (!field) element.classList.remove("changed");
      if (!field) requestAnimationFrame(() => element.classList.add("changed"));
      if (field === "answer") {
        const shownAnswer = element.querySelector(".answer b");
        if (shownAnswer) shownAnswer.textContent = text;
        questions.get(element)?.again();
      }
    }
  }

  for (const section of sections) {
    const { name = "", recording = "", value: own = "" } = section.dataset;
    if (!own || !given.runs[recording]) continue;
    const first = Number(own);
    let [wanted, current] = [first, first];
    let running = false;
    let resting = 0;

    /** @type {Puller} */
    const puller = drag(section, {
      value: first,
      onpull(to) {
        wanted = to;
        kept.keep(section.id, { done: true, answer: String(to) });
        if (!running) void follow();
      },
    });

    /** Run the program until its number is the one that is wanted. */
    async function follow() {
      running = true;
      show(section);
      try {
        while (wanted !== current) {
          current = wanted;
          if (current === first) apply(null, null);
          else {
            const { run, numbers } = await api.pull(given.lesson, name, current);
            if (current === wanted) apply(run, numbers);
          }
        }
      } catch (error) {
        puller.say(error instanceof Error ? error.message : String(error));
        current = NaN; // the next change tries again
      } finally {
        running = false;
      }
    }

    /** @param {Run | null} run @param {Record<string, string> | null} numbers  null: those of the lesson */
    function apply(run, numbers) {
      if (run) dragged.set(recording, run);
      else dragged.delete(recording);
      show(section);
      shown.refresh();
      write(numbers);
      clearTimeout(resting);
      resting = setTimeout(() => void measure(run ?? given.runs[recording] ?? null), REST);
    }

    /** Show the gradient beside the slope that two runs of the program give. @param {Run | null} run */
    async function measure(run) {
      const parameter = run?.parameters.find(({ names }) => names.includes(name.replace(/\[.*/, "")));
      const { step, run: shownRun, coming } = state.get(); // of another recording, if the reader has scrolled on
      if (run && coming?.run.id === run.id) return void (resting = setTimeout(() => void measure(run), REST));
      if (!run || shownRun?.id !== run.id || !parameter || !/slope|difference/.test(section.dataset["moves"] ?? "")) return puller.read([]);
      const pass = step && step.index < run.steps ? step.passes.find(({ index }) => index === step.main) : null; // an unfinished step cannot be checked
      if (!step || !pass || !step.parameters.some(({ id, contribution }) => id === parameter.id && contribution)) return puller.read([]);
      /** @type {Checked | null} */
      const checked = await api.replay(run.id, { what: "check", step: step.index, pass: pass.index, parameters: [parameter.id], elements: ELEMENTS }).catch(() => null);
      if (wanted !== current || dragged.get(recording)?.id !== (run.id === given.runs[recording]?.id ? undefined : run.id)) return;
      const elements = checked?.leaves?.[0]?.elements ?? [];
      if (!elements.length) return puller.read([]);
      const label = parameter.names.at(-1) ?? parameter.id;
      puller.read([
        { name: `${label}.grad`, text: elements.map(({ recorded }) => format.number(Number(recorded))).join(", "), tone: "grad" },
        { name: "finite difference", text: elements.map(({ computed }) => format.number(Number(computed))).join(", "), tone: "" },
      ]);
    }
  }
}

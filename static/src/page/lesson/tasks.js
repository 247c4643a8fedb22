// Connect the tasks of a lesson to the stage and to the server.

import { productsOf } from "../../core/products.js";
import { fill, find } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";
import { laterStyle } from "../../leaves/later-style.js";
import { product, row, table } from "../../widgets/inspector/tables.js";
import { attempt } from "../../widgets/lesson/attempt.js";
import { predict } from "../../widgets/lesson/predict.js";
import { blank } from "./blanks.js";
import { pulls } from "./pulls.js";
import { numbersOf, veil } from "./veil.js";
import { verdict } from "./verdicts.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {Child} from "../../leaves/dom.js" */
/** @import {Run} from "../../leaves/types.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */
/** @import {Given} from "./types.js" */
/** @typedef {ReturnType<typeof import("./views.js").views>} Views */

/**
 * Set up the tasks.
 *
 * @param {object} options
 * @param {Given} options.given
 * @param {Client} options.api
 * @param {Store<State>} options.state
 * @param {ReturnType<typeof import("./progress.js").progress>} options.kept
 * @param {Views} options.shown
 * @param {(section: HTMLElement) => void} options.show      show the view of a task
 * @param {Map<string, Run>} options.dragged                 the runs that are shown instead of those of the lesson
 */
export function tasks({ given, api, state, kept, shown, show, dragged }) {
  const nonce = document.querySelector('meta[name="csp-nonce"]')?.getAttribute("content") ?? "";
  const keys = /Mac|iP/.test(navigator.platform) ? "⌘ ↵" : "Ctrl ↵";
  /** @param {string} kind */
  const sections = (kind) => /** @type {HTMLElement[]} */ ([...document.querySelectorAll(`[data-task=${kind}]`)]);

  /** @type {Map<HTMLElement, ReturnType<typeof predict>>} */
  const questions = new Map();
  /** @type {Set<HTMLElement>} */
  const unanswered = new Set();
  /** @param {DOMStringMap} question  whose nodes show the answer: a gradient, because the reader knows the values of the program */
  const nodesOf = ({ binding = "", nodes = "[]" }) => new Set(/\.grad|^edge/.test(binding) ? shown.nodes(JSON.parse(nodes)) : []);
  const asked = () => [...unanswered].map(({ dataset }) => ({ nodes: nodesOf(dataset), answer: numbersOf(dataset["answer"] ?? "") }));
  for (const section of sections("predict")) {
    if (!section.dataset["answer"]) continue; // the answer comes from a recording that is not made yet
    const before = kept.of(section.id);
    if (!before?.done) unanswered.add(section);
    const unblank = before?.done ? () => {} : blank(section, () => section.scrollIntoView({ block: "center" }));
    const question = predict(section, {
      kept: before?.done ? before.answer : null,
      onguess: (answer, done) => kept.keep(section.id, { done, answer }),
      onopen: () => (unanswered.delete(section), hide(), unblank(), void open(section)),
    });
    questions.set(section, question);
  }
  const hide = veil(find("#stage"), asked, () => state.get().node);

  for (const kind of /** @type {const} */ (["write", "break-fix"])) {
    for (const section of sections(kind)) {
      const mistakes = [...section.querySelectorAll("details.mistakes > div")];
      attempt(section, {
        keys,
        kept: kept.of(section.id)?.answer ?? null,
        onattempt: (answer, done) => kept.keep(section.id, { done, answer }),
        editor: async (doc, label, onrun) => {
          const [{ editor }] = await Promise.all([import("../../widgets/editor.js"), laterStyle()]);
          const nothing = () => {};
          const field = editor({ doc, label, nonce, onrun, onedit: nothing, onpull: nothing, onpick: nothing, oncopy: nothing, onpaste: () => false });
          return { element: field, field };
        },
        async judge(code, signal) {
          const judged = await api.judge(given.lesson, kind === "write" ? "write" : "fix", section.dataset["name"] ?? "", code, signal);
          if (judged.run && !signal.aborted) await exhibit(section.dataset["name"] ?? "", judged.run);
          shown.glance(judged.node ? [judged.node] : null);
          return { passed: judged.passed, content: verdict(judged, mistakes) };
        },
      });
    }
  }

  pulls({ given, api, state, kept, shown, show, dragged, sections: sections("drag"), questions });

  /** Show the run of a reader's code on the stage, instead of that of the task. @param {string} name @param {string} id */
  async function exhibit(name, id) {
    if (!given.runs[name]) return;
    dragged.set(name, await api.run(id));
    shown.refresh();
  }

  /** Show the view, the finding or the arithmetic that a right answer unlocks. @param {HTMLElement} section */
  async function open(section) {
    const place = section.querySelector(".products");
    const { products, opens } = section.dataset;
    if (opens) shown.show(JSON.parse(opens));
    const { run } = state.get();
    if (section.dataset["finding"] !== undefined && place && run) {
      const found = run.findings.find(({ severity }) => severity === "error" || severity === "warning") ?? run.findings[0];
      place.textContent = found ? `Finding: ${found.message}` : "";
    }
    if (products && place) fill(place, await worked(JSON.parse(products)));
  }

  /** Return the arithmetic of the gradient on an edge. @param {[string, string]} names  its two nodes @returns {Promise<Child>} */
  async function worked([from, to]) {
    shown.glance([from, to]);
    const { run, graph, step } = state.get();
    const [source, target] = [shown.nodes([from])[0], shown.nodes([to])[0]];
    const edge = graph?.edges.find((each) => each.source === source && each.target === target);
    const pass = step?.passes.find(({ index }) => index === step.main) ?? step?.passes[0];
    if (!run || !graph || !edge || !pass) return null;
    const detail = await api.node(run.id, pass.index, edge.source).catch(() => null);
    if (!detail) return null;
    const found = productsOf(detail, graph, edge.id);
    if (found) return product({ ...found, heading: "arrived" });
    const flow = detail.outgoing.find((each) => each.edge === edge.id);
    const [arrived] = detail.numbers.grads;
    return table("flows", [
      row("arrived", format.tensor(arrived?.used ?? arrived?.arrived ?? null)),
      flow?.factor && row("multiplied by", flow.factor.replace(/^× /, "")),
      row("sent on", format.tensor(flow?.gradient ?? null), { tone: "grad", total: true }),
    ]);
  }
}

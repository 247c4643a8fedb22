// Connect the tasks of a lesson to the stage and to the server. Their forms are set up before, by `questions.js` and `attempts.js`.

import { productsOf } from "../../core/products.js";
import { fill, find } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";
import { laterStyle } from "../../leaves/later-style.js";
import { product, row, table } from "../../widgets/inspector/tables.js";
import { pulls } from "./pulls.js";
import { numbersOf, veil } from "./veil.js";
import { verdict } from "./verdicts.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {Child} from "../../leaves/dom.js" */
/** @import {Run} from "../../leaves/types.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */
/** @import {Questions} from "./questions.js" */
/** @import {Given} from "./types.js" */
/** @typedef {ReturnType<typeof import("./views.js").views>} Views */

const LOADS_WITHIN = 5_000; // milliseconds within which the stage loads a view
const POLL = 50; // milliseconds between two looks at the stage

/**
 * Set up the numbers that can be dragged, and return what the forms of the other tasks need.
 *
 * @param {object} options
 * @param {Given} options.given
 * @param {Client} options.api
 * @param {Store<State>} options.state
 * @param {ReturnType<typeof import("./progress.js").progress>} options.kept
 * @param {Views} options.shown
 * @param {(section: HTMLElement) => void} options.show      show the view of a task
 * @param {Map<string, Run>} options.dragged                 the runs that are shown instead of those of the lesson
 * @param {Questions} options.questions
 */
export function tasks({ given, api, state, kept, shown, show, dragged, questions }) {
  const nonce = document.querySelector('meta[name="csp-nonce"]')?.getAttribute("content") ?? "";
  /** @param {string} kind */
  const sections = (kind) => /** @type {HTMLElement[]} */ ([...document.querySelectorAll(`[data-task=${kind}]`)]);

  /** @param {DOMStringMap} question  whose nodes show the answer: a gradient or an update, because the reader knows the values before it */
  const nodesOf = ({ binding = "", nodes = "[]" }) => new Set(/\.grad|^edge|@ update/.test(binding) ? shown.nodes(JSON.parse(nodes)) : []);
  const asked = () => [...questions.unanswered].map(({ dataset }) => ({ nodes: nodesOf(dataset), answer: numbersOf(dataset["answer"] ?? "") }));
  const hide = veil(find("#stage"), asked, () => state.get().node);

  pulls({ given, api, state, kept, shown, show, dragged, sections: sections("drag"), questions: questions.all });

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

  /** Return the edge between two nodes, once the stage has loaded the view of the question; `null` if it has none. @param {string} from @param {string} to */
  async function edgeOf(from, to) {
    for (let waited = 0; waited < LOADS_WITHIN; waited += POLL) {
      const { run, graph, step } = state.get();
      const [source, target] = [shown.nodes([from])[0], shown.nodes([to])[0]];
      const edge = graph?.edges.find((each) => each.source === source && each.target === target);
      const pass = step?.passes.find(({ index }) => index === step.main) ?? step?.passes[0];
      if (run && graph && edge && pass) return { run, graph, edge, pass };
      await new Promise((done) => setTimeout(done, POLL));
    }
    return null;
  }

  /** Return the arithmetic of the gradient on an edge. @param {[string, string]} names  its two nodes @returns {Promise<Child>} */
  async function worked([from, to]) {
    shown.glance([from, to]);
    const found = await edgeOf(from, to);
    if (!found) return null;
    const { run, graph, edge, pass } = found;
    const detail = await api.node(run.id, pass.index, edge.source).catch(() => null);
    if (!detail) return null;
    const products = productsOf(detail, graph, edge.id);
    if (products) return product({ ...products, heading: "arrived" });
    const flow = detail.outgoing.find((each) => each.edge === edge.id);
    const [arrived] = detail.numbers.grads;
    return table("flows", [
      row("arrived", format.tensor(arrived?.used ?? arrived?.arrived ?? null)),
      flow?.factor && row("multiplied by", flow.factor.replace(/^× /, "")),
      row("sent on", format.tensor(flow?.gradient ?? null), { tone: "grad", total: true }),
    ]);
  }

  return {
    /** Show what the right answer to a question unlocks. @param {HTMLElement} section */
    opened(section) {
      hide();
      void open(section);
    },
    /** Return an editor for code. @param {string} doc @param {string} label @param {() => void} onrun */
    async editor(doc, label, onrun) {
      const [{ editor }] = await Promise.all([import("../../widgets/editor.js"), laterStyle()]);
      const nothing = () => {};
      const field = editor({ doc, label, nonce, onrun, onedit: nothing, onpull: nothing, onpick: nothing, oncopy: nothing, onpaste: () => false });
      return { element: field, field };
    },
    /** Let the server run and judge the code of a task. @param {HTMLElement} section @param {string} code @param {AbortSignal} signal */
    async judge(section, code, signal) {
      const { name = "", task } = section.dataset;
      const judged = await api.judge(given.lesson, task === "write" ? "write" : "fix", name, code, signal);
      if (judged.run && !signal.aborted) await exhibit(name, judged.run);
      shown.glance(judged.node ? [judged.node] : null);
      return { passed: judged.passed, content: verdict(judged, [...section.querySelectorAll("details.mistakes > div")]) };
    },
  };
}

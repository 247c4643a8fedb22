// Offer questions about the numbers of the selected node. The code that answers them is loaded at the first question.

import { ended, shownPass } from "../../core/state.js";
import { fill, h } from "../../leaves/dom.js";
import { laterStyle } from "../../leaves/later-style.js";
import { PHASES } from "../../leaves/types.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */

/** @typedef {{run: string, key: string, questions: [string, string][]}} Subject    questions: a word for each, and its address */

/**
 * Return the element for the inspector, and an action that asks the first question about the selected node.
 *
 * @param {Store<State>} state
 * @param {Client} api
 * @param {{online: (line: number) => void, onnode: (node: string) => void}} options
 */
export function lazyWhy(state, api, options) {
  const element = h("section", { class: "whys", hidden: true });
  /** @type {Promise<ReturnType<typeof import("./why-trail.js").whyTrail>> | null} */
  let loading = null;
  /** The question that the open trail began with; null if none is open. @type {string | null} */
  let opened = null;

  function close() {
    opened = null;
    show();
    element.querySelector("button")?.focus();
  }

  /** @param {Subject} own @param {string} href */
  async function ask(own, href) {
    opened = own.key;
    loading ??= Promise.all([import("./why-trail.js"), laterStyle()]).then(([{ whyTrail }]) => whyTrail(api, { ...options, onclose: close }));
    const trail = await loading;
    if (opened !== own.key) return;
    fill(element, trail.element);
    trail.start(own.run, href);
  }

  function show() {
    const own = subject(state.get());
    element.hidden = own === null;
    if (own?.key === opened) return; // the trail stays while its node and instant do
    opened = null;
    const buttons = own?.questions.map(([what, href], i) => [i ? " · " : "Why this ", h("button", { type: "button", class: "to", onclick: () => void ask(own, href) }, what)]);
    fill(element, h("p", { class: "asks" }, buttons, "?"));
  }

  state.watch(["detail", "run", "step", "pass", "apart", "graph", "phase"], show);
  return {
    element,
    /** Ask the first question about the selected node. */
    begin() {
      const own = subject(state.get());
      const first = own?.questions[0];
      if (own && first) void ask(own, first[1]);
    },
  };
}

/** Return what can be asked about the selected node at the playhead; null if nothing can. @param {State} now @returns {Subject | null} */
function subject(now) {
  const { run, step, detail, phase } = now;
  const pass = shownPass(now);
  if (!run || !ended(run) || !pass || !detail || !step || step.index >= run.steps) return null;
  const { id, kind, parameter } = detail.node;
  const inStep = `step=${step.index}`;
  const inPass = `${inStep}&pass=${pass.index}`;
  const owner = kind === "leaf" ? parameter : null;
  /** @type {[string, string][]} */
  const questions = [];
  if (kind !== "constant" && PHASES.indexOf(phase) >= PHASES.indexOf("backward"))
    questions.push(["gradient", owner && pass.index === step.main ? `why?of=${owner}.grad&${inStep}` : `why?of=${id}.grad&${inPass}`]);
  questions.push(["value", owner ? `why?of=${owner}&${inStep}` : `why?of=${id}&${inPass}`]);
  if (owner && phase === "update" && step.parameters.some((each) => each.id === owner && each.value_after))
    questions.push(["update", `why?of=${owner}.update&${inStep}`], ["value after it", `why?of=${owner}.after&${inStep}`]);
  return { run: run.id, key: `${run.id} ${inPass} ${phase} ${id}`, questions };
}

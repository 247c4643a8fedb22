// Check the gradient of the selected node: of a leaf against the slope of the loss, of an operation by calling its backward again.

import { trouble } from "../../core/runner.js";
import { ended, shownPass } from "../../core/state.js";
import { fill, h } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {Child} from "../../leaves/dom.js" */
/** @import {Checked, CheckedElement} from "../../leaves/types.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */

const ELEMENTS = 4; // elements of a leaf that are checked

/** What a verdict means, with a mark. @type {Record<CheckedElement["verdict"], readonly [string, string]>} */
const VERDICTS = {
  right: ["✓", "equal"],
  kink: ["✓", "between the two slopes of a kink"],
  defined: ["✓", "as PyTorch defines it here, which is not the slope"],
  wrong: ["✗", "differs from the slope"],
  unknown: ["?", "not finite here"],
};

/**
 * Return the element with the check of the selected node: a button first, then the answer.
 *
 * @param {Store<State>} state
 * @param {Client} api
 */
export function check(state, api) {
  const element = h("section", { class: "check", hidden: true });
  /** @type {Map<string, Checked | {failed: string} | "running">} */
  const answers = new Map();

  /** Return what is checked at the playhead, and a name for it; null if there is nothing to check. */
  function subject() {
    const { run, step, detail, graph } = state.get();
    const pass = shownPass(state.get());
    if (!run || !ended(run) || !pass || pass.kind !== "backward" || pass.failed || !detail || !graph || !step || step.index >= run.steps) return null;
    const { id, kind, parameter } = detail.node;
    if (kind === "constant" || detail.rank === null || (kind === "leaf" && !parameter)) return null;
    const at = { step: step.index, pass: pass.index };
    const body = kind === "leaf" ? { what: "check", ...at, parameters: [parameter], elements: ELEMENTS } : { what: "factors", ...at, node: id };
    return { run: run.id, key: `${run.id} ${pass.index} ${id}`, body, leaf: kind === "leaf", op: detail.node.op };
  }

  /** Collect the verdicts on the nodes of the shown pass. */
  function collect() {
    const { run } = state.get();
    const pass = shownPass(state.get());
    const prefix = `${run?.id} ${pass?.index} `;
    /** @type {Map<string, "right" | "wrong">} */
    const verdicts = new Map();
    for (const [key, answer] of answers) {
      const found = key.startsWith(prefix) && typeof answer === "object" && !("failed" in answer) ? verdictOf(answer) : null;
      if (found) verdicts.set(key.slice(prefix.length), found);
    }
    if (verdicts.size || state.get().verdicts.size) state.set({ verdicts });
  }

  async function start() {
    const own = subject();
    if (!own) return;
    answers.set(own.key, "running");
    show();
    try {
      answers.set(own.key, await api.replay(own.run, own.body));
    } catch (error) {
      answers.set(own.key, { failed: trouble(error).detail });
    }
    show();
    collect();
  }

  function show() {
    const own = subject();
    element.hidden = own === null;
    if (!own) return;
    const answer = answers.get(own.key);
    const about = own.leaf ? "PyTorch’s gradient beside the slope of the loss, by central differences." : "The gradients that the node sent on, beside those of a second call.";
    const ask = h("button", { type: "button", class: "to", title: about, onclick: () => void start() }, own.leaf ? "Check against the numeric slope" : "Check by calling it again");
    if (!answer) fill(element, ask);
    else if (answer === "running") fill(element, h("p", { class: "remark" }, "Running the program again, up to this step…"));
    else if ("failed" in answer) fill(element, h("p", { class: "remark" }, answer.failed), ask);
    else if (answer.reason || answer.repeatable === false) fill(element, h("p", { class: "remark" }, "Not checked: ", answer.difference?.sentence ?? answer.reason));
    else fill(element, h("h4", null, h("span", null, "Check"), h("span", { class: "aside" }, answer.precision ? `central differences, ${answer.precision}` : null)), own.leaf ? leaf(answer) : edges(answer, own.op));
  }

  state.watch(["detail", "run", "step", "pass", "apart", "graph"], show);
  state.watch(["run", "step", "pass", "apart"], collect);
  return element;
}

/** Return the verdict of a check as a whole; null if it has none. @param {Checked} answer @returns {"right" | "wrong" | null} */
function verdictOf({ reason, repeatable, leaves, edges: all }) {
  if (reason || repeatable === false) return null;
  if (all?.length) return all.every(({ equal }) => equal) ? "right" : "wrong";
  const [first] = leaves ?? [];
  return !first || first.verdict === "unknown" ? null : first.verdict === "wrong" ? "wrong" : "right";
}

/** Return a header for screen readers only. @param {string} text */
const unseen = (text) => h("span", { class: "away" }, text);

/** @param {Checked} answer @returns {Child} */
function leaf({ leaves = [] }) {
  return leaves.map(({ elements, checked, of }) =>
    h(
      "table",
      { class: "worked" },
      h("thead", null, h("tr", null, h("th", { scope: "col" }, unseen("element")), h("th", { scope: "col" }, "PyTorch"), h("th", { scope: "col" }, "numeric"), h("th", { scope: "col" }, unseen("verdict")))),
      h("tbody", null, elements.map(written)),
      of > checked && h("tfoot", null, h("tr", null, h("td", { colspan: "4" }, `${checked} of ${format.counted(of, "element")} checked`))),
    ),
  );
}

/** @param {CheckedElement} each */
function written({ element, recorded, computed, verdict }) {
  const [mark, words] = VERDICTS[verdict];
  const apart = Math.abs(Number(recorded) - Number(computed));
  const text = verdict === "right" || verdict === "wrong" ? `differs by ${format.number(apart, 2)}` : words;
  return h(
    "tr",
    null,
    h("th", { scope: "row" }, element.length ? `[${element.join(", ")}]` : unseen("scalar")),
    h("td", { class: "grad" }, format.number(Number(recorded))),
    h("td", null, format.number(Number(computed))),
    h("td", { class: verdict === "wrong" ? "verdict bad" : "verdict", title: words }, `${mark} ${text}`),
  );
}

/** @param {Checked} answer @param {string} op @returns {Child} */
function edges({ edges: all = [] }, op) {
  const wrong = all.filter(({ equal }) => !equal);
  return h(
    "p",
    { class: wrong.length ? "remark bad" : "remark" },
    wrong.length
      ? `✗ ${op}, called again with the arrived gradient, returned another gradient for ${format.counted(wrong.length, "edge")}.`
      : `✓ ${op}, called again with the arrived gradient, returned exactly the ${all.length === 1 ? "gradient" : `${all.length} gradients`} sent on.`,
  );
}

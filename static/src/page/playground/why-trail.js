// Go from the explanation of a number to the explanations of the numbers that it was made from, and back.

import { trouble } from "../../core/runner.js";
import { h } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";
import { whyPanel } from "../../widgets/why-panel.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {Child} from "../../leaves/dom.js" */
/** @import {Why} from "../../leaves/types.js" */

/**
 * @param {Client} api
 * @param {{online: (line: number) => void, onnode: (node: string) => void, onclose: () => void}} options
 */
export function whyTrail(api, { online, onnode, onclose }) {
  let run = "";
  /** @type {Why[]} */
  let trail = [];
  /** @type {string | null} */
  let failed = null;
  let waiting = false;
  /** @type {Child} */
  let nudge = null;
  let calls = 0; // an answer to an earlier question is dropped
  /** Ends the replay that records missing numbers. @type {AbortController | null} */
  let stopping = null;
  /** @type {import("../../widgets/why-panel.js").Recording | null} */
  let progress = null;
  const panel = whyPanel({
    onfollow: (href) => void follow(href),
    onback: back,
    onclose: () => (reset([]), onclose()),
    online,
    onnode,
    onnudge: () => void tryOut(),
    onrecord: (body, href) => (reset(trail), void record(body, href)),
  });

  /** @param {Why[]} kept */
  function reset(kept) {
    calls += 1;
    stopping?.abort();
    stopping = progress = null;
    trail = kept;
    failed = null;
    waiting = false;
    nudge = null;
  }

  /** @param {string} href */
  async function follow(href) {
    reset(trail);
    const call = calls;
    waiting = true;
    show(false);
    try {
      const answer = await api.why(run, href);
      if (call === calls) trail = [...trail, answer];
      const { replay } = answer;
      if (call === calls && answer.kind === "unknown" && replay?.["what"] === "elements") return void (await record(replay, href));
    } catch (error) {
      if (call === calls) failed = trouble(error).detail;
    }
    if (call !== calls) return;
    waiting = false;
    show(true);
  }

  /** Record the elements that the shown explanation lacks, by a replay, and ask again. @param {Record<string, unknown>} body @param {string} href */
  async function record(body, href) {
    const call = calls;
    const stop = new AbortController();
    stopping = stop;
    waiting = true;
    progress = { done: 0, of: Number(body["step"]) + 1, stop: () => stop.abort() };
    show(false);
    try {
      const replay = await api.replay(run, body, stop.signal, (done) => {
        if (call !== calls || !progress) return;
        progress = { ...progress, done };
        show(false);
      });
      const answer = replay.repeatable === true ? await api.why(run, href) : null;
      if (call !== calls) return;
      if (answer) trail = [...trail.slice(0, -1), answer];
      else failed = replay.difference?.sentence ?? replay.reason ?? "The replay ended without a result.";
    } catch (error) {
      if (call !== calls) return;
      if (!stop.signal.aborted) failed = trouble(error).detail;
    }
    stopping = progress = null;
    waiting = false;
    show(true);
  }

  /** @param {number} index */
  function back(index) {
    reset(trail.slice(0, index + 1));
    show(true);
  }

  /** Replay the step with a slightly larger element, and compare the loss with what the gradient predicts. */
  async function tryOut() {
    const question = trail.at(-1)?.nudge;
    if (!question) return;
    const call = calls;
    say("Running the program again, up to this step…");
    let text;
    try {
      const { loss, reason, difference } = await api.replay(run, question.replay);
      const [before, after] = Array.isArray(loss) ? loss : [];
      text =
        typeof before === "number" && typeof after === "number"
          ? `Raise it by ${question.by}, and the loss goes ${format.number(before, 5)} → ${format.number(after, 5)}, a change of ${format.number(after - before, 3)}. The gradient predicted ${format.number(question.predicted, 3)}.`
          : (difference?.sentence ?? reason ?? "The loss has no value there.");
    } catch (error) {
      text = trouble(error).detail;
    }
    if (call === calls) say(text);
  }

  /** @param {string} text */
  function say(text) {
    nudge = h("p", { class: "remark", role: "status" }, text);
    show(false);
  }

  /** @param {boolean} focus */
  const show = (focus) => panel.show({ trail, waiting, failed, nudge, progress }, focus);

  return {
    element: panel,
    /** Ask a first question. @param {string} of  the run @param {string} href */
    start(of, href) {
      run = of;
      reset([]);
      void follow(href);
    },
  };
}

// Keep the steps of a run at hand: stretches of them, packed, around the playhead and ahead of where it moves; one is read
// when it is looked at. What is under the playhead is asked for first.

import { unpack } from "../leaves/msgpack.js";
import { stepsOf } from "./spans.js";

/** @import {Client} from "../leaves/api.js" */
/** @import {PackedSteps, Step} from "../leaves/types.js" */

const STEP_BYTES = 600; // of a packed step, about,
const NODE_BYTES = 80; // and for each node of its graph
const AT_ONCE = 400_000; // bytes of a stretch that is asked for at once
const LONGEST = 256; // steps of it
const AT_HAND = 32_000_000; // bytes of steps that are kept
const LITTLE = 1_500_000; // bytes of a tape that is read whole
const AHEAD = 3; // stretches read ahead of a playhead that moves
const MOVING = 500; // milliseconds after a move in which another is likely
const READ = 64; // steps that are kept as they were read
const QUESTIONS = 2; // at a time

/**
 * @param {Client} api
 * @param {string} run
 * @param {() => {count: number, nodes: number}} size  steps that there are, and nodes of their graphs
 */
export function steps(api, run, size) {
  /** @type {Map<number, () => Step>} */
  const packed = new Map();
  /** @type {Map<number, Step>} */
  const kept = new Map(); // as they were read, the one looked at last stands last
  /** @type {Map<number, Promise<void>>} */
  const asked = new Map(); // by stretch
  /** @type {Map<number, true>} */
  const used = new Map(); // stretches that are here, the one looked at last stands last
  /** @type {{index: number, tell: (step: Step | null) => void, fail: (error: unknown) => void} | null} */
  let wish = null;
  let [at, way] = [0, 1]; // where the playhead is, and where it moves
  let [moves, before] = [-Infinity, -Infinity]; // when it did last, and when the time before
  let length = 0; // of a stretch, in steps

  const bytes = () => STEP_BYTES + NODE_BYTES * size().nodes;
  const stretch = (/** @type {number} */ index) => {
    length ||= 2 ** Math.floor(Math.log2(Math.max(1, Math.min(LONGEST, AT_ONCE / bytes()))));
    return Math.floor(index / length);
  };

  /** @param {Step} step */
  function keep(step) {
    kept.delete(step.index);
    kept.set(step.index, step);
    for (const index of kept.keys()) {
      if (kept.size <= READ) break;
      kept.delete(index);
    }
    return step;
  }

  /** A step that is here. @param {number} index */
  function peek(index) {
    const here = kept.get(index) ?? packed.get(index)?.();
    if (!here) return null;
    touch(stretch(index));
    return keep(here);
  }

  /** Let a stretch be the last that is put away; put away what is too much. @param {number} which */
  function touch(which) {
    if (used.delete(which)) used.set(which, true);
    const most = Math.max(4, AT_HAND / (bytes() * length));
    for (const old of used.keys()) {
      if (used.size <= most) break;
      used.delete(old);
      for (let index = old * length; index < (old + 1) * length; index++) packed.delete(index);
    }
  }

  /** The first step of a stretch that is not here; null where all are. @param {number} which */
  function missing(which) {
    const end = Math.min((which + 1) * length, size().count);
    for (let index = Math.max(0, which * length); index < end; index++) if (!packed.has(index)) return index;
    return null;
  }

  /** Ask for what is not here of a stretch. @param {number} which @param {number} from */
  async function read(which, from) {
    const end = (which + 1) * length;
    for (let start = /** @type {number | null} */ (from); start !== null && start < end;) {
      const answer = /** @type {PackedSteps} */ (unpack(await api.packed(run, start, end - start)));
      if (!answer.spans.length) throw new Error(`The server did not send step ${start}.`);
      for (const step of stepsOf(answer)) packed.set(step.index, step.read);
      used.set(which, true);
      start = answer.next;
    }
    touch(which);
  }

  /** What to ask for next: what is wished for, else what comes next. */
  function next() {
    if (wish) {
      const from = missing(stretch(wish.index));
      if (from !== null) return { which: stretch(wish.index), from };
    }
    const here = stretch(at);
    const all = size().count * bytes() <= LITTLE;
    const last = stretch(size().count - 1);
    const moving = performance.now() - moves < MOVING && moves - before < MOVING;
    const near = Array.from({ length: 1 + (moving ? AHEAD : 1) }, (_, i) => here + way * i);
    const more = all ? Array.from({ length: last + 1 }, (_, i) => i).sort((a, b) => Math.abs(a - here) - Math.abs(b - here)) : [here - way];
    for (const which of [...near, ...more]) {
      const from = which < 0 || which > last || asked.has(which) ? null : missing(which);
      if (from !== null) return { which, from };
    }
    return null;
  }

  /** Ask, as long as there is something to ask for. @param {boolean} onward  also for what nobody wishes for yet */
  function pump(onward) {
    while (wish && answered(wish.index)) settle();
    while (asked.size < QUESTIONS && (wish ?? onward)) {
      const { which, from } = next() ?? {};
      if (which === undefined || from === undefined || asked.has(which)) return;
      const answer = read(which, from);
      asked.set(which, answer);
      answer.then(
        () => {
          asked.delete(which);
          pump(true);
        },
        (error) => {
          asked.delete(which);
          const last = wish;
          if (last && stretch(last.index) === which) {
            wish = null;
            last.fail(error);
          }
          pump(false);
        },
      );
    }
  }
  const answered = (/** @type {number} */ index) => kept.has(index) || packed.has(index);
  function settle() {
    const done = wish;
    wish = null;
    if (done) done.tell(peek(done.index));
  }

  /** @param {number} index */
  function moved(index) {
    if (index === at) return;
    [at, way, moves, before] = [index, index > at ? 1 : -1, performance.now(), moves];
  }

  return {
    peek,
    /** A step that is here already. @param {Step} step */
    keep,
    /**
     * The step; null where another was wished for before this one came.
     *
     * @param {number} index
     * @returns {Promise<Step | null>}
     */
    async get(index) {
      moved(index);
      wish?.tell(null);
      wish = null;
      const here = peek(index);
      if (here) {
        pump(true);
        return here;
      }
      if (index >= size().count) return api.step(run, index);
      return new Promise((tell, fail) => {
        wish = { index, tell, fail };
        pump(true);
      });
    },
    /** Read what lies around a step, or all where that is little; what fails is asked for again when it is looked at. @param {number} index */
    ahead(index) {
      moved(index);
      pump(true);
    },
  };
}

/** @typedef {ReturnType<typeof steps>} Steps */

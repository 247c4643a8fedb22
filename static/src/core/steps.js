// Keep the steps of a run at hand: those looked at, and those that come next. One question at a time, the latest first.

/** @import {Client} from "../leaves/api.js" */
/** @import {Step} from "../leaves/types.js" */

const NODE_BYTES = 800; // of a step's JSON for each node of its graph, about
const AT_ONCE = 160_000; // bytes of steps that are asked for together
const AT_HAND = 24_000_000; // bytes of steps that are kept
const LITTLE = 1_500_000; // bytes of a tape that is read whole
const AHEAD = 6; // steps read ahead of the playhead

/**
 * @param {Client} api
 * @param {string} run
 * @param {() => {count: number, nodes: number}} size  steps that there are, and nodes of their graphs
 */
export function steps(api, run, size) {
  /** @type {Map<number, Step>} */
  const kept = new Map(); // the one looked at last stands last
  /** @type {{index: number, tell: (step: Step | null) => void, fail: (error: unknown) => void} | null} */
  let wish = null;
  let asking = false;

  /** @param {Step} step */
  function keep(step) {
    kept.delete(step.index);
    kept.set(step.index, step);
    const most = Math.max(64, AT_HAND / bytes());
    for (const index of kept.keys()) {
      if (kept.size <= most) break;
      kept.delete(index);
    }
  }
  const bytes = () => 2000 + NODE_BYTES * size().nodes;

  /** Ask for what is wished for, with its neighbours, until nothing is. */
  async function ask() {
    if (asking) return;
    asking = true;
    while (wish) {
      const { index, tell, fail } = wish;
      wish = null;
      try {
        tell(kept.get(index) ?? (await one(index)));
      } catch (error) {
        fail(error);
      }
    }
    asking = false;
  }

  /** @param {number} index @returns {Promise<Step>} */
  async function one(index) {
    const step = await api.step(run, index);
    keep(step);
    return step;
  }

  /** Steps from one on that are not here, few enough for one answer. @param {number} from @param {number} to */
  async function read(from, to) {
    let start = from;
    while (start < to && kept.has(start)) start++;
    let end = start;
    const most = Math.max(1, Math.floor(AT_ONCE / bytes()));
    while (end < to && end - start < most && !kept.has(end)) end++;
    if (end === start) return false;
    const answer = await api.steps(run, start, end - start);
    for (const step of answer.steps) keep(step);
    return answer.steps.length > 0;
  }

  return {
    /** @param {number} index */
    peek: (index) => kept.get(index) ?? null,
    /** A step that is here already. @param {Step} step */
    keep,
    /**
     * The step; null where another was wished for before this one was asked for.
     *
     * @param {number} index
     * @returns {Promise<Step | null>}
     */
    async get(index) {
      const here = kept.get(index);
      if (here) {
        keep(here);
        return here;
      }
      wish?.tell(null);
      return new Promise((tell, fail) => {
        wish = { index, tell, fail };
        void ask();
      });
    },
    /** Read on from a step, or all where that is little; what fails is asked for again when it is looked at. @param {number} index */
    async ahead(index) {
      if (asking) return;
      const { count } = size();
      const all = count * bytes() <= LITTLE;
      try {
        while (!asking && (await read(index + 1, all ? count : Math.min(count, index + 1 + AHEAD))));
        while (!asking && all && (await read(0, index)));
      } catch {
        // not now
      }
    },
  };
}

/** @typedef {ReturnType<typeof steps>} Steps */

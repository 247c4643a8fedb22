// Cache the steps of a run. The step at the playhead is fetched first, with a few steps after it. Once the playhead moves, or is
// about to move, stretches of packed steps are fetched around it and ahead of its movement. A step is unpacked when it is shown.

import { unpack } from "../leaves/msgpack.js";

/** @import {Client} from "../leaves/api.js" */
/** @import {PackedSteps, Step} from "../leaves/types.js" */

const STEP_BYTES = 600; // estimated size of a packed step
const NODE_BYTES = 200; // estimated size for each node of its graph
const STRETCH_BYTES = 400_000; // maximum size of a stretch
const LONGEST = 256; // maximum number of steps in a stretch
const CACHE_BYTES = 32_000_000; // maximum size of all cached packed steps
const SMALL_TAPE = 300_000; // a tape of at most this many bytes is fetched whole
const FEW = 8; // steps fetched together when a caller waits for the first of them
const AHEAD = 3; // stretches fetched ahead of a moving playhead
const MOVING = 500; // milliseconds after a move in which another move is likely
const UNPACKED = 64; // maximum number of cached unpacked steps
const REQUESTS = 2; // maximum number of concurrent requests

/**
 * Return a cache of the steps of one run.
 *
 * @param {Client} api
 * @param {string} run
 * @param {() => {count: number, nodes: number}} size  number of recorded steps, and number of nodes in the largest graph
 */
export function stepCache(api, run, size) {
  /** @type {Map<number, () => Step>} */
  const packed = new Map(); // by step; the function unpacks the step
  /** @type {Map<number, Step>} */
  const unpacked = new Map(); // by step, most recently used last
  /** @type {Map<number, Promise<void>>} */
  const requests = new Map(); // by stretch
  /** @type {Promise<void> | null} */
  let urgent = null; // the request for the pending step
  /** @type {Map<number, true>} */
  const used = new Map(); // cached stretches, most recently used last
  /** @type {{index: number, resolve: (step: Step | null) => void, reject: (error: unknown) => void} | null} */
  let pending = null; // the step that a caller waits for
  let [at, direction] = [-1, 1]; // where the playhead is, and in which direction it moved last
  let eager = false; // whether steps are fetched ahead
  let [moves, before] = [-Infinity, -Infinity]; // times of the playhead's last two moves
  let length = 0; // steps of a stretch

  const bytes = () => STEP_BYTES + NODE_BYTES * size().nodes;
  const stretch = (/** @type {number} */ index) => {
    length ||= 2 ** Math.floor(Math.log2(Math.max(1, Math.min(LONGEST, STRETCH_BYTES / bytes()))));
    return Math.floor(index / length);
  };

  /** Cache an unpacked step. @param {Step} step */
  function keep(step) {
    unpacked.delete(step.index);
    unpacked.set(step.index, step);
    for (const index of unpacked.keys()) {
      if (unpacked.size <= UNPACKED) break;
      unpacked.delete(index);
    }
    return step;
  }

  /** Return a cached step, or null. @param {number} index */
  function peek(index) {
    const here = unpacked.get(index) ?? packed.get(index)?.();
    if (!here) return null;
    touch(stretch(index));
    return keep(here);
  }

  /** Mark a stretch as most recently used, and drop the least recently used ones that exceed the limit. @param {number} which */
  function touch(which) {
    if (used.delete(which)) used.set(which, true);
    const most = Math.max(4, CACHE_BYTES / (bytes() * length));
    for (const old of used.keys()) {
      if (used.size <= most) break;
      used.delete(old);
      for (let index = old * length; index < (old + 1) * length; index++) packed.delete(index);
    }
  }

  /** Return the first step of a stretch that is not cached, or null. @param {number} which */
  function missing(which) {
    const end = Math.min((which + 1) * length, size().count);
    for (let index = Math.max(0, which * length); index < end; index++) if (!packed.has(index)) return index;
    return null;
  }

  /** Fetch steps of one stretch. @param {number} from @param {number} to  the step after the last one */
  async function load(from, to) {
    const which = stretch(from);
    for (let start = /** @type {number | null} */ (from); start !== null && start < to;) {
      const [content, { stepsOf }] = await Promise.all([api.packed(run, start, to - start), import("./packed-steps.js")]);
      const answer = /** @type {PackedSteps} */ (unpack(content));
      if (!answer.spans.length) throw new Error(`The server did not send step ${start}.`);
      for (const step of stepsOf(answer)) packed.set(step.index, step.read);
      used.set(which, true);
      start = answer.next;
    }
    touch(which);
  }

  /** Return whether the playhead is moving, so that it will probably move on. */
  const moving = () => performance.now() - moves < MOVING && moves - before < MOVING;

  /** Fetch the missing steps of a stretch, from a given step on. @param {number} which @param {number} from */
  function fetchStretch(which, from) {
    const answer = load(from, (which + 1) * length);
    requests.set(which, answer);
    answer.catch((error) => fail(which, error)).finally(() => (requests.delete(which), pump()));
  }

  /** Fetch the pending step: with its stretch while the playhead is moving, else with a few steps after it. @param {number} index */
  function hurry(index) {
    const which = stretch(index);
    if (requests.has(which)) return;
    if (moving()) return fetchStretch(which, missing(which) ?? index);
    urgent = load(index, Math.min(index + FEW, (which + 1) * length, size().count));
    urgent.catch((error) => fail(which, error)).finally(() => ((urgent = null), pump()));
  }

  /** Report a failed request to the caller who waits for one of its steps. @param {number} which @param {unknown} error */
  function fail(which, error) {
    const last = pending;
    if (!last || stretch(last.index) !== which) return void (eager = false); // the steps are fetched when they are shown
    pending = null;
    eager = false;
    last.reject(error);
  }

  /** Return the stretch to fetch ahead next, and its first missing step; null if nothing is missing. */
  function next() {
    const here = stretch(at);
    const all = size().count * bytes() <= SMALL_TAPE;
    const last = stretch(size().count - 1);
    const near = Array.from({ length: 1 + (moving() ? AHEAD : 1) }, (_, i) => here + direction * i);
    const more = all ? Array.from({ length: last + 1 }, (_, i) => i).sort((a, b) => Math.abs(a - here) - Math.abs(b - here)) : [here - direction];
    for (const which of [...near, ...more]) {
      const from = which < 0 || which > last || requests.has(which) ? null : missing(which);
      if (from !== null) return { which, from };
    }
    return null;
  }

  /** Start as many requests as allowed. */
  function pump() {
    if (pending && answered(pending.index)) settle();
    if (pending && !urgent) hurry(pending.index);
    while (eager && requests.size < REQUESTS) {
      const { which, from } = next() ?? {};
      if (which === undefined || from === undefined) return;
      fetchStretch(which, from);
    }
  }
  const answered = (/** @type {number} */ index) => unpacked.has(index) || packed.has(index);
  function settle() {
    const done = pending;
    pending = null;
    if (done) done.resolve(peek(done.index));
  }

  /** @param {number} index */
  function moved(index) {
    if (index === at) return;
    if (at < 0) return void (at = index); // the first position of the playhead is not a move
    eager = true;
    [at, direction, moves, before] = [index, index > at ? 1 : -1, performance.now(), moves];
  }

  return {
    peek,
    keep,
    /** Forget a step, because the server has more of it now. @param {number} index */
    drop(index) {
      packed.delete(index);
      unpacked.delete(index);
    },
    /**
     * Return a step, or null if another step was requested before this one arrived.
     *
     * @param {number} index
     * @returns {Promise<Step | null>}
     */
    async get(index) {
      moved(index);
      pending?.resolve(null);
      pending = null;
      const here = peek(index);
      if (here) {
        pump();
        return here;
      }
      if (index >= size().count) return api.step(run, index);
      return new Promise((resolve, reject) => {
        pending = { index, resolve, reject };
        pump();
      });
    },
    /** Tell the cache where the playhead is. @param {number} index */
    stay(index) {
      moved(index);
      pump();
    },
    /** Fetch steps around the playhead from now on, because it is about to move. */
    prepare() {
      eager = true;
      pump();
    },
  };
}

/** @typedef {ReturnType<typeof stepCache>} StepCache */

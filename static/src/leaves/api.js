// Ask the server's API, and turn its problem+json answers into one kind of error.

/** @import {Graph, NodeDetail, Run, RunHeading, Scalar, Step, Surface} from "./types.js" */

const ACCEPTED = 202; // it goes on
const WAIT = 10; // seconds that an answer to who asks for a replay may take

/** Let the time pass after which an answer says to ask again. @param {Response} answer */
const rest = (answer) => new Promise((go) => setTimeout(go, 1000 * Number(answer.headers.get("Retry-After") ?? 1)));

/** An answer that is not what was asked for: `title` and `message` are sentences for a person. */
export class Problem extends Error {
  /** @param {number} status @param {string} title @param {string} detail */
  constructor(status, title, detail) {
    super(detail);
    this.name = "Problem";
    this.status = status;
    this.title = title;
  }
}

/**
 * What can be asked; `base` is the API's own path.
 *
 * @param {string} base
 */
export function client(base) {
  /** @param {string} path @param {RequestInit} [init] */
  async function ask(path, init) {
    let answer;
    try {
      answer = await fetch(base + path, init);
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw new Problem(0, "No answer from the server", "The server cannot be reached. Is it still running?");
    }
    if (answer.ok) return answer;
    const problem = await answer.json().catch(() => ({}));
    const title = typeof problem.title === "string" ? problem.title : answer.statusText || `Error ${answer.status}`;
    throw new Problem(answer.status, title, typeof problem.detail === "string" ? problem.detail : "The server gave no reason.");
  }

  /** @param {AbortSignal | undefined} signal @returns {RequestInit} */
  const with_ = (signal) => (signal ? { signal } : {});
  const run = (/** @type {string} */ id) => `/runs/${encodeURIComponent(id)}`;

  return {
    /**
     * Run something. The answer may still be running: it is waited for `wait` seconds at most.
     *
     * @param {string} body
     * @param {{type: string, wait: number}} options
     * @returns {Promise<Run>}
     */
    post: async (body, { type, wait }) =>
      (
        await ask("/runs", {
          method: "POST",
          body,
          headers: { "Content-Type": type, Accept: "application/json", Prefer: `wait=${wait}` },
        })
      ).json(),
    /** @param {string} id @param {AbortSignal} [signal] @returns {Promise<Run>} */
    run: async (id, signal) => (await ask(run(id), with_(signal))).json(),
    /**
     * Run a program again for the loss over one or two elements of its parameters. Who aborts it takes the question back: the
     * server stops, unless somebody else asked too.
     *
     * @param {string} id
     * @param {{step: number, parameters: string[]}} asked
     * @param {AbortSignal} signal
     * @returns {Promise<Surface>}
     */
    async surface(id, asked, signal) {
      const replays = `${run(id)}/replays`;
      let answer = await ask(replays, {
        method: "POST",
        body: JSON.stringify({ what: "surface", ...asked }),
        headers: { "Content-Type": "application/json", Prefer: "wait=0" },
      });
      /** @type {Surface} */
      let told = await answer.json();
      const own = `${replays}/${told.id}`;
      try {
        while (answer.status === ACCEPTED) {
          answer = await ask(own, { headers: { Prefer: `wait=${WAIT}` }, signal });
          told = await answer.json();
          if (answer.status === ACCEPTED) await rest(answer);
        }
      } catch (error) {
        if (signal.aborted) await ask(`${own}/cancel`, { method: "POST" }).catch(() => {});
        throw error;
      }
      return told;
    },
    /** The caller's runs, newest first. @returns {Promise<{runs: RunHeading[]}>} */
    runs: async () => (await ask("/runs?count=20")).json(),
    /** Where the events of a run are told. @param {string} id */
    events: (id) => `${base}${run(id)}/events`,
    /** @param {string} id */
    cancel: async (id) => void (await ask(`${run(id)}/cancel`, { method: "POST" })),
    /** @param {string} id @param {number} index @param {AbortSignal} [signal] @returns {Promise<Step>} */
    step: async (id, index, signal) => (await ask(`${run(id)}/steps/${index}`, with_(signal))).json(),
    /**
     * Steps from one on, as msgpack.
     *
     * @param {string} id
     * @param {number} start
     * @param {number} count
     */
    packed: async (id, start, count) => {
      const headers = { Accept: "application/msgpack" };
      return (await ask(`${run(id)}/steps?start=${start}&count=${count}`, { headers })).arrayBuffer();
    },
    /**
     * Numbers over steps; null where a step has none.
     *
     * @param {string} id
     * @param {readonly string[]} keys
     * @param {{start?: number, points?: number}} [options]
     * @returns {Promise<{index: number[], series: Record<string, (Scalar | null)[]>}>}
     */
    series: async (id, keys, { start = 0, points } = {}) => {
      const asked = new URLSearchParams([...keys.map((key) => ["key", key]), ["start", String(start)]]);
      if (points) asked.set("points", String(points));
      return (await ask(`${run(id)}/series?${asked}`)).json();
    },
    /** @param {string} id @param {string} graph @param {AbortSignal} [signal] @returns {Promise<Graph>} */
    graph: async (id, graph, signal) => (await ask(`${run(id)}/graphs/${graph}`, with_(signal))).json(),
    /**
     * @param {string} id
     * @param {number} pass
     * @param {string} node
     * @param {AbortSignal} [signal]
     * @returns {Promise<NodeDetail>}
     */
    node: async (id, pass, node, signal) => (await ask(`${run(id)}/passes/${pass}/nodes/${node}`, with_(signal))).json(),
    /**
     * Numbers of all passes over a graph, by columns.
     *
     * @param {string} id
     * @param {string} graph
     * @param {number} start  a pass
     * @param {string} fields
     * @param {number} [count]  of passes
     * @returns {Promise<{passes: number[], steps: number[], fields: Record<string, unknown[][]>, next: number | null}>}
     */
    frames: async (id, graph, start, fields, count = 1000) =>
      (await ask(`${run(id)}/frames?graph=${graph}&start=${start}&count=${count}&fields=${fields}`)).json(),
    /** A picture as text. @param {string} path under the API's path @param {AbortSignal} [signal] */
    picture: async (path, signal) => (await ask(path, with_(signal))).text(),
    /** @param {string} path */
    address: (path) => base + path,
  };
}

/** @typedef {ReturnType<typeof client>} Client */

// A client of the server's API. Failed requests, and answers in problem+json, raise `Problem`.

/** @import {Divergence, Graph, GraphSearch, Judged, MapNumbers, ModelRows, NodeDetail, Run, RunHeading, Step, Surface, Why} from "./types.js" */

const ACCEPTED = 202; // the replay is still running
const WAIT = 10; // maximum seconds that the server may take to answer a request for a replay

/** Wait as long as the answer's Retry-After header says. @param {Response} answer */
const retryDelay = (answer) => new Promise((go) => setTimeout(go, 1000 * Number(answer.headers.get("Retry-After") ?? 1)));

/** A failed request. `title` and `message` are meant for people. */
export class Problem extends Error {
  /** @param {number} status @param {string} title @param {string} detail @param {number | null} [retryAfter]  in seconds */
  constructor(status, title, detail, retryAfter = null) {
    super(detail);
    this.retryAfter = retryAfter;
    this.name = "Problem";
    this.status = status;
    this.title = title;
  }
}

/**
 * Return a client.
 *
 * @param {string} base  path of the API
 */
export function client(base) {
  /** Send a request, and raise `Problem` if it fails. @param {string} path @param {RequestInit} [init] */
  async function request(path, init) {
    let answer;
    try {
      answer = await fetch(base + path, init);
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw new Problem(0, "No answer from the server", "Check your connection, and whether the server is running. Your program is kept in this browser.");
    }
    if (answer.ok) return answer;
    const problem = await answer.json().catch(() => ({}));
    const title = typeof problem.title === "string" ? problem.title : answer.statusText || `Error ${answer.status}`;
    const after = Number(answer.headers.get("Retry-After") ?? NaN);
    const detail = typeof problem.detail === "string" ? problem.detail : "The server gave no reason.";
    throw new Problem(answer.status, title, detail, Number.isFinite(after) ? after : null);
  }

  /** @param {AbortSignal | undefined} signal @returns {RequestInit} */
  const with_ = (signal) => (signal ? { signal } : {});
  const run = (/** @type {string} */ id) => `/runs/${encodeURIComponent(id)}`;

  return {
    /**
     * Run a program. The server answers after at most `wait` seconds; the run may still be in progress then.
     *
     * @param {string} body
     * @param {{type: string, wait: number, title?: string | null}} options  title: of a body that is not JSON
     * @returns {Promise<Run>}
     */
    post: async (body, { type, wait, title }) =>
      (
        await request(`/runs${title ? `?title=${encodeURIComponent(title)}` : ""}`, {
          method: "POST",
          body,
          headers: { "Content-Type": type, Accept: "application/json", Prefer: `wait=${wait}` },
        })
      ).json(),
    /** @param {string} id @param {AbortSignal} [signal] @returns {Promise<Run>} */
    run: async (id, signal) => (await request(run(id), with_(signal))).json(),
    /**
     * Find the first step and node whose numbers differ between two runs.
     *
     * @param {string} id
     * @param {string} other
     * @returns {Promise<Divergence>}
     */
    divergence: async (id, other) => (await request(`${run(id)}/divergence?other=${other}`)).json(),
    /**
     * Replay a program for numbers that were not recorded. Aborting the signal cancels the replay, unless another client has
     * requested it too.
     *
     * @param {string} id
     * @param {object} body
     * @param {AbortSignal} [signal]
     * @param {(done: number) => void} [onprogress]  called with the number of steps that were repeated so far
     */
    async replay(id, body, signal, onprogress) {
      const replays = `${run(id)}/replays`;
      let answer = await request(replays, {
        method: "POST",
        body: JSON.stringify(body),
        headers: { "Content-Type": "application/json", Prefer: "wait=0" },
      });
      let replay = await answer.json();
      const own = `${replays}/${replay.id}`;
      const events = onprogress && answer.status === ACCEPTED ? new EventSource(`${base}${own}/events`) : null;
      events?.addEventListener("progress", ({ data }) => onprogress?.(JSON.parse(data).done));
      events?.addEventListener("end", () => events.close());
      try {
        while (answer.status === ACCEPTED) {
          answer = await request(own, { headers: { Prefer: `wait=${WAIT}` }, ...with_(signal) });
          replay = await answer.json();
          if (answer.status === ACCEPTED) await retryDelay(answer);
        }
      } catch (error) {
        if (signal?.aborted) await request(`${own}/cancel`, { method: "POST" }).catch(() => {});
        throw error;
      } finally {
        events?.close();
      }
      return replay;
    },
    /**
     * Compute the loss as a function of one or two elements of its parameters.
     *
     * @param {string} id
     * @param {{step: number, parameters: string[]}} options
     * @param {AbortSignal} signal
     * @returns {Promise<Surface>}
     */
    surface(id, options, signal) {
      return this.replay(id, { what: "surface", ...options }, signal);
    },
    /**
     * Return the caller's runs, newest first.
     *
     * @param {number} [count]
     * @param {string | null} [after]  the `next` of the previous page
     * @returns {Promise<{runs: RunHeading[], next: string | null}>}
     */
    runs: async (count = 20, after = null) => (await request(`/runs?count=${count}${after ? `&after=${encodeURIComponent(after)}` : ""}`)).json(),
    /** Give a run another title. @param {string} id @param {string} title @returns {Promise<RunHeading>} */
    rename: async (id, title) =>
      (await request(run(id), { method: "PATCH", body: JSON.stringify({ title }), headers: { "Content-Type": "application/json" } })).json(),
    /** @param {string} id */
    delete: async (id) => void (await request(run(id), { method: "DELETE" })),
    /** Return the address of a run's event stream. @param {string} id */
    events: (id) => `${base}${run(id)}/events`,
    /** Delete a run of the caller. @param {string} id */
    remove: async (id) => void (await request(run(id), { method: "DELETE" })),
    /** @param {string} id */
    cancel: async (id) => void (await request(`${run(id)}/cancel`, { method: "POST" })),
    /** @param {string} id @param {number} index @param {AbortSignal} [signal] @returns {Promise<Step>} */
    step: async (id, index, signal) => (await request(`${run(id)}/steps/${index}`, with_(signal))).json(),
    /**
     * Fetch packed steps, as msgpack.
     *
     * @param {string} id
     * @param {number} start
     * @param {number} count
     */
    packed: async (id, start, count) => {
      const headers = { Accept: "application/msgpack" };
      return (await request(`${run(id)}/steps?start=${start}&count=${count}`, { headers })).arrayBuffer();
    },
    /**
     * Fetch series of numbers over the steps, as msgpack.
     *
     * @param {string} id
     * @param {readonly string[]} keys
     * @param {{start?: number, points?: number}} [options]
     */
    series: async (id, keys, { start = 0, points } = {}) => {
      const query = new URLSearchParams([...keys.map((key) => ["key", key]), ["start", String(start)]]);
      if (points) query.set("points", String(points));
      return (await request(`${run(id)}/series?${query}`, { headers: { Accept: "application/msgpack" } })).arrayBuffer();
    },
    /** @param {string} id @param {string} graph @param {AbortSignal} [signal] @returns {Promise<Graph>} */
    graph: async (id, graph, signal) => (await request(`${run(id)}/graphs/${graph}`, with_(signal))).json(),
    /**
     * @param {string} id
     * @param {number} pass
     * @param {string} node
     * @param {AbortSignal} [signal]
     * @returns {Promise<NodeDetail>}
     */
    node: async (id, pass, node, signal) => (await request(`${run(id)}/passes/${pass}/nodes/${node}`, with_(signal))).json(),
    /** Explain a number. @param {string} id @param {string} href  such as `why?of=m.grad&step=3` @returns {Promise<Why>} */
    why: async (id, href) => (await request(`${run(id)}/${href}`)).json(),
    /**
     * Fetch numbers of the passes over a graph, in columns.
     *
     * @param {string} id
     * @param {string} graph
     * @param {number} start  index of the first pass
     * @param {string} fields
     * @param {number} [count]  maximum number of passes
     * @returns {Promise<{passes: number[], steps: number[], fields: Record<string, unknown[][]>, next: number | null}>}
     */
    frames: async (id, graph, start, fields, count = 1000) =>
      (await request(`${run(id)}/frames?graph=${graph}&start=${start}&count=${count}&fields=${fields}`)).json(),
    /**
     * Fetch the numbers of a map in several passes.
     *
     * @param {string} id
     * @param {string} graph
     * @param {string} view
     * @param {number} start  index of the first pass
     * @param {number} count  largest number of passes
     * @returns {Promise<MapNumbers>}
     */
    mapNumbers: async (id, graph, view, start, count) =>
      (await request(`${run(id)}/graphs/${graph}/map/numbers?view=${encodeURIComponent(view)}&start=${start}&count=${count}`)).json(),
    /**
     * Fetch the modules of a pass: the outermost ones, and those inside of open ones.
     *
     * @param {string} id
     * @param {number} pass
     * @param {readonly string[]} open  paths of open modules
     * @returns {Promise<ModelRows>}
     */
    models: async (id, pass, open) =>
      (await request(`${run(id)}/models?${new URLSearchParams([["pass", String(pass)], ...["", ...open].map((path) => ["open", path])])}`)).json(),
    /**
     * Search a graph.
     *
     * @param {string} id
     * @param {string} graph
     * @param {string} query
     * @param {number | null} pass  conditions refer to its gradients
     * @returns {Promise<GraphSearch>}
     */
    search: async (id, graph, query, pass) =>
      (await request(`${run(id)}/graphs/${graph}/search?q=${encodeURIComponent(query)}${pass === null ? "" : `&pass=${pass}`}`)).json(),
    /**
     * Judge code that a reader of a lesson wrote.
     *
     * @param {string} lesson
     * @param {"write" | "fix"} kind
     * @param {string} name  of the task
     * @param {string} code
     * @param {AbortSignal} signal
     * @returns {Promise<Judged>}
     */
    judge: async (lesson, kind, name, code, signal) =>
      (await request(`/lessons/${encodeURIComponent(lesson)}/${kind}/${encodeURIComponent(name)}`, { method: "POST", body: JSON.stringify({ code }), headers: { "Content-Type": "application/json" }, signal })).json(),
    /**
     * Run a program of a lesson with another value of a number, and read the numbers of the lesson in it.
     *
     * @param {string} lesson
     * @param {string} name  of the task
     * @param {number} value
     * @returns {Promise<{value: number, run: Run, numbers: Record<string, string>}>}
     */
    pull: async (lesson, name, value) => (await request(`/lessons/${encodeURIComponent(lesson)}/drag/${encodeURIComponent(name)}?value=${value}`)).json(),
    /** Fetch a picture as text. @param {string} path  relative to the path of the API @param {AbortSignal} [signal] */
    picture: async (path, signal) => (await request(path, with_(signal))).text(),
    /** @param {string} path */
    address: (path) => base + path,
  };
}

/** @typedef {ReturnType<typeof client>} Client */

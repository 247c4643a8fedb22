// Look at recordings: fetch what stands at the place looked at, and show it all at once. The latest wish wins.

import { Problem } from "../leaves/api.js";
import { running, trouble } from "./running.js";
import { shownPass } from "./state.js";
import { detailOf, nodeOf } from "./walk.js";

/** @import {Client} from "../leaves/api.js" */
/** @import {Graph, NodeDetail, Run, Step} from "../leaves/types.js" */
/** @import {State} from "./state.js" */
/** @import {Store} from "./store.js" */

const KEPT = 64; // pictures and details of one run
const MOST = 400_000; // numbers that are fetched for a curve

/**
 * @param {Store<State>} store
 * @param {Client} api
 * @param {(run: Run) => void} onrun  called just before another run is shown
 */
export function session(store, api, onrun) {
  /** @type {Map<string, Promise<unknown>>} */
  let known = new Map(); // answers about the run that is shown: a finished run never changes
  let look = 0; // of looking
  let ask = 0; // of inspecting

  /**
   * @template T
   * @param {string} key
   * @param {() => Promise<T>} fetch
   * @returns {Promise<T>}
   */
  function once(key, fetch) {
    const before = known.get(key);
    if (before) return /** @type {Promise<T>} */ (before);
    if (known.size > KEPT * 4) known = new Map([...known].slice(KEPT));
    const answer = fetch();
    known.set(key, answer);
    answer.catch(() => known.delete(key));
    return answer;
  }

  /** @param {Run} run @param {number} index @returns {Promise<Step>} */
  const stepOf = (run, index) => once(`step ${index}`, () => api.step(run.id, index));
  /** @param {Run} run @param {string} id @returns {Promise<Graph>} */
  const graphOf = (run, id) => once(`graph ${id}`, () => api.graph(run.id, id));
  /** @param {Run} run @param {string} what `passes/0` or `graphs/g1` @returns {Promise<string>} */
  const pictureOf = (run, what) => {
    const { direction } = store.get();
    return once(`picture ${what} ${direction}`, () => api.picture(picture(run.id, what, "svg", direction, "inline")));
  };

  /** Fetch what stands at the place looked at, all at once. */
  async function load() {
    const mine = ++look;
    const { run, at, pass, apart } = store.get();
    if (!run) return;
    try {
      if (apart) {
        const [graph, shown] = await Promise.all([graphOf(run, apart), pictureOf(run, `graphs/${apart}`)]);
        if (mine === look) arrive({ graph, picture: shown, absent: null });
        return;
      }
      if (!run.steps) return arrive({ step: null, graph: null, picture: null, absent: null });
      // a run whose steps have one pass each has pass k in step k: no need to wait for the step to ask for its picture
      const guess = pass ?? (run.passes === run.steps ? at : null);
      const ahead = guess === null ? null : pictureOf(run, `passes/${guess}`);
      const only = run.graphs[0] && graphOf(run, run.graphs[0].id);
      ahead?.catch(() => {}); // told below
      only?.catch(() => {});
      const step = await stepOf(run, at);
      const shown = shownPass({ ...store.get(), step });
      if (!shown) return void (mine === look && arrive({ step, graph: null, picture: null, absent: null }));
      const [graph, drawn] = await Promise.all([
        graphOf(run, shown.graph),
        (shown.index === guess && ahead ? ahead : pictureOf(run, `passes/${shown.index}`)).then(
          (text) => ({ picture: text, absent: null }),
          (problem) => ({ picture: null, absent: problem instanceof Problem ? problem.message : String(problem) }),
        ),
      ]);
      if (mine === look) arrive({ step, graph, ...drawn });
    } catch (error) {
      if (mine === look) store.set({ trouble: trouble(error), settled: true });
    }
  }

  /**
   * The loss of every step, from the value at the root of the graph that is shown.
   *
   * @param {Run} run
   * @param {Graph} graph
   * @returns {Promise<(number | null)[]>}
   */
  const lossesOf = (run, graph) =>
    once(`losses ${graph.id}`, async () => {
      /** @type {(number | null)[]} */
      const losses = Array(run.steps).fill(null);
      const root = graph.nodes.findIndex(({ id }) => id === graph.roots[0]);
      for (let start = /** @type {number | null} */ (0); start !== null;) {
        const part = await api.frames(run.id, graph.id, start, "value.mean");
        for (const [i, step] of part.steps.entries()) {
          const value = part.fields["value.mean"]?.[i]?.[root];
          if (step < run.steps) losses[step] = typeof value === "number" ? value : null;
        }
        start = part.next;
      }
      return losses;
    });

  async function curve() {
    const { run, graph, apart } = store.get();
    if (!run || !graph || apart || run.steps < 2 || run.steps * graph.nodes.length > MOST) return;
    try {
      const losses = await lossesOf(run, graph);
      const now = store.get();
      if (now.run === run && now.graph === graph) store.set({ losses });
    } catch {
      // the tape goes without its curve
    }
  }

  /** @param {Partial<State>} found */
  function arrive(found) {
    const graph = found.graph ?? null;
    const node = graph && (nodeOf(graph, store.get().node)?.id ?? first(graph));
    store.set({ ...found, node, settled: true });
    void inspect();
    void curve();
  }

  /** Fetch all about the selected node; what is here already is shown at once. */
  async function inspect() {
    const mine = ++ask;
    const state = store.get();
    const { run, graph, node: id } = state;
    if (!state.settled) return; // the graph that is here is another run's
    const node = graph && nodeOf(graph, id);
    if (!run || !graph || !node) return store.set({ detail: null, origin: null });
    const pass = shownPass(state);
    const here = detailOf(graph, pass, node, run.program);
    if (!pass && graph.roots.includes(node.id))
      here.numbers.value = run.lines.findLast((line) => line.graph === graph.id)?.tensor ?? null;
    const before = state.detail?.node.id === id ? state.origin : null;
    store.set({ detail: here, asking: pass !== null, origin: before });
    if (!pass) return;
    /** @param {string} about @returns {Promise<NodeDetail>} */
    const detail = (about) => once(`node ${pass.index} ${about}`, () => api.node(run.id, pass.index, about));
    // what a leaf got from one operation is explained by that operation
    const [source] = node.kind === "leaf" && here.incoming.length === 1 ? here.incoming : [];
    try {
      const [found, origin] = await Promise.all([detail(node.id), source ? detail(source.node) : null]);
      if (mine === ask) store.set({ detail: found, origin, asking: false });
    } catch {
      if (mine === ask) store.set({ asking: false });
    }
  }

  /**
   * Show a recording, at the place where the last one was looked at, or at the one that is given.
   *
   * @param {Run} answer
   * @param {Partial<State>} [place]
   */
  function show(answer, place = {}) {
    const { at, run: before, node } = store.get();
    known = new Map();
    onrun(answer);
    store.set({
      run: answer,
      edited: false,
      busy: null,
      settled: false,
      trouble: null,
      at: Math.max(0, Math.min(at, answer.steps - 1)),
      pass: null,
      apart: answer.steps ? null : (answer.lines.findLast(({ graph }) => graph)?.graph ?? null),
      losses: null,
      node: before?.program === answer.program ? node : null,
      ...(answer.steps ? {} : { step: null, graph: null, picture: null, absent: null, detail: null, origin: null }),
      ...place,
    });
    void load();
  }

  return {
    ...running(store, api, show, onrun),
    show,
    load,
    /** Look elsewhere. @param {Partial<Pick<State, "at" | "phase" | "pass" | "apart" | "direction">>} place */
    go(place) {
      const before = store.get();
      store.set(place);
      const now = store.get();
      if (now.at !== before.at || now.pass !== before.pass || now.apart !== before.apart || now.direction !== before.direction)
        void load();
    },
    /**
     * Look at the graph of a displayed tensor: in its step, where a pass reached it, else by itself.
     *
     * @param {string} graph
     */
    async display(graph) {
      const { run } = store.get();
      if (!run) return;
      const [pass, step] = await once(`reached ${graph}`, async () => {
        const { passes, steps } = await api.frames(run.id, graph, 0, "value.norm", 1);
        return [passes[0], steps[0]];
      }).catch(() => []);
      if (store.get().run !== run) return;
      store.set(
        step !== undefined && pass !== undefined && step < run.steps ? { at: step, pass, apart: null } : { apart: graph },
      );
      void load();
    },
    /** Select a node. @param {string} node */
    select(node) {
      if (store.get().node === node || !store.get().settled) return;
      store.set({ node });
      void inspect();
    },
    /**
     * Show the recording that the server wrote into the page.
     *
     * @param {{run: Run, step: Step | null, graph: Graph | null, node: string | null}} given
     */
    begin({ run: given, step, graph, node }) {
      if (step) known.set(`step ${step.index}`, Promise.resolve(step));
      if (graph) known.set(`graph ${graph.id}`, Promise.resolve(graph));
      store.set({ run: given, step, graph, node: graph ? (nodeOf(graph, node)?.id ?? first(graph)) : null });
      void inspect();
      void curve();
    },
  };
}

const SMALL = 12;

/**
 * The node that is looked at first: a leaf, for that is what a program is about; where there are many nodes, the root.
 *
 * @param {Graph} graph
 */
export const first = ({ nodes, roots }) =>
  (nodes.length <= SMALL ? nodes.find(({ kind }) => kind === "leaf")?.id : null) ?? roots[0] ?? null;

/**
 * The path of a picture under the API's.
 *
 * @param {string} run
 * @param {string} what  `passes/0` or `graphs/g1`
 * @param {string} format
 * @param {string} direction
 * @param {string} theme
 */
export const picture = (run, what, format, direction, theme) =>
  `/runs/${encodeURIComponent(run)}/${what}/graph.${format}?direction=${direction}&theme=${theme}`;

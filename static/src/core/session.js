// Look at recordings: fetch what stands at the place looked at, and show it all at once. The latest wish wins.

import { Problem } from "../leaves/api.js";
import { curvesOf } from "./curves.js";
import { lastPhase } from "./playhead.js";
import { running, trouble } from "./runner.js";
import { form } from "./scene.js";
import { ended, shownPass } from "./state.js";
import { steps } from "./step-cache.js";
import { detailOf, nodeOf } from "./graph-queries.js";

/** @import {Client} from "../leaves/api.js" */
/** @import {Graph, NodeDetail, Pass, Run, Step} from "../leaves/types.js" */
/** @import {Picture, State} from "./state.js" */
/** @import {Store} from "./store.js" */

const KEPT = 64; // pictures and details of one run
const HASTE = 90; // milliseconds between two looks at which details are not asked for yet

/**
 * @param {Store<State>} store
 * @param {Client} api
 * @param {(run: Run) => void} onrun  called just before a run is shown, for the first time or as it has gone on
 */
export function session(store, api, onrun) {
  /** @type {Map<string, Promise<unknown>>} */
  let known = new Map(); // answers about the run that is shown: what has been recorded never changes
  let tape = steps(api, "", () => ({ count: 0, nodes: 0 }));
  let look = 0; // of looking
  let seen = 0; // the last look that was answered
  let ask = 0; // of inspecting
  let asked = 0; // when
  let drawing = ""; // the run whose curves are asked for
  let landing = ""; // the run of which the end is asked for

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

  /** @param {Run} run @param {string} id @returns {Promise<Graph>} */
  const graphOf = (run, id) => once(`graph ${id}`, () => api.graph(run.id, id));
  /**
   * The picture of a pass, at any pass of the same form; or that of a graph which no pass reached.
   *
   * @param {Run} run
   * @param {string} graph
   * @param {Pass | null} pass
   * @returns {Promise<Picture>}
   */
  async function pictureOf(run, graph, pass) {
    const { direction } = store.get();
    const alike = pass ? (form(pass) ?? `pass ${pass.index}`) : "no pass";
    const what = pass ? `passes/${pass.index}` : `graphs/${graph}`;
    const svg = await once(`picture ${graph} ${direction} ${alike}`, () =>
      api.picture(picture(run.id, what, "svg", direction, "inline")),
    );
    return { svg, structure: `${run.id} ${graph} ${direction}`, form: alike };
  }

  /** Take up a run: from now on it is the one that is asked about. @param {Run} run */
  function take(run) {
    known = new Map();
    tape = steps(api, run.id, () => {
      const now = store.get().run ?? run;
      return { count: now.steps, nodes: Math.max(0, ...now.graphs.map(({ nodes }) => nodes)) };
    });
  }

  /** Fetch what stands at the place looked at, all at once. */
  async function load() {
    const mine = ++look;
    const { run, at, apart } = store.get();
    if (!run) return;
    try {
      if (apart) {
        const [graph, shown] = await Promise.all([graphOf(run, apart), pictureOf(run, apart, null)]);
        if (mine === look) arrive({ graph, picture: shown, absent: null });
        return;
      }
      if (!run.steps) return arrive({ step: null, graph: null, picture: null, absent: null });
      const own = tape;
      const step = await own.get(at);
      if (!step || own !== tape || mine < seen || store.get().apart) return;
      if (landing === run.id && step.index === run.steps - 1) store.set({ phase: lastPhase(step) });
      landing = "";
      const pass = shownPass({ ...store.get(), step });
      if (!pass) return void ((seen = mine), arrive({ step, graph: null, picture: null, absent: null }));
      const [graph, drawn] = await Promise.all([
        graphOf(run, pass.graph),
        pictureOf(run, pass.graph, pass).then(
          (shown) => ({ picture: shown, absent: null }),
          (problem) => ({ picture: null, absent: problem instanceof Problem ? problem.message : String(problem) }),
        ),
      ]);
      if (own !== tape || mine < seen || store.get().apart) return;
      seen = mine;
      arrive({ step, graph, ...drawn });
      own.ahead(at);
    } catch (error) {
      if (mine === look) store.set({ trouble: trouble(error), settled: true });
    }
  }

  /** Fetch how the numbers of the run went, those that are not here yet; one question at a time. */
  async function curve() {
    const { run, curves } = store.get();
    if (!run || run.steps < 2 || drawing === run.id || (curves && (curves.index.at(-1) ?? 0) >= run.steps - 1)) return;
    drawing = run.id;
    try {
      const found = await curvesOf(api, run, curves);
      if (store.get().run?.id === run.id) store.set({ curves: found });
    } catch {
      // the tape goes without its curve
    } finally {
      if (drawing === run.id) drawing = "";
    }
    const now = store.get();
    if (now.run?.id === run.id && now.run.steps > run.steps) void curve();
  }

  /** @param {Partial<State>} found */
  function arrive(found) {
    const graph = found.graph ?? null;
    const node = graph && (nodeOf(graph, store.get().node)?.id ?? first(graph));
    store.set({ ...found, node, settled: true });
    void inspect();
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
    const hasty = performance.now() - asked < HASTE;
    asked = performance.now();
    if (hasty) await new Promise((go) => setTimeout(go, HASTE));
    if (mine !== ask) return;
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
   * Show a recording: at the place where the last one was looked at, or at the one that is given. One that is shown already
   * has gone on; who looks at its last step is taken along.
   *
   * @param {Run} answer
   * @param {Partial<State>} [place]
   */
  function show(answer, place = {}) {
    const { at, run: before, node, busy } = store.get();
    const last = Math.max(0, answer.steps - 1);
    const over = ended(answer);
    const failed = over && answer.error !== null && answer.steps > 0 && !("at" in place); // then it opens where it stopped
    if (answer.id === before?.id) {
      const follow = at >= before.steps - 1 && (!over || failed);
      if (follow && failed) landing = answer.id;
      onrun(answer);
      store.set({ run: answer, busy: over ? null : busy, trouble: null, ...(follow ? { at: last } : {}), ...place });
    } else {
      take(answer);
      onrun(answer);
      landing = failed ? answer.id : "";
      store.set({
        run: answer,
        edited: false,
        busy: over ? null : busy,
        settled: false,
        trouble: null,
        playing: false,
        at: over && !failed ? Math.min(at, last) : last,
        ran: null,
        pass: null,
        apart: answer.steps ? null : (answer.lines.findLast(({ graph }) => graph)?.graph ?? null),
        curves: null,
        node: before?.program === answer.program ? node : null,
        ...(answer.steps ? {} : { step: null, graph: null, picture: null, absent: null, detail: null, origin: null }),
        ...place,
      });
    }
    void load();
    void curve();
  }

  /** Look at where the recording ends: at the last phase of its last step. */
  function end() {
    const { run } = store.get();
    if (!run?.steps) return;
    landing = run.id;
    store.set({ at: run.steps - 1, ran: null, pass: null, apart: null });
    void load();
  }

  return {
    ...running(store, api, show),
    show,
    load,
    end,
    /** Look elsewhere. @param {Partial<Pick<State, "at" | "phase" | "ran" | "pass" | "apart" | "direction" | "node">>} place */
    go(place) {
      const before = store.get();
      store.set("phase" in place || "at" in place ? { ran: null, ...place } : place);
      const now = store.get();
      if (now.at !== before.at || now.pass !== before.pass || now.apart !== before.apart || now.direction !== before.direction)
        void load();
      else if (now.node !== before.node) void inspect();
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
     * @param {{run: Run, step: Step | null, graph: Graph | null, node: string | null, svg: string | null}} given
     */
    begin({ run: given, step, graph, node, svg }) {
      take(given);
      if (step) tape.keep(step);
      if (graph) known.set(`graph ${graph.id}`, Promise.resolve(graph));
      const pass = shownPass({ ...store.get(), step });
      const { direction } = store.get();
      const alike = pass ? (form(pass) ?? `pass ${pass.index}`) : "no pass";
      if (graph && svg) known.set(`picture ${graph.id} ${direction} ${alike}`, Promise.resolve(svg));
      store.set({
        run: given,
        step,
        graph,
        node: graph ? (nodeOf(graph, node)?.id ?? first(graph)) : null,
        picture: graph && svg ? { svg, structure: `${given.id} ${graph.id} ${direction}`, form: alike } : null,
        apart: graph && svg && !pass ? graph.id : store.get().apart,
      });
      void inspect();
      void curve();
      if (step) tape.ahead(step.index);
    },
  };
}

const SMALL = 12; // as in `app/web/playground.py`

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

// Show recordings: fetch everything for the current view, and show it at once. A newer request replaces an older one.

import { Problem } from "../leaves/api.js";
import { curvesOf, withParameter } from "./curves.js";
import { expected, lastStep, moved, opened, wantedOf, within, withoutInstant } from "./instant.js";
import { pictures, shows } from "./pictures.js";
import { runner, trouble } from "./runner.js";
import { ended, shownPass } from "./state.js";
import { stepCache } from "./step-cache.js";
import { detailOf, nodeOf } from "./graph-queries.js";

/** @import {Client} from "../leaves/api.js" */
/** @import {Graph, NodeDetail, Pass, Run, Step} from "../leaves/types.js" */
/** @import {Instant} from "./instant.js" */
/** @import {Coming, State} from "./state.js" */
/** @import {Store} from "./store.js" */

const KEPT = 64; // answers about one run that stay in the cache when it is trimmed
/** The fields of a view that need another picture. @type {readonly ("direction" | "density" | "layout")[]} */
const LOOK = ["direction", "density", "layout"];
const HASTE = 90; // a node's detail is fetched once the playhead has rested for this many milliseconds

/**
 * Return functions that run programs, show recordings and change the view.
 *
 * @param {Store<State>} store
 * @param {Client} api
 * @param {(run: Run) => void} onrun  called just before a run is shown, for the first time or after it has grown
 */
export function session(store, api, onrun) {
  /** @type {Map<string, Promise<unknown>>} */
  let cached = new Map(); // answers about the shown run; a recording never changes
  let tape = stepCache(api, "", () => ({ count: 0, nodes: 0 }));
  let latest = 0; // number of the latest load
  let arrived = 0; // number of the latest load that has been shown
  let inspection = 0; // number of the latest inspection
  let explained = /** @type {Pass | null} */ (null); // the pass that the shown `origin` belongs to
  let inspectedAt = 0; // time of the latest inspection, in milliseconds
  let drawing = ""; // the run whose curves are being fetched
  let asked = /** @type {Partial<State>} */ ({}); // the view that was requested with the shown run
  let untouched = ""; // id of the run whose playhead the user has not moved yet
  let named = false; // the selected node belongs to the graph that is loading, not to the shown one
  let sought = /** @type {string | null} */ (null); // the node that the next picture reveals

  /**
   * Fetch an answer, or take it from the cache.
   *
   * @template T
   * @param {string} key
   * @param {() => Promise<T>} fetch
   * @returns {Promise<T>}
   */
  function once(key, fetch) {
    const before = cached.get(key);
    if (before) return /** @type {Promise<T>} */ (before);
    if (cached.size > KEPT * 4) cached = new Map([...cached].slice(KEPT));
    const answer = fetch();
    cached.set(key, answer);
    answer.catch(() => cached.delete(key));
    return answer;
  }

  /** @param {Run} run @param {string} id @returns {Promise<Graph>} */
  const graphOf = (run, id) => once(`graph ${id}`, () => api.graph(run.id, id));
  const drawings = pictures(api, once);
  /**
   * Fetch the picture of a pass or graph in the current view. A map also shows the node that is being revealed.
   *
   * @param {Run} run
   * @param {string} graph
   * @param {Pass | null} pass
   */
  const pictureOf = (run, graph, pass) => drawings.get(run, graph, pass, expected(store.get()), sought);
  /** Return a change of the shown recording, or of the one that is loading. @param {Partial<State>} change @returns {Partial<State>} */
  const ofExpected = (change) => {
    const { coming } = store.get();
    return coming ? { coming: /** @type {Coming} */ ({ ...coming, ...change }) } : change;
  };

  /** Start with another run: forget the answers about the last one. @param {Run} run */
  function take(run) {
    cached = new Map();
    tape = stepCache(api, run.id, () => {
      const now = expected(store.get()).run ?? run;
      return { count: now.steps, nodes: Math.max(0, ...now.graphs.map(({ nodes }) => nodes)) };
    });
  }

  /** Fetch everything for the current view. */
  async function load() {
    const mine = ++latest;
    const { run } = expected(store.get());
    const want = wantedOf(store.get());
    const { at, apart } = want;
    if (!run) return;
    try {
      if (apart) {
        const [graph, shown] = await Promise.all([graphOf(run, apart), pictureOf(run, apart, null)]);
        if (mine === latest) arrive({ graph, picture: shown, absent: null }, want, mine);
        return;
      }
      if (lastStep(run) < 0) return arrive({ step: null, graph: null, picture: null, absent: null }, want, mine);
      const own = tape;
      const [graph0] = run.graphs;
      if (ended(run) && !cached.size && run.passes === 1 && graph0) {
        drawings.ahead(run, expected(store.get())); // before the step says which pass and graph it has: there is one pass
        graphOf(run, graph0.id).catch(() => {});
      }
      const step = await own.get(at);
      if (!step || own !== tape || mine < arrived) return;
      const pass = shownPass({ ...want, step });
      if (!pass) return void ((arrived = mine), arrive({ step, graph: null, picture: null, absent: null }, within(want, step), mine));
      const [graph, drawn] = await Promise.all([
        graphOf(run, pass.graph),
        pictureOf(run, pass.graph, pass).then(
          (shown) => ({ picture: shown, absent: null }),
          (problem) => ({ picture: null, absent: problem instanceof Problem ? problem.message : String(problem) }),
        ),
      ]);
      if (own !== tape || mine < arrived) return;
      arrived = mine;
      arrive({ step, graph, ...drawn }, within(want, step), mine);
      own.stay(at);
    } catch (error) {
      if (mine === latest) store.set({ busy: expected(store.get()).busy, trouble: trouble(error), coming: null, wanted: null });
    }
  }

  /** Fetch the curves of the run that are not loaded yet, one request at a time. */
  async function curve() {
    const { run, curves } = expected(store.get());
    if (!run || !run.steps || lastStep(run) < 1 || drawing === run.id || (curves && (curves.index.at(-1) ?? 0) >= run.steps - 1)) return;
    drawing = run.id;
    try {
      const found = await curvesOf(api, run, curves);
      if (expected(store.get()).run?.id === run.id) store.set(ofExpected({ curves: found }));
    } catch {
      // without curves the tape still works
    } finally {
      if (drawing === run.id) drawing = "";
    }
    const now = expected(store.get());
    if (now.run?.id === run.id && now.run.steps > run.steps) void curve();
  }

  /** Fetch the curves of the chosen parameter, unless they were fetched with the first curves. */
  async function curveOfParameter() {
    const { run, curves, parameter } = store.get();
    if (!run || !ended(run) || !curves || parameter === null) return;
    const found = await withParameter(api, run, parameter, curves).catch(() => null);
    if (found && store.get().curves === curves) store.set({ curves: found });
  }
  store.watch(["parameter", "curves"], () => void curveOfParameter());

  /**
   * Show the fetched parts, and the run and instant that they belong to.
   *
   * @param {Partial<State>} found
   * @param {Instant} instant
   * @param {number} mine  number of the load
   */
  function arrive(found, instant, mine) {
    const graph = found.graph ?? null;
    const node = graph && selectedIn(graph);
    named = false;
    const target = node !== null && node === sought ? node : null;
    // a node that was revealed has changed the view of a map
    const view = target && found.picture?.map ? { view: found.picture.view, viewOf: graph?.id ?? null } : {};
    sought = null;
    const { coming } = store.get();
    if (coming) onrun(coming.run);
    store.set({ ...coming, ...found, ...view, ...instant, node, target, coming: null, wanted: mine === latest ? null : store.get().wanted });
    void inspect();
  }

  /**
   * Return the selected node of a graph: the current one, if the graph has it. If this is not the shown graph, return the leaf of
   * the same parameter, because graphs do not share ids.
   *
   * @param {Graph} graph
   */
  function selectedIn(graph) {
    const { node, graph: shown } = expected(store.get());
    if (shown && shown.id !== graph.id && !named && node !== sought) {
      const parameter = node !== first(shown) && shown.nodes.find(({ id }) => id === node)?.parameter;
      return (parameter && graph.nodes.find((each) => each.parameter === parameter)?.id) || first(graph);
    }
    const left = Boolean(node && graph.omitted?.["nodes"]); // the graph has nodes that were left out
    return nodeOf(graph, node)?.id ?? (left ? node : first(graph));
  }

  /** Show the selected node: the loaded detail at once, the rest when it has been fetched. */
  async function inspect() {
    const mine = ++inspection;
    const state = store.get();
    const { run, graph, node: id } = state;
    if (state.coming) return; // only answers about the run that is loading are cached
    const node = graph && nodeOf(graph, id);
    const pass = shownPass(state);
    if (run && graph?.omitted?.["nodes"] && pass && id && !node) return void fetchDetail(run, pass, id, mine);
    if (!run || !graph || !node) return store.set({ detail: null, origin: null });
    const here = detailOf(graph, pass, node, run.program);
    if (!pass) here.numbers.value = displayed(run, graph, node);
    const same = state.detail?.node.id === id && explained === pass;
    store.set({ detail: here, asking: pass !== null, origin: same ? state.origin : null });
    if (!pass) return;
    const hasty = performance.now() - inspectedAt < HASTE;
    inspectedAt = performance.now();
    if (hasty) await new Promise((go) => setTimeout(go, HASTE));
    if (mine !== inspection) return;
    /** @param {string} about @returns {Promise<NodeDetail>} */
    const detail = (about) => once(`node ${pass.index} ${about}`, () => api.node(run.id, pass.index, about));
    // the operation explains the gradient that a leaf received from it
    const [source] = node.kind === "leaf" && here.incoming.length === 1 ? here.incoming : [];
    try {
      const [found, origin] = await Promise.all([detail(node.id), source ? detail(source.node) : null]);
      if (mine !== inspection) return;
      explained = pass;
      store.set({ detail: found, origin, asking: false });
    } catch {
      if (mine === inspection) store.set({ asking: false });
    }
  }

  /** Show a node that the loaded part of a large graph does not have. @param {Run} run @param {Pass} pass @param {string} node @param {number} mine */
  async function fetchDetail(run, pass, node, mine) {
    try {
      const detail = await once(`node ${pass.index} ${node}`, () => api.node(run.id, pass.index, node));
      if (mine === inspection) store.set({ detail, origin: null, asking: false });
    } catch {
      if (mine === inspection) store.set({ detail: null, origin: null, asking: false });
    }
  }

  /**
   * Return the selection of the node that a run opens with, unless the view is another one.
   *
   * @param {Run} run
   * @param {Partial<State>} view
   * @returns {Partial<State>}
   */
  function opening({ opens_at: opens }, view) {
    if (!opens?.node || ["at", "phase", "pass", "apart", "node"].some((key) => key in view)) return {};
    [named, sought] = [true, opens.node];
    return { node: opens.node };
  }

  /**
   * Show a recording, with the current view or a given one, once its numbers are loaded. If the recording is already shown or
   * loading, it has grown, and a playhead on its last step follows.
   *
   * @param {Run} answer
   * @param {Partial<State>} [view]
   */
  function show(answer, view = {}) {
    const now = store.get();
    const { run: before, busy } = expected(now);
    const over = ended(answer);
    if (answer.id === before?.id) {
      const here = wantedOf(now);
      const follow = here.at >= lastStep(before) && (!over || untouched === answer.id);
      if (!now.coming) onrun(answer);
      const grown = ofExpected({ run: answer, busy: over ? null : busy, ...(over && follow ? opening(answer, view) : {}), ...withoutInstant(view) });
      store.set({ ...grown, trouble: null, wanted: follow ? opened(answer, asked) : moved(here, view) });
    } else {
      take(answer);
      untouched = answer.id;
      asked = view;
      named = "node" in view;
      const again = now.run?.program === answer.program && lastStep(answer) >= 0; // the same program: the instant stays
      const { at, phase } = wantedOf(now);
      store.set({
        trouble: null,
        playing: false,
        wanted: opened(answer, again ? { at, phase, ...view } : view),
        coming: {
          edited: false,
          busy: over ? null : busy,
          view: null,
          viewOf: again || view.view != null || view.layout != null ? null : "", // a small graph of another program is drawn whole
          curves: null,
          step: null,
          node: again ? now.node : null,
          ...(again ? {} : opening(answer, view)),
          parameter: again || answer.parameters.some(({ id }) => id === now.parameter) ? now.parameter : null,
          ...withoutInstant(view),
          run: answer,
        },
      });
    }
    void load();
    void curve();
  }

  /**
   * Move to an instant: at once if its numbers are loaded, else when they are.
   *
   * @param {Partial<Instant>} move
   * @param {Partial<State>} [more]  other fields to set
   * @param {boolean} [reload]  these need another picture
   */
  function move(move, more = {}, reload = false) {
    untouched = "";
    named ||= "node" in more;
    const before = expected(store.get());
    const next = moved(wantedOf(before), move);
    next.at = Math.max(0, Math.min(next.at, lastStep(before.run)));
    const loads = reload || before.wanted !== null || next.at !== before.at || next.pass !== before.pass || next.apart !== before.apart;
    store.set({ ...ofExpected(more), ...(loads ? { wanted: next } : next) });
    if (loads) void load();
  }

  /** Move to the end of the recording: the last phase of its last step. */
  function end() {
    const last = lastStep(expected(store.get()).run);
    if (last >= 0) move({ at: last, phase: "update", pass: null, apart: null });
  }

  return {
    ...runner(store, api, show),
    show,
    load,
    end,
    /** Fetch a step again, because a replay has recorded it whole. @param {number} index */
    again(index) {
      tape.drop(index);
      cached = new Map([...cached].filter(([key]) => !key.startsWith("node ")));
      void load();
    },
    /** Return whether the playhead is where the run was opened: playback then starts with the forward phase. */
    opened: () => untouched !== "" && untouched === expected(store.get()).run?.id,
    /** Fetch steps around the playhead, because it is about to move. */
    prepare: () => tape.prepare(),
    /** Change the view. @param {Partial<import("./state.js").View>} view */
    go(view) {
      const before = expected(store.get());
      const viewOf = view.view === undefined && view.layout === undefined ? {} : { viewOf: before.graph?.id ?? null };
      const redraws = [...LOOK, /** @type {const} */ ("view")].some((field) => view[field] !== undefined && view[field] !== before[field]);
      move(view, { ...withoutInstant(view), ...viewOf }, redraws);
      if (!store.get().wanted && store.get().node !== before.node) void inspect();
    },
    /**
     * Show the graph of a displayed tensor: in its step if a pass reached it, else by itself.
     *
     * @param {string} graph
     */
    async display(graph) {
      const { run, coming } = store.get();
      if (!run || coming) return;
      const [pass, step] = await once(`reached ${graph}`, async () => {
        const { passes, steps } = await api.frames(run.id, graph, 0, "value.norm", 1);
        return [passes[0], steps[0]];
      }).catch(() => []);
      if (store.get().run !== run || store.get().coming) return;
      move(step !== undefined && pass !== undefined && step < run.steps ? { at: step, pass, apart: null } : { apart: graph }, { view: null }, true);
    },
    /** Select a node, and leave the view as it is. @param {string} node */
    select(node) {
      if (store.get().node === node || store.get().coming) return;
      store.set({ node });
      void inspect();
    },
    /**
     * Select a node and show it: open its groups in a map, and bring it into view. Every part of the page that names a node
     * calls this.
     *
     * @param {string} node
     * @param {Partial<Pick<State, "at" | "phase" | "ran" | "pass" | "apart">>} [instant]  where to show it; default: where the playhead is
     */
    reveal(node, instant = {}) {
      const { picture, graph, coming } = store.get();
      if (coming) return;
      store.set({ pane: "graph" });
      if (!Object.keys(instant).length && graph && picture && (!picture.map || shows(picture, node))) {
        store.set({ node, target: node });
        return void inspect();
      }
      sought = node;
      move(instant, { node }, true);
    },
    /**
     * Open a group of a map, bring it into view, and show a node of it. If the graph is drawn whole, only show the node.
     *
     * @param {string} id
     * @param {string | null} node  an operation of the group
     */
    openGroup(id, node) {
      const { picture, graph, coming } = store.get();
      if (coming) return;
      if (!picture?.map) return void (node && this.reveal(node));
      sought = node;
      const view = [picture.view, id].filter(Boolean).join(",");
      move({}, { pane: "graph", goal: id, view, viewOf: graph?.id ?? null, ...(node === null ? {} : { node }) }, true);
    },
    /**
     * Show the recording that the server wrote into the page.
     *
     * @param {{run: Run, step: Step | null, graph: Graph | null, node: string | null, svg: string | null}} given
     */
    begin({ run: given, step, graph, node, svg }) {
      take(given);
      untouched = location.search ? "" : given.id;
      const addressed = store.get().node ?? (untouched ? (given.opens_at?.node ?? null) : null);
      if (step) tape.keep(step);
      const part = Boolean(graph?.omitted?.["nodes"]); // the page has only the neighbours of the selected node
      if (graph && !part) cached.set(`graph ${graph.id}`, Promise.resolve(graph));
      const pass = shownPass({ ...store.get(), step });
      store.set({
        run: given,
        step,
        graph,
        node: graph ? (nodeOf(graph, node)?.id ?? first(graph)) : null,
        picture: svg && graph ? drawings.keep(given, graph.id, pass, store.get(), svg) : null,
        apart: graph && svg && !pass ? graph.id : store.get().apart,
      });
      void inspect();
      void curve();
      const { picture } = store.get();
      const laidOutAgain = svg !== null && graph !== null && picture === null;
      if (addressed !== null && (laidOutAgain || (picture?.map && !shows(picture, addressed)))) sought = addressed;
      if (part || sought) void load();
      if (step) tape.stay(step.index);
    },
  };
}

/**
 * Return the value that the editor shows for a node of a graph that no pass reaches; null if none was recorded.
 *
 * @param {Run} run
 * @param {Graph} graph
 * @param {import("../leaves/types.js").GraphNode} node
 */
function displayed({ lines, program }, graph, { id, name, file, line }) {
  if (graph.roots.includes(id)) return lines.findLast((each) => each.graph === graph.id)?.tensor ?? null;
  const source = line === null || file !== null ? "" : (program.split("\n")[line - 1] ?? "").trim();
  if (!name || !source.startsWith(name) || !/^\s*=(?!=)/.test(source.slice(name.length))) return null;
  return lines.find((each) => each.file === null && each.line === line)?.tensor ?? null;
}

const [FEW, SOME] = [12, 40]; // as in `app/web/pages/playground.py`

/**
 * Return the node that is selected first: a leaf, or the root of a large graph. A graph with one leaf may have more nodes.
 *
 * @param {Graph} graph
 */
export function first({ nodes, roots, omitted }) {
  const leaves = nodes.filter(({ kind }) => kind === "leaf");
  const small = nodes.length + (omitted?.["nodes"] ?? 0) <= (leaves.length === 1 ? SOME : FEW);
  return (small ? leaves[0]?.id : null) ?? roots[0] ?? null;
}

// Show on the stage what a passage asks for: a recording at an instant, nodes in focus, the inspector, charts.

import { nodeByName } from "../../core/nodes-by-name.js";
import { expected, lastStep } from "../../core/instant.js";

/** @import {Run} from "../../leaves/types.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */
/** @import {LessonView} from "./types.js" */
/** @typedef {ReturnType<typeof import("../../core/session.js").session>} Session */
/** @typedef {ReturnType<typeof import("../../widgets/graph.js").graph>} Canvas */

/**
 * Return functions that show views.
 *
 * @param {object} options
 * @param {Store<State>} options.state
 * @param {Session} options.work
 * @param {Canvas} options.canvas
 * @param {(recording: string) => Run | null} options.runOf    the shown run of a recording: that of a dragged number, or the lesson's
 * @param {() => boolean} options.narrow                       whether the inspector would cover the text
 * @param {(open: boolean) => void} options.oninspect          open or close the inspector
 * @param {(panes: LessonView["panes"]) => void} options.onpanes
 */
export function views({ state, work, canvas, runOf, narrow, oninspect, onpanes }) {
  /** @type {LessonView | null} */
  let shown = null;

  /** Return the ids of the nodes with these names in the shown graph. @param {readonly string[]} names */
  function nodes(names) {
    const { graph, run } = state.get();
    return graph && run ? names.flatMap((name) => nodeByName(graph, run.program, name) ?? []) : [];
  }

  /** Light the nodes in focus, dim what has not run at the playhead's line, and select a node. */
  function light() {
    const { graph, run, picture } = state.get();
    if (!shown || !graph || !picture || picture.map || run?.id !== runOf(shown.recording)?.id) return;
    const focus = nodes(shown.focus);
    canvas.light(focus.length ? focus : null);
    const { playhead } = shown;
    const later = new Set(playhead === null ? [] : graph.nodes.filter(({ line, kind }) => kind !== "leaf" && (line ?? 0) > playhead).map(({ id }) => id));
    for (const leaf of graph.nodes) if (playhead !== null && leaf.kind === "leaf" && (leaf.line ?? 0) > playhead) later.add(leaf.id);
    for (const each of /** @type {NodeListOf<SVGElement>} */ (canvas.querySelectorAll(".node, .edge"))) {
      const { node, source, target } = each.dataset;
      each.classList.toggle("later", later.has(node ?? "") || later.has(source ?? "") || later.has(target ?? ""));
    }
    const [chosen] = nodes(shown.select ? [shown.select] : []);
    if (chosen) work.select(chosen);
  }

  state.watch(["picture", "graph"], light);

  return {
    nodes,
    /** Show a view. @param {LessonView} view */
    show(view) {
      const run = runOf(view.recording);
      shown = view;
      onpanes(view.panes);
      oninspect(view.select !== null && !narrow());
      if (!run) return;
      const last = lastStep(run);
      const wanted = view.step ?? -1;
      const at = Math.max(0, Math.min(last, wanted < 0 ? last + 1 + wanted : wanted));
      const phase = view.phase ?? (view.playhead === null ? "backward" : "forward");
      const instant = { at, phase, ran: view.ran, pass: null };
      const compare = view.with === null ? null : (runOf(view.with)?.id ?? null);
      if (run.id === expected(state.get()).run?.id) work.go({ ...instant, ...(last < 0 ? {} : { apart: null }), compare });
      else work.show(run, { ...instant, compare });
      light();
    },
    /** Show the view again, because another run has replaced the one of its recording. */
    refresh() {
      if (shown) this.show(shown);
    },
    /** Return the view that is shown. */
    shown: () => shown,
    /** Light some nodes for a moment; null lights those of the view again. @param {readonly string[] | null} names */
    glance(names) {
      const ids = names && nodes(names);
      if (ids?.length) canvas.light(ids);
      else light();
    },
  };
}

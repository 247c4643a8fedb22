// The tools for large graphs: the breadcrumb, the search and the overview. They are loaded when they are needed.

import { nodeOf, sourceOf } from "../../core/graph-queries.js";
import { shownPass } from "../../core/state.js";
import { find } from "../../leaves/dom.js";
import { shortTitle } from "../../leaves/naming.js";
import { crumbs } from "../../widgets/crumbs.js";
import { overview } from "../../widgets/overview.js";
import { search } from "../../widgets/search.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */
/** @import {SearchHit} from "../../leaves/types.js" */
/** @typedef {ReturnType<typeof import("../../widgets/graph.js").graph>} Canvas */
/** @typedef {ReturnType<typeof import("../../core/session.js").session>} Session */

const TITLE = 34; // maximum characters of a node's title in the breadcrumb

/**
 * Set up the breadcrumb, the search and the overview.
 *
 * @param {Store<State>} state
 * @param {Session} work
 * @param {Client} api
 * @param {Canvas} canvas
 */
export function explore(state, work, api, canvas) {
  const bar = find("#explore");
  const corner = overview({ oncentre: canvas.centre });
  const way = crumbs({
    onclose: ({ id, view }) => canvas.turn(id, view),
    onopen: () => void (state.get().node && work.reveal(state.get().node ?? "")),
  });
  /** @type {readonly SearchHit[]} */
  let found = [];
  const field = search({
    find(query) {
      const { run, graph } = state.get();
      if (!run || !graph) return Promise.resolve({ graph: "", pass: null, q: query, count: 0, hits: [] });
      return api.search(run.id, graph.id, query, shownPass(state.get())?.index ?? null);
    },
    onhit: ({ node }) => work.reveal(node),
    onfound(hits) {
      found = hits;
      canvas.flag(found);
    },
    onleave: canvas.enter,
  });
  bar.append(way, field);
  canvas.append(corner);

  /** Show the overview of the part in view. */
  function look() {
    const { picture } = state.get();
    corner.show(picture?.map ? canvas.svg() : null, canvas.place(), { width: canvas.clientWidth, height: canvas.clientHeight });
  }

  state.watch(["picture", "node", "detail", "graph"], ({ picture, node, graph, detail, run }) => {
    const own = graph && nodeOf(graph, node);
    const named = own ?? (detail?.node.id === node ? detail?.node : null);
    const title = named ? shortTitle(named, sourceOf(named, run?.program ?? ""), TITLE) : (node ?? "");
    way.hidden = !picture?.map;
    way.show(canvas.way(), title);
    canvas.flag(found);
    corner.refresh();
  });
  /** @type {string} */
  let searched = "";
  state.watch(["graph", "step", "pass", "apart"], (now) => {
    const here = `${now.run?.id} ${now.graph?.id} ${shownPass(now)?.index}`;
    if (here !== searched) field.again();
    searched = here;
  });

  return {
    look,
    /** Focus the search field. */
    search: field.start,
  };
}

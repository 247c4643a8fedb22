// Fetch pictures of passes and graphs. A large graph is drawn as a map. An address names its view; the server chooses the first
// one.

import { form } from "./scene.js";

/** @import {Client} from "../leaves/api.js" */
/** @import {Pass, Run} from "../leaves/types.js" */
/** @import {Direction, Picture} from "./state.js" */

const DRAWN = 150; // nodes of a graph above which the server draws a map, as in `app/drawing/plan.py`

/** @typedef {{direction: Direction, view: string | null, viewOf: string | null}} Look */

/**
 * Return functions that fetch pictures.
 *
 * @param {Client} api
 * @param {<T>(key: string, fetch: () => Promise<T>) => Promise<T>} once  take an answer from the cache, or fetch it
 */
export function pictures(api, once) {
  /** The view that the server chose for each graph: all passes are shown in it. @type {Map<string, string>} */
  const first = new Map();

  /**
   * Return whether a picture is a map, the address of its view, its key in the cache, and two names that other passes may
   * share: that of its structure and that of the form of its pass.
   *
   * @param {Run} run
   * @param {string} graph
   * @param {Pass | null} pass
   * @param {Look} look
   */
  function keysOf(run, graph, pass, { direction, view: chosen, viewOf }) {
    const large = (run.graphs.find(({ id }) => id === graph)?.nodes ?? 0) > DRAWN;
    // the view of another graph does not turn a small graph into a map
    const view = large || viewOf === null || viewOf === graph ? chosen : null;
    const map = view !== null || large || first.has(`${run.id} ${graph}`);
    const address = map ? (view ?? first.get(`${run.id} ${graph}`) ?? null) : null;
    // the boxes of a map have sums, which only the server computes
    const shared = pass ? ((map ? null : form(pass)) ?? `pass ${pass.index}`) : "no pass";
    const name = `${graph} ${direction}${map ? ` map ${address}` : ""}`;
    return { map, address, key: `picture ${name} ${shared}`, structure: `${run.id} ${name}`, form: shared };
  }

  /** Return a picture from its text. @param {Run} run @param {string} graph @param {Pass | null} pass @param {Look} look @param {string} svg @returns {Picture} */
  function made(run, graph, pass, look, svg) {
    const shown = viewOf(svg);
    const before = keysOf(run, graph, pass, look);
    if (before.address === null && shown !== null) first.set(`${run.id} ${graph}`, shown);
    // an address that the server has corrected is still the address of this picture
    const { key, ...names } = before.address === null ? keysOf(run, graph, pass, look) : before;
    if (key !== before.key) void once(key, () => Promise.resolve(svg));
    return { svg, structure: names.structure, form: names.form, map: shown !== null, view: shown };
  }

  return {
    /**
     * Return the picture of a pass, which all passes of the same form share, or the picture of a graph that no pass reached.
     * A map has the given view; it is opened further if it does not show the node `shown`.
     *
     * @param {Run} run
     * @param {string} graph
     * @param {Pass | null} pass
     * @param {Look} look
     * @param {string | null} shown
     * @returns {Promise<Picture>}
     */
    async get(run, graph, pass, look, shown) {
      const what = pass ? `passes/${pass.index}` : `graphs/${graph}`;
      const { direction } = look;
      const { key, address } = keysOf(run, graph, pass, look);
      const svg = await once(key, () => api.picture(picture(run.id, what, "svg", direction, "inline", address)));
      const drawn = made(run, graph, pass, look, svg);
      if (!drawn.map || shown === null || shows(drawn, shown)) return drawn;
      const path = `${picture(run.id, what, "svg", direction, "inline", drawn.view)}&reveal=${encodeURIComponent(shown)}`;
      const opened = await once(`${key} reveal ${shown}`, () => api.picture(path));
      const view = viewOf(opened);
      if (view === null) return drawn;
      const further = { direction, view, viewOf: graph };
      void once(keysOf(run, graph, pass, further).key, () => Promise.resolve(opened));
      return made(run, graph, pass, further, opened);
    },
    /** Keep the picture that the server wrote into the page. @param {Run} run @param {string} graph @param {Pass | null} pass @param {Look} look @param {string} svg */
    keep(run, graph, pass, look, svg) {
      void once(keysOf(run, graph, pass, look).key, () => Promise.resolve(svg));
      return made(run, graph, pass, look, svg);
    },
  };
}

/** Return whether a picture has the card of a node. @param {Picture} picture @param {string} node */
export const shows = ({ svg }, node) => svg.includes(`data-node="${node}"`);

/** Return the address of the view that a map shows; null if the picture is no map. @param {string} svg */
function viewOf(svg) {
  const address = /^<svg[^>]* data-view="([^"]*)"/.exec(svg)?.[1];
  if (address === undefined) return null;
  return new DOMParser().parseFromString(address, "text/html").documentElement.textContent ?? "";
}

/**
 * Return the path of a picture, relative to the path of the API.
 *
 * @param {string} run
 * @param {string} what  `passes/0` or `graphs/g1`
 * @param {string} format
 * @param {string} direction
 * @param {string} theme
 * @param {string | null} view  the open groups of a map
 */
export const picture = (run, what, format, direction, theme, view = null) =>
  `/runs/${encodeURIComponent(run)}/${what}/graph.${format}?direction=${direction}&theme=${theme}` +
  (view === null ? "" : `&view=${encodeURIComponent(view)}`);

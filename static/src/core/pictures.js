// Fetch pictures of passes and graphs. A large graph is drawn as a map. An address names its view; the server chooses the first
// one.

import { mapFigures } from "./map-figures.js";
import { form } from "./scene.js";

/** @import {Client} from "../leaves/api.js" */
/** @import {Pass, Run} from "../leaves/types.js" */
/** @import {Direction, Layout, Picture} from "./state.js" */

const DRAWN = 150; // nodes of a graph above which the server draws a map, as in `app/drawing/plan.py`

const NARROW = 760; // width of the screen up to which a map is drawn as rows, in pixels: rows need no panning sideways

/** @typedef {{direction: Direction, density: "full" | "compact", view: string | null, viewOf: string | null, layout: Layout | null}} Look */
/** @typedef {"graph" | "rows"} MapLayout */

/**
 * Return functions that fetch pictures.
 *
 * @param {Client} api
 * @param {<T>(key: string, fetch: () => Promise<T>) => Promise<T>} once  take an answer from the cache, or fetch it
 */
export function pictures(api, once) {
  /** The view that the server chose for each graph: all passes are shown in it. @type {Map<string, string>} */
  const first = new Map();
  /** The graphs of at most `DRAWN` nodes that the server draws as a map unless every node is asked for. @type {Set<string>} */
  const maps = new Set();
  /** The graphs that the server draws as a map even then, because a card for each node would be too large. @type {Set<string>} */
  const unfitting = new Set();
  /** How the server laid out the first map of each graph. Later maps have the same layout, so that boxes stay where they are. @type {Map<string, MapLayout>} */
  const layouts = new Map();
  /** The pass whose numbers the picture of a structure has. @type {Map<string, number | undefined>} */
  const owners = new Map();
  /** The pass whose numbers were given last with the picture of a structure. @type {Map<string, number>} */
  const given = new Map();
  /** The picture that was asked for before its pass was known, and its path. @type {{path: string, svg: Promise<string>} | null} */
  let early = null;
  const figures = mapFigures(api, once);

  /** Return the layout of the maps of a graph; null if the server chooses it. @param {string} own @param {Layout | null} asked @returns {MapLayout | null} */
  const layoutFor = (own, asked) => (asked === "graph" || asked === "rows" ? asked : null) ?? layouts.get(own) ?? (innerWidth <= NARROW ? "rows" : null);
  /** Return whether a graph is too large for a card for each node. @param {Run} run @param {string} graph */
  const isLarge = (run, graph) => (run.graphs.find(({ id }) => id === graph)?.nodes ?? 0) > DRAWN || unfitting.has(`${run.id} ${graph}`);

  /**
   * Return whether a picture is a map, the address of its view, its layout, and its key in the cache. Also return the names of
   * its structure and of the form of its pass, which other passes may share.
   *
   * @param {Run} run
   * @param {string} graph
   * @param {Pass | null} pass
   * @param {Look} look
   */
  function keysOf(run, graph, pass, { direction, density, view: chosen, viewOf, layout: asked }) {
    const own = `${run.id} ${graph}`;
    const large = isLarge(run, graph);
    const nodes = asked === "nodes" && !large;
    // the view and the layout of another graph do not turn a small graph into a map
    const meant = viewOf === null || viewOf === graph;
    const view = large || meant ? chosen : null;
    const map = !nodes && (view !== null || large || maps.has(own) || (meant && asked !== null));
    const address = map ? (view ?? first.get(own) ?? null) : null;
    /** @type {Layout | null} */
    const layout = map ? layoutFor(own, asked) : nodes ? "nodes" : null;
    const known = address !== null && layout !== null;
    // a map has the same boxes in all passes; their numbers are fetched separately
    const shared = known ? "map" : pass ? ((map ? null : form(pass)) ?? `pass ${pass.index}`) : "no pass";
    const name = `${graph} ${direction}${density === "compact" ? " compact" : ""}${map ? ` map ${layout} ${address}` : nodes ? " nodes" : ""}`;
    return { map, known, address, layout, key: `picture ${name} ${shared}`, structure: `${run.id} ${name}`, form: shared };
  }

  /** Return a picture from its text. @param {Run} run @param {string} graph @param {Pass | null} pass @param {Look} look @param {string} svg @returns {Picture} */
  function made(run, graph, pass, look, svg) {
    const shown = viewOf(svg);
    const before = keysOf(run, graph, pass, look);
    if (before.address === null && shown !== null) first.set(`${run.id} ${graph}`, shown);
    const laid = layoutOf(svg);
    if (laid && !before.map) (look.layout === "nodes" ? unfitting : maps).add(`${run.id} ${graph}`);
    if (laid && layoutFor(`${run.id} ${graph}`, look.layout) === null) layouts.set(`${run.id} ${graph}`, laid);
    // an address that the server has corrected is still the address of this picture
    const { key, ...names } = before.known ? before : keysOf(run, graph, pass, look);
    if (key !== before.key && !unfit(laid, names.layout)) void once(key, () => Promise.resolve(svg));
    if (!owners.has(key)) owners.set(key, pass?.index);
    const laidOut = laid ?? (look.layout === "nodes" ? "nodes" : null);
    return { svg, structure: names.structure, form: names.form, map: shown !== null, view: shown, layout: laidOut, whole: !isLarge(run, graph), figures: null };
  }

  /** Fetch a picture, or take the one that was asked for early. @param {string} path @returns {Promise<string>} */
  function fetched(path) {
    const taken = early?.path === path ? early.svg : null;
    early = null;
    return taken ?? api.picture(path);
  }

  return {
    /**
     * Ask for the picture of a run's only pass before its step is known, so that both are fetched at the same time.
     *
     * @param {Run} run
     * @param {Look} look
     */
    ahead(run, { direction, density, view, layout }) {
      if (view !== null || layout !== null || run.graphs.some(({ id }) => isLarge(run, id))) return;
      const path = picture(run.id, "passes/0", "svg", direction, "inline", null, null, density);
      early = { path, svg: api.picture(path) };
      early.svg.catch(() => {}); // whoever takes it handles the error
    },
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
      const { direction, density } = look;
      const { key, address, layout } = keysOf(run, graph, pass, look);
      const unnamed = address === null && look.layout === "groups" ? "groups" : null; // only a view or a layout makes a small graph a map
      const svg = await once(key, () => fetched(picture(run.id, what, "svg", direction, "inline", address, layout ?? unnamed, density)));
      const drawn = made(run, graph, pass, look, svg);
      // only the picture says that a small graph with many edges is a map
      if ((layout === null || layout === "nodes") && drawn.map && unfit(layoutOf(svg), keysOf(run, graph, pass, look).layout)) return this.get(run, graph, pass, look, shown);
      if (!drawn.map || shown === null || shows(drawn, shown)) {
        const own = keysOf(run, graph, pass, look).key;
        if (!drawn.map || !pass || drawn.view === null) return drawn;
        const whole = owners.get(own) === pass.index && (given.get(own) ?? pass.index) === pass.index;
        given.set(own, pass.index);
        if (whole) return drawn;
        return { ...drawn, figures: await figures(run, graph, drawn.view, pass.index) };
      }
      const path = `${picture(run.id, what, "svg", direction, "inline", drawn.view, layout ?? layoutOf(svg))}&reveal=${encodeURIComponent(shown)}`;
      const opened = await once(`${key} pass ${pass?.index} reveal ${shown}`, () => api.picture(path));
      const view = viewOf(opened);
      if (view === null) return drawn;
      const further = { ...look, view, viewOf: graph };
      const keys = keysOf(run, graph, pass, further);
      if (owners.has(keys.key)) return this.get(run, graph, pass, further, null); // it is shown already, perhaps with other numbers
      void once(keys.key, () => Promise.resolve(opened));
      return made(run, graph, pass, further, opened);
    },
    /** Keep the picture that the server wrote into the page. Return null if this screen needs another layout. @param {Run} run @param {string} graph @param {Pass | null} pass @param {Look} look @param {string} svg */
    keep(run, graph, pass, look, svg) {
      if (unfit(layoutOf(svg), layoutFor(`${run.id} ${graph}`, look.layout))) return null;
      void once(keysOf(run, graph, pass, look).key, () => Promise.resolve(svg));
      return made(run, graph, pass, look, svg);
    },
  };
}

/** Return whether a picture has the card of a node. @param {Picture} picture @param {string} node */
export const shows = ({ svg }, node) => svg.includes(`data-node="${node}"`);

/** Return the address of the view that a map shows; null if the picture is not a map. @param {string} svg */
function viewOf(svg) {
  const address = /^<svg[^>]* data-view="([^"]*)"/.exec(svg)?.[1];
  if (address === undefined) return null;
  return new DOMParser().parseFromString(address, "text/html").documentElement.textContent ?? "";
}

/** Return whether a map is laid out in another way than it should be. @param {MapLayout | null} laid @param {Layout | null} wanted */
const unfit = (laid, wanted) => laid !== null && wanted !== null && laid !== wanted;

/** Return how a map is laid out; null if the picture is no map. @param {string} svg @returns {MapLayout | null} */
function layoutOf(svg) {
  const laid = /^<svg[^>]* data-layout="([^"]*)"/.exec(svg)?.[1];
  return laid === "rows" || laid === "graph" ? laid : null;
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
 * @param {Layout | null} layout  null for the one that the server chooses
 * @param {"full" | "compact"} density
 */
export const picture = (run, what, format, direction, theme, view = null, layout = null, density = "full") =>
  `/runs/${encodeURIComponent(run)}/${what}/graph.${format}?direction=${direction}&theme=${theme}${ofMap(view, layout)}${density === "full" ? "" : `&density=${density}`}`;

/**
 * Return the path of an animation of the training, or of a step.
 *
 * @param {string} run
 * @param {{kind: string, step: number | null}} animated  kind: `svg`, `png` or `mp4`
 * @param {string} direction
 * @param {string} theme
 * @param {string | null} view    as for a picture
 * @param {Layout | null} layout
 */
export const animation = (run, { kind, step }, direction, theme, view = null, layout = null) =>
  `/runs/${encodeURIComponent(run)}/animation.${kind}?direction=${direction}&theme=${theme}${step === null ? "" : `&step=${step}`}${ofMap(view, layout)}`;

/** @param {string | null} view @param {Layout | null} layout */
const ofMap = (view, layout) => (view === null ? "" : `&view=${encodeURIComponent(view)}`) + (layout === null ? "" : `&layout=${layout}`);

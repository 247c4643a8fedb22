// Fetch the numbers of a map: those of a few passes at once, because the playhead moves on.

/** @import {Client} from "../leaves/api.js" */
/** @import {MapNumbers, Run} from "../leaves/types.js" */
/** @import {MapFigures} from "./state.js" */

const PASSES = 16; // passes that are fetched together
const CELLS = 200_000; // nodes, times passes, that are fetched together

/**
 * Return a function that fetches the numbers of a map.
 *
 * @param {Client} api
 * @param {<T>(key: string, fetch: () => Promise<T>) => Promise<T>} once  take an answer from the cache, or fetch it
 */
export function mapFigures(api, once) {
  /** @param {Run} run @param {string} graph @param {string} view @param {number} pass @returns {Promise<MapFigures | null>} */
  return async (run, graph, view, pass) => {
    const nodes = run.graphs.find(({ id }) => id === graph)?.nodes ?? 1;
    const count = Math.max(1, Math.min(PASSES, Math.floor(CELLS / nodes)));
    const start = pass - (pass % count);
    const fetch = (/** @type {number} */ from, /** @type {number} */ most) => once(`numbers ${graph} ${view} ${from} ${most}`, () => api.mapNumbers(run.id, graph, view, from, most));
    const answer = await fetch(start, count);
    // while the program runs, a stretch may have been fetched before this pass was recorded
    return of(answer, pass) ?? of(await fetch(pass, 1), pass);
  };
}

/** Return the numbers of one pass, or null. @param {MapNumbers} answer @param {number} pass @returns {MapFigures | null} */
function of(answer, pass) {
  const row = answer.passes.indexOf(pass);
  if (row < 0) return null;
  const { boxes, links, leaves, arrives, passed_on, parameters, series, ran, edges, arrives_at_leaves } = answer;
  return {
    boxes: new Map(
      boxes.map((id, i) => [
        id,
        {
          arrives: arrives[row]?.[i] ?? null,
          passedOn: passed_on[row]?.[i] ?? null,
          parameters: parameters[row]?.[i] ?? null,
          series: series[row]?.[i] ?? null,
          ran: ran[row]?.[i] ?? null,
        },
      ]),
    ),
    edges: new Map(links.map(([source, target], i) => [`${boxes[source]}\n${boxes[target]}`, edges[row]?.[i] ?? null])),
    leaves: new Map(leaves.map((node, i) => [node, arrives_at_leaves[row]?.[i] ?? null])),
  };
}

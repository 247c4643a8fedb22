// A client that answers from the data in a file (`app/web/sharing/file_data.py`), without a server. It has the methods that a viewer calls.

import { Problem } from "../leaves/api.js";

/** @import {Client} from "../leaves/api.js" */
/** @import {MapNumbers, NodeDetail, Run} from "../leaves/types.js" */

/**
 * Answers of the API. Byte strings are JSON, except `steps` and `series`, which are msgpack.
 *
 * @typedef {object} FileData
 * @property {Uint8Array} given
 * @property {Uint8Array[]} steps            packed steps in order
 * @property {Uint8Array | null} unfinished  the step after the last complete one
 * @property {Uint8Array} series
 * @property {Record<string, Uint8Array>} graphs
 * @property {Record<string, [pass: number, step: number][]>} passes    by graph
 * @property {Record<string, Record<string, Uint8Array>>} details       by pass and node
 * @property {Record<string, string>} pictures    by the name of a pass or graph, such as `passes/0`
 * @property {Record<string, string>} drawn       the name whose picture another one shares
 * @property {Record<string, Record<string, string>>} views    pictures of the views of a map, by the name of its pass or graph, and by address
 * @property {Record<string, string>} wholes     pictures with a card for each node, of graphs that are drawn as maps
 * @property {Record<string, Record<string, Uint8Array>>} maps   numbers of the maps, by graph and by address of the view
 */

const TEXT = new TextDecoder();

/** @param {Uint8Array | null | undefined} bytes */
export function json(bytes) {
  if (!bytes) throw new Problem(404, "Not in this file", "This file has only a part of the recording.");
  return JSON.parse(TEXT.decode(bytes));
}

/** Return a copy of bytes as a buffer of its own. @param {Uint8Array} bytes */
const buffer = (bytes) => /** @type {ArrayBuffer} */ (bytes.slice().buffer);

/**
 * Return a client that answers from a file.
 *
 * @param {FileData} data
 * @param {Run} run
 * @param {readonly number[]} starts  the first step of each block of packed steps
 * @returns {Client}
 */
export function storedClient(data, run, starts) {
  /** The methods that a viewer calls. @type {Partial<Client>} */
  const answers = {
    run: async () => run,
    step: async (_, index) => {
      if (index < run.steps) throw new Problem(404, "Not in this file", "This file has only a part of the recording.");
      return json(data.unfinished);
    },
    packed: async (_, start) => {
      const block = data.steps[starts.findLastIndex((first) => first <= start)];
      if (!block) throw new Problem(404, "Not in this file", "This file has only a part of the recording.");
      return buffer(block);
    },
    series: async () => buffer(data.series),
    graph: async (_, graph) => json(data.graphs[graph]),
    node: async (_, pass, node) => /** @type {NodeDetail} */ (json(data.details[pass]?.[node])),
    frames: async (_, graph) => {
      const [pass, step] = data.passes[graph]?.[0] ?? [];
      return { passes: pass === undefined ? [] : [pass], steps: step === undefined ? [] : [step], fields: {}, next: null };
    },
    mapNumbers: async (_, graph, view) => /** @type {MapNumbers} */ (json(data.maps[graph]?.[view])),
    /** Return the picture of a pass or graph. For a map without the requested view, return the first view. @param {string} path */
    picture: async (path) => {
      const name = data.drawn[/\/(passes\/\d+|graphs\/g\d+)\//.exec(path)?.[1] ?? ""] ?? "";
      const query = new URLSearchParams(path.split("?")[1]);
      const view = query.get("view");
      const whole = query.get("layout") === "nodes" ? data.wholes[name] : undefined;
      const found = whole ?? data.views[name]?.[view ?? ""] ?? data.pictures[name];
      if (found === undefined) throw new Problem(404, "Not in this file", "The picture of this graph is not in this file.");
      return found;
    },
    address: (path) => path,
  };
  return /** @type {Client} */ (answers);
}

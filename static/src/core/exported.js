// Read the run in an exported file: the JSON of a run, or the file that plays (`app/web/sharing/single_file.py`).

import { unpack } from "../leaves/msgpack.js";

/** @import {Run} from "../leaves/types.js" */
/** @typedef {Pick<Run, "program" | "cells" | "kind" | "seed">} ExportedRun */

const MOST = 256 * 1024 * 1024; // bytes of a file's data after which decompression stops

/**
 * Return the run in an exported file; null for any other text.
 *
 * @param {string} text
 * @returns {Promise<ExportedRun | null>}
 */
export async function exportedRun(text) {
  try {
    if (/^\s*\{/.test(text)) return runIn(JSON.parse(text));
    const packed = /^\s*<!doctype html>/i.test(text) && /<script type="text\/plain" id="data">([^<]*)</.exec(text)?.[1];
    return packed ? runIn(JSON.parse(new TextDecoder().decode(/** @type {{given: Uint8Array}} */ (unpack(await decompressed(packed))).given)).run) : null;
  } catch {
    return null;
  }
}

/** @param {Run | null} given */
const runIn = (given) => (typeof given?.program === "string" && Array.isArray(given.cells) && typeof given.kind === "string" ? given : null);

/** Decode and decompress the data of a file. @param {string} text @returns {Promise<ArrayBuffer>} */
async function decompressed(text) {
  const bytes = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
  let size = 0;
  const counted = new TransformStream({
    transform(/** @type {Uint8Array} */ part, controller) {
      size += part.length;
      if (size > MOST) controller.error(new Error("The file has too much data."));
      else controller.enqueue(part);
    },
  });
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")).pipeThrough(counted)).arrayBuffer();
}

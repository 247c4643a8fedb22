// A run in a file of its own, which needs neither a server nor a network. The data is in the page, compressed.

import { json, storedClient } from "../../core/stored-client.js";
import { stepsOf } from "../../core/packed-steps.js";
import { find } from "../../leaves/dom.js";
import { unpack } from "../../leaves/msgpack.js";
import { shell } from "../../widgets/shell.js";
import { viewer } from "../stage/viewer.js";

/** @import {FileData} from "../../core/stored-client.js" */
/** @import {Given} from "../../core/state.js" */
/** @import {PackedSteps} from "../../leaves/types.js" */

/** Decode and decompress the data in the page. @returns {Promise<FileData>} */
async function data() {
  const element = document.getElementById("data");
  const bytes = Uint8Array.from(atob(element?.textContent?.trim() ?? ""), (letter) => letter.charCodeAt(0));
  element?.remove();
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return /** @type {FileData} */ (unpack(await new Response(plain).arrayBuffer()));
}

async function start() {
  const stored = await data();
  const given = /** @type {Given} */ (json(stored.given));
  if (!given.run) return;
  const starts = stored.steps.map((block) => stepsOf(/** @type {PackedSteps} */ (unpack(/** @type {ArrayBuffer} */ (block.slice().buffer))))[0]?.index ?? 0);
  viewer(given, storedClient(stored, given.run, starts), { search: location.search });
}

shell();
start().catch((error) => {
  const note = find("#unread");
  note.hidden = false;
  note.textContent = `This file cannot be played here: ${error instanceof Error ? error.message : error}. Open it in a current browser.`;
});

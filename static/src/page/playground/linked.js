// Run the program that a link carries, or show the recording that it names: when the page opens, and when such a link is pasted
// into a tab that is open already.

import { readNamed } from "../../core/address.js";
import { TooLong, packedProgramIn } from "../../core/packed-program.js";
import { thousands } from "../../leaves/format.js";

/** @import {Given} from "../../core/state.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Run} from "../../leaves/types.js" */

/** Return the title of the example that a run is of, before there is a run that of the chosen example; else null. @param {Run | null} run @param {string | null} chosen  slug */
export function exampleTitle(run, chosen) {
  const links = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("a[data-example]")]);
  const titles = links.filter(({ dataset }) => run || dataset["example"] === chosen).map((link) => link.firstChild?.textContent ?? "");
  return titles.find((title) => !run || (title === run.title && run.program.startsWith(`# ${title}\n`))) ?? null;
}

/**
 * Return the run that an address of this server names, with the view of the address; null for any other text.
 *
 * @param {string} text  `https://…/r/ID?step=3`, or the path of it; also of a frame, or of the API
 * @param {string} root  root path of the server
 */
export function runIn(text, root) {
  const address = text.trim();
  if (/\s/.test(address) || !URL.canParse(address, location.origin)) return null;
  const { origin, pathname, search } = new URL(address, location.origin);
  const [, id] = (pathname.startsWith(`${root}/`) && /^\/(?:r|embed|api\/v1\/runs)\/([0-9a-f]{32})(?:\/|$)/.exec(pathname.slice(root.length))) || [];
  if (!id || origin !== location.origin) return null;
  const { node, ...view } = readNamed(search);
  return { id, view: node ? { ...view, node } : view };
}

/**
 * Return the fragment of an address of this server's playground that names an example or carries a program; null for any other text.
 *
 * @param {string} text
 * @param {string} root  root path of the server
 */
export function fragmentIn(text, root) {
  const address = text.trim();
  if (/\s/.test(address) || !URL.canParse(address)) return null;
  const { origin, pathname, searchParams, hash } = new URL(address);
  if (origin !== location.origin || pathname !== `${root}/`) return null;
  const example = searchParams.get("example");
  return hash.startsWith("#code=") ? hash : example && `#example=${example}`;
}

/**
 * Start to follow links with a program.
 *
 * @param {Given} given
 * @param {(program: string) => void} start
 * @param {(run: {id: string, view: Partial<State>}) => void} open  show a recording
 * @param {(recording: string) => void} expect  wait for the recording of the page's example, which was not made in time
 * @param {(trouble: {title: string, detail: string}) => void} ontrouble
 */
export function linked(given, start, open, expect, ontrouble) {
  const follow = async () => {
    const { hash } = location;
    const slug = /^#example=([\w-]+)$/.exec(hash)?.[1];
    if (slug) location.replace(`${given.root}/?example=${slug}`); // the earlier form of a link to an example
    const run = runIn(hash.slice(1), given.root);
    if (run) return open(run);
    try {
      const program = await packedProgramIn(hash, given.limits.source_bytes);
      if (program !== null && hash === location.hash) start(program);
      else if (hash.startsWith("#code=")) ontrouble({ title: "The link is damaged", detail: "Its program cannot be read. Copy the whole link again." });
    } catch (error) {
      if (!(error instanceof TooLong)) throw error;
      const detail = `A program may have at most ${thousands(given.limits.source_bytes)} bytes. Shorten this one, and copy its link again.`;
      ontrouble({ title: "The program of the link is too large", detail });
    }
  };
  addEventListener("hashchange", () => void follow());
  if (/^#(?:code=|example=|\/|http)/.test(location.hash)) void follow();
  else if (given.recording && !given.run && given.mode !== "refused") expect(given.recording);
  else if (given.example && !given.run) start(given.program); // the server says why it runs no programs
}

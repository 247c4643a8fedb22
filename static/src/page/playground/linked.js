// Run the program that a link carries: when the page opens, and when such a link is pasted into a tab that is open already.

import { TooLong, packedProgramIn } from "../../core/packed-program.js";
import { thousands } from "../../leaves/format.js";

/** @import {Given} from "../../core/state.js" */
/** @import {Run} from "../../leaves/types.js" */

/** Return the title of the example that a run is of, or null. @param {Run | null} run */
export function exampleTitle(run) {
  const titles = [...document.querySelectorAll("a[data-example]")].map((link) => link.firstChild?.textContent ?? "");
  return titles.find((title) => title === run?.title && run.program.startsWith(`# ${title}\n`)) ?? null;
}

/**
 * Start to follow links with a program.
 *
 * @param {Given} given
 * @param {(program: string) => void} start
 * @param {(trouble: {title: string, detail: string}) => void} ontrouble
 */
export function linked(given, start, ontrouble) {
  const follow = async () => {
    const { hash } = location;
    const slug = /^#example=([\w-]+)$/.exec(hash)?.[1];
    if (slug) location.replace(`${given.root}/?example=${slug}`); // as links to examples were written before
    try {
      const program = await packedProgramIn(hash, given.limits.source_bytes);
      if (program !== null && hash === location.hash) start(program);
      else if (hash.startsWith("#code=")) ontrouble({ title: "The link is damaged", detail: "Its program cannot be read. Copy the whole link again." });
    } catch (error) {
      if (!(error instanceof TooLong)) throw error;
      const detail = `A program may have ${thousands(given.limits.source_bytes)} bytes, and the one in this link has more.`;
      ontrouble({ title: "The program of the link is too large", detail });
    }
  };
  addEventListener("hashchange", () => void follow());
  if (location.hash.startsWith("#code=") || location.hash.startsWith("#example=")) void follow();
  else if (given.example && !given.run) start(given.program); // its recording was not made in time
}

// Run the program that a link carries: when the page opens, and when such a link is pasted into a tab that is open already.

import { programIn } from "../../core/address.js";

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
 */
export function linked(given, start) {
  const follow = () => {
    const program = programIn(location.hash);
    const slug = /^#example=([\w-]+)$/.exec(location.hash)?.[1];
    if (slug) location.replace(`${given.root}/?example=${slug}`); // as links to examples were written before
    else if (program !== null) start(program);
    return program !== null;
  };
  addEventListener("hashchange", follow);
  if (!follow() && given.example && !given.run) start(given.program); // its recording was not made in time
}

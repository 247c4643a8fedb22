// Run the program that a link carries: when the page opens, and when such a link is pasted into a tab that is open already.

import { programIn } from "../../core/address.js";

/** @import {Given} from "../../core/state.js" */

/**
 * Start to follow links with a program.
 *
 * @param {Given} given
 * @param {(program: string) => void} start
 */
export function linked(given, start) {
  /** @param {string | null | undefined} slug */
  const example = (slug) => given.examples.find((each) => each.slug === slug)?.program;
  const follow = () => {
    const program = programIn(location.hash) ?? example(/^#example=(.+)$/.exec(location.hash)?.[1]);
    if (program !== undefined) start(program);
    return program !== undefined;
  };
  addEventListener("hashchange", follow);
  const unrecorded = given.run ? undefined : example(given.example);
  if (!follow() && unrecorded !== undefined) start(unrecorded);
}

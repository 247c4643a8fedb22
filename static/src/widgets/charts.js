// Draw how a parameter, its gradient and its update went over the steps, with the playhead on each curve.

import { fill, h, widget } from "../leaves/dom.js";
import { chart } from "./charts/chart.js";

/** @import {Chart} from "./charts/chart.js" */

/**
 * @typedef {object} Place
 * @property {number} at
 * @property {readonly boolean[]} reached       whether the playhead has come to what each chart shows, in this step
 * @property {readonly (readonly number[] | null)[]} after    what an update has just made of what each chart shows
 */

/** @param {{onstep: (step: number) => void}} options */
export function charts({ onstep }) {
  const element = h("div", { class: "charts" });
  /** @type {ReturnType<typeof chart>[]} */
  let all = [];
  /** @type {Place} */
  let place = { at: 0, reached: [], after: [] };
  let turn = 0;

  return widget(element, {
    /** @param {readonly Chart[]} now @param {boolean} logarithmic */
    async show(now, logarithmic) {
      const mine = ++turn;
      const { default: Plot } = await import("uplot");
      if (mine !== turn) return; // something else is to be shown meanwhile
      if (all.length !== now.length) {
        for (const each of all) each.destroy();
        all = now.map(() => chart(Plot, onstep));
        fill(
          element,
          all.map((each) => each.element),
        );
      }
      for (const [i, each] of all.entries()) {
        const shown = now[i];
        if (shown) each.show(shown, logarithmic);
      }
      this.seek(place);
    },
    /** @param {Place} now */
    seek(now) {
      place = now;
      for (const [i, each] of all.entries()) each.seek(now.at, now.reached[i] ?? true, now.after[i] ?? null);
    },
  });
}

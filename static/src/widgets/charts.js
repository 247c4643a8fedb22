// Draw the curves of a parameter, its gradient and its update over the steps, with the playhead on each.

import { fill, h, widget } from "../leaves/dom.js";

/** @import {Chart} from "./charts/chart.js" */

/**
 * @typedef {object} ChartsPlayhead
 * @property {number} at
 * @property {readonly boolean[]} reached       for each chart, whether the playhead has reached its number in this step
 * @property {readonly (readonly number[] | null)[]} after    for each chart, its numbers after the update
 */

/** Make the charts. @param {{onstep: (step: number) => void}} options */
export function charts({ onstep }) {
  const element = h("div", { class: "charts" });
  /** @type {ReturnType<typeof import("./charts/chart.js").chart>[]} */
  let all = [];
  /** @type {ChartsPlayhead} */
  let playhead = { at: 0, reached: [], after: [] };
  let turn = 0;

  return widget(element, {
    /** @param {readonly Chart[]} now @param {boolean} logarithmic */
    async show(now, logarithmic) {
      const mine = ++turn;
      const [{ default: Plot }, { chart }] = await Promise.all([import("uplot"), import("./charts/chart.js")]);
      if (mine !== turn) return; // a newer call shows something else
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
      this.seek(playhead);
    },
    /** @param {ChartsPlayhead} now */
    seek(now) {
      playhead = now;
      for (const [i, each] of all.entries()) each.seek(now.at, now.reached[i] ?? true, now.after[i] ?? null);
    },
  });
}

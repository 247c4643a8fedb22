// Resize and hide the panes, and remember both in this browser.

import { find } from "../../leaves/dom.js";
import { PANES, applyLayout, layoutOf } from "../../leaves/pane-layout.js";
import { recall, remember } from "../../leaves/storage.js";
import { splitter } from "../../widgets/splitter.js";

/** @import {Pane} from "../../leaves/pane-layout.js" */

const LEAST = 240; // minimum width of a pane, and of the graph between the panes, in pixels
const LOWEST = 72; // minimum height of the findings, in pixels

/** Set up the bars between the panes, and the buttons that hide them. */
export function paneSizes() {
  const layout = layoutOf(recall(PANES));
  const graph = find("#graph");
  const save = () => remember(PANES, JSON.stringify(layout));

  /** @param {Pane} pane */
  const width = (pane) => find(`#${pane}`).getBoundingClientRect().width;

  /** @param {Pane} pane @param {string} label @param {1 | -1} sign @param {"x" | "y"} [axis] */
  function bar(pane, label, sign, axis = "x") {
    return splitter({
      label,
      controls: pane,
      axis,
      sign,
      size: () => find(`#${pane}`).getBoundingClientRect()[axis === "x" ? "width" : "height"],
      range: () => (axis === "y" ? [LOWEST, innerHeight * 0.6] : [LEAST, width(pane) + graph.getBoundingClientRect().width - LEAST]),
      onresize(size, done) {
        layout.sizes[pane] = size;
        applyLayout(layout);
        if (done) save();
      },
      onreset() {
        delete layout.sizes[pane];
        applyLayout(layout);
        save();
      },
    });
  }

  /** Set up the button that hides or shows a pane. @param {"program" | "inspector"} pane @param {string} name */
  function hiding(pane, name) {
    const section = find(`#${pane}`);
    const button = find(".collapse", section);
    const show = () => {
      const hidden = layout.hidden.includes(pane);
      applyLayout(layout);
      button.setAttribute("aria-expanded", String(!hidden));
      button.setAttribute("aria-label", `${hidden ? "Show" : "Hide"} the ${name}`);
      button.title = `${hidden ? "Show" : "Hide"} the ${name}`;
    };
    button.addEventListener("click", () => {
      layout.hidden = layout.hidden.includes(pane) ? layout.hidden.filter((each) => each !== pane) : [...layout.hidden, pane];
      save();
      show();
    });
    show();
  }

  const bars = [bar("program", "Width of the program", 1), bar("inspector", "Width of the inspector", -1)];
  bars[0]?.classList.add("start");
  bars[1]?.classList.add("end");
  graph.append(...bars);
  const height = bar("findings", "Height of the findings", -1, "y");
  find("#findings").append(height);
  applyLayout(layout);
  hiding("program", "program");
  hiding("inspector", "inspector");
  const describe = () => [...bars, height].forEach((each) => each.describe());
  describe();
  addEventListener("resize", describe);
}

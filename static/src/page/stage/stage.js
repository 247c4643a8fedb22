// Connect the picture of a graph to the state: draw it, write the numbers at the playhead, select nodes and bring them into view.

import { neighbour } from "../../core/neighbour.js";
import { nodesReached, scene } from "../../core/scene.js";
import { graph } from "../../widgets/graph.js";

/** @import {Child} from "../../leaves/dom.js" */
/** @import {EdgeStyle} from "../../leaves/edge-style.js" */
/** @import {Picture, State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */
/** @import {Transform} from "../../widgets/graph/viewport.js" */
/** @typedef {ReturnType<typeof import("../../core/session.js").session>} Session */

/**
 * Make the canvas of the shown graph, which follows the state.
 *
 * @param {object} options
 * @param {Store<State>} options.state
 * @param {Session} options.work
 * @param {EdgeStyle} options.edgeStyle
 * @param {() => boolean} options.still                       whether reduced motion is preferred
 * @param {(transform: Transform) => void} options.onmove     the picture has changed, or moved
 * @param {(picture: Picture) => void} options.ondraw         another picture is shown
 * @param {(state: State) => Child} options.absence           the message without a picture
 * @param {(state: State) => boolean} [options.keeps]         whether an earlier picture stays while there is no graph
 */
export function stage({ state, work, edgeStyle, still, onmove, ondraw, absence, keeps = () => false }) {
  const canvas = graph({
    edgeStyle,
    onpick: (node) => work.select(node),
    onview: (view) => work.go({ view }),
    onwalk: (node, key) => neighbour(state.get(), node, key),
    onreveal: work.reveal,
    onmove,
    still,
  });
  /** Return whether a picture is shown, instead of a message. */
  const pictured = () => canvas.querySelector(".picture:not([hidden]) svg.graph") !== null;

  return {
    canvas,
    pictured,
    /** Follow the state from now on. */
    begin() {
      state.watch(["node", "graph", "detail"], ({ node, detail }) => {
        const users = detail?.node.id === node ? detail.incoming.map((flow) => flow.node) : [];
        canvas.select(node, users);
      });

      state.watch(["picture", "absent", "graph", "run", "busy", "recording"], (now) => {
        const { picture, absent, graph: shown } = now;
        if (picture && shown) {
          canvas.draw(picture);
          state.set({ stops: canvas.stops() });
          ondraw(picture);
        } else if ((!shown || absent) && !(keeps(now) && pictured())) canvas.showMessage(absence(now));
      });

      state.watch(["verdicts"], ({ verdicts }) => canvas.judge(verdicts));

      state.watch(["picture", "target", "node", "detail"], ({ target, node, detail }) => {
        if (target === null) return;
        // a leaf is shown by the operations that use it, which its detail lists
        if (canvas.reveal() || node !== target || detail?.node.id === target) state.set({ target: null });
      });

      state.watch(["picture", "goal"], ({ goal }) => goal !== null && canvas.showGroup(goal) && state.set({ goal: null }));

      state.watch(["picture", "graph", "step", "pass", "apart", "phase", "ran", "playing"], (now) => {
        if (now.picture?.map) return void canvas.progress(now.step?.index ?? 0, nodesReached(now), now.playing);
        const numbers = scene(now);
        if (numbers) canvas.write(numbers, now.pace);
      });
    },
  };
}

// The actions of the keys that move through a recording, the same on every page that shows one.

import { lastStep, wantedOf } from "../../core/instant.js";
import { byNode, byPhase } from "../../core/player.js";

/** @import {Instant} from "../../core/instant.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */
/** @import {Arrow} from "../../widgets/graph/walk.js" */

/**
 * Return actions by their names in `core/shortcuts.js`.
 *
 * @param {object} parts
 * @param {Store<State>} parts.state
 * @param {(instant: Partial<Instant>) => void} parts.go
 * @param {(at: number) => void} parts.step               goes to a step, if it exists
 * @param {() => void} parts.play                         plays or pauses
 * @param {{walk: (key: Arrow) => void, by: (factor: number) => void, fit: () => void}} parts.canvas
 */
export function deckActions({ state, go, step, play, canvas }) {
  /** Go to another instant, if there is one. @param {Partial<Instant> | null} instant */
  const goIf = (instant) => void (instant && go(instant));
  return {
    play,
    // while another step is being loaded, the phases of the shown one stand in for its phases
    phase: (/** @type {1 | -1} */ by) => goIf(byPhase({ ...state.get(), ...wantedOf(state.get()) }, by)),
    node: (/** @type {1 | -1} */ by) => goIf(byNode(state.get(), by)),
    step: (/** @type {number} */ by) => step(wantedOf(state.get()).at + by),
    end: (/** @type {"first" | "last"} */ which) => step(which === "first" ? 0 : lastStep(state.get().run)),
    walk: canvas.walk,
    zoom: (/** @type {1 | 0 | -1} */ by) => (by ? canvas.by(1.25 ** by) : canvas.fit()),
  };
}

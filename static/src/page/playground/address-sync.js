// Update the address with the view, and copy links to the view.

import { read, readNamed, write } from "../../core/address.js";
import { opened, wantedOf } from "../../core/instant.js";
import { withPackedProgram } from "../../core/packed-program.js";
import { first } from "../../core/session.js";
import { EMPTY, START } from "../../core/state.js";
import { toast } from "../../widgets/shell.js";

/** @import {Given, State, View} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */
/** @import {Run} from "../../leaves/types.js" */
/** @typedef {ReturnType<typeof import("../../core/session.js").session>} Session */

// browsers limit how often a page may change its address
const CHANGES = 20; // changes of the address in a row
const EVERY = 400; // milliseconds after which one more change is allowed

/**
 * Start to update the address with the view.
 *
 * @param {Store<State>} state
 * @param {Session} work
 * @param {Given} given
 * @param {() => string} program  the text in the editor
 */
export function addressSync(state, work, given, program) {
  /** Return the query string for the view, without a node or parameter that is selected by default. */
  function query() {
    const { graph, run, ...now } = state.get();
    const leaf = graph?.nodes.find(({ id }) => id === now.node)?.parameter;
    const node = graph && now.node === first(graph) ? null : now.node;
    const parameter = now.parameter === (leaf ?? run?.parameters[0]?.id) ? null : now.parameter;
    return write({ ...now, node, parameter }, location.search, run ? opening(run) : START);
  }

  /** Return whether a run is that of the first visit, which begins with the gradient. @param {string | undefined} id */
  const firstVisit = (id) => given.home && !given.example && id === given.run?.id;
  /** Return the instant that an address without one names. @param {Run} run */
  const opening = (run) => (firstVisit(run.id) ? wantedOf(EMPTY) : opened(run, {}));

  /** @param {Run} run */
  const page = (run) => new URL(run.links["page"] ?? `${given.root}/r/${run.id}`, location.href).pathname;

  async function copy() {
    const { run, edited } = state.get();
    const here = new URL(location.href);
    const saved = run && !edited;
    here.pathname = saved ? page(run) : `${given.root}/`;
    here.search = saved ? query() : "";
    here.hash = saved ? "" : await withPackedProgram(program());
    try {
      await navigator.clipboard.writeText(here.href);
      toast(saved ? "Link copied" : "Link to this program copied");
    } catch {
      history.replaceState(history.state, "", here);
      toast("The link is in the address bar");
    }
  }

  /** Return the id of the run in the address. */
  const runAt = () => /\/r\/([^/]+)/.exec(location.pathname)?.[1];

  const loaded = runAt();
  addEventListener("popstate", () => {
    const id = runAt();
    if (!id && loaded) return location.reload(); // only the server knows what is shown there
    const named = readNamed(location.search);
    const view = firstVisit(id ?? given.run?.id) ? read(location.search) : named;
    const shown = state.get().run;
    if (id && id !== shown?.id) void work.open(id, view);
    else if (!id && given.run && given.run.id !== shown?.id) work.show(given.run, view);
    else work.go({ ...(shown && opening(shown)), ...named });
  });

  let waiting = 0;
  let [left, since] = [CHANGES, 0];
  let begun = false; // the address does not change before the first move
  state.watch([.../** @type {(keyof View)[]} */ (Object.keys(START)), "other", "playing", "busy", "wanted"], (now) => {
    const { run, edited, busy, playing, wanted } = now;
    if (!begun || !run || edited || busy || playing || wanted) return;
    if (run.id !== (runAt() ?? given.run?.id)) return; // the address is still that of the run before, which keeps its view
    if (query() === location.search) return;
    const put = () => history.replaceState(history.state, "", location.pathname + query() + location.hash);
    const time = performance.now();
    [left, since] = [Math.min(CHANGES, left + (time - since) / EVERY), time];
    clearTimeout(waiting);
    if (left >= 1) put();
    else waiting = setTimeout(put, EVERY);
    left = Math.max(0, left - 1);
  });
  begun = true;

  return {
    copy,
    /**
     * Make a run the current page, unless it is already. The runs of a drag share one entry of the history.
     *
     * @param {Run} run
     * @param {number | null} drag  number of the drag, if a number of the program is being dragged
     */
    enter(run, drag) {
      clearTimeout(waiting);
      const { run: shown, drag: before } = history.state ?? {};
      const entry = /** @type {const} */ ([{ run: run.id, drag }, "", page(run) + query()]);
      if (shown === run.id) return;
      if (drag !== null && drag === before) history.replaceState(...entry);
      else history.pushState(...entry);
    },
  };
}

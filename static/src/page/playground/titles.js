// Name the tab and the exported files after the run.

/** @import {Given, State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */

const LONGEST = 48; // characters of a title in a tab

/** Return a title as a file's name without an ending: letters, digits and hyphens. @param {string} title */
export const fileName = (title) =>
  title
    .replace(/\.(py|ipynb)$/i, "")
    .normalize("NFKD")
    .replace(/[^\p{Letter}\p{Number}]+/gu, "-")
    .replace(/^-+|-+$/g, "")
    .toLowerCase()
    .slice(0, LONGEST) || "graph";

/** Return a title for a tab, where a long one is cut after a word. @param {string} title */
const short = (title) => (title.length <= LONGEST ? title : `${(title.slice(0, LONGEST).replace(/ \S*$/, "") || title).slice(0, LONGEST).replace(/[ ,.:;]+$/, "")}…`);

/** Start to name the tab and the exports. @param {Store<State>} state @param {Given} given */
export function titles(state, given) {
  const opened = document.title; // of the run that the page was opened with
  state.watch(["run", "step", "apart"], ({ run, step, apart }) => {
    if (!run) return;
    if (run.id !== given.run?.id || run.title !== given.run.title) document.title = `${short(run.title)} · Tapedeck`;
    else document.title = opened;
    const name = `${fileName(run.title)}${step && run.steps > 1 && !apart ? `-step-${step.index}` : ""}`;
    for (const link of /** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll("a[data-format]"))) {
      link.download = `${name}.${link.dataset["format"]}`;
    }
    for (const link of /** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll("a[data-whole]"))) {
      link.download = `${fileName(run.title)}${/\.\w+$/.exec(link.dataset["whole"] ?? "")?.[0] ?? ".json"}`;
    }
  });
}

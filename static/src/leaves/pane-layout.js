// Read the sizes of the panes and the hidden panes from their stored text, and apply them to the page.

/** @typedef {"program" | "inspector" | "findings"} Pane */
/** @typedef {{sizes: Partial<Record<Pane, number>>, hidden: Pane[]}} PaneLayout    sizes in pixels */

export const PANES = "panes"; // key of the stored text

/** @type {readonly Pane[]} */
const ALL = ["program", "inspector", "findings"];

/** Return the layout that a text describes; nothing is resized or hidden without a valid text. @param {string | null} text @returns {PaneLayout} */
export function layoutOf(text) {
  try {
    const { sizes, hidden } = JSON.parse(text ?? "{}");
    const known = Object.entries(sizes ?? {}).filter(([, size]) => Number.isFinite(size));
    return { sizes: Object.fromEntries(known), hidden: Array.isArray(hidden) ? hidden : [] };
  } catch {
    return { sizes: {}, hidden: [] };
  }
}

/** Apply a layout to the panes that are in the page by now. @param {PaneLayout} layout */
export function applyLayout({ sizes, hidden }) {
  const panes = /** @type {HTMLElement | null} */ (document.querySelector(".panes"));
  for (const pane of ALL) {
    const size = sizes[pane];
    if (size === undefined) panes?.style.removeProperty(`--${pane}`);
    else panes?.style.setProperty(`--${pane}`, `${size}px`);
    if (pane === "findings") continue;
    panes?.classList.toggle(`no-${pane}`, hidden.includes(pane));
    document.querySelector(`#${pane}.pane`)?.classList.toggle("collapsed", hidden.includes(pane));
  }
}

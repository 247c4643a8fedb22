// Handle the keyboard shortcuts of the page, the graph and the deck, and show their list.

import { find } from "../../leaves/dom.js";
import { flip } from "../../widgets/shell.js";

/**
 * Set up the keyboard shortcuts and the dialog that lists them.
 *
 * @param {object} options
 * @param {() => void} options.onrun
 * @param {(by: number | "first" | "last") => void} options.onstep
 * @param {(by: 1 | -1, what: "phase" | "node") => void} options.onmove
 * @param {() => void} options.onplay
 * @param {() => void} options.onsearch
 */
export function keys({ onrun, onstep, onmove, onplay, onsearch }) {
  const help = /** @type {HTMLDialogElement} */ (find("#help"));
  const letters = /** @type {HTMLInputElement} */ (find("#letters"));
  find("#ask").addEventListener("click", () => help.showModal());
  letters.checked = recall("letters") !== "off";
  letters.addEventListener("change", () => remember("letters", letters.checked ? "on" : "off"));

  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || help.open) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      return onrun();
    }
    const within = event.target instanceof Element && event.target.closest("#canvas, #deck, #charts") !== null;
    const writing = event.target instanceof Element && event.target.closest("input, select, textarea, [contenteditable]") !== null;
    if (event.key === "/" && !writing && letters.checked && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      return onsearch();
    }
    if (event.ctrlKey || event.metaKey || event.altKey || !within) return;
    if (event.shiftKey && event.key === "ArrowRight") onstep(1);
    else if (event.shiftKey && event.key === "ArrowLeft") onstep(-1);
    else if (event.key === "Home") onstep("first");
    else if (event.key === "End") onstep("last");
    else if (event.key === "PageDown") onmove(1, "phase");
    else if (event.key === "PageUp") onmove(-1, "phase");
    else if (event.key === " " && event.target instanceof SVGElement) onplay();
    else if (letters.checked && event.key === ".") onmove(1, "node");
    else if (letters.checked && event.key === ",") onmove(-1, "node");
    else if (letters.checked && event.key.toLowerCase() === "t") flip();
    else if (letters.checked && event.key === "?") help.showModal();
    else return;
    event.preventDefault();
  });
}

/** @param {string} key */
function recall(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // storage is blocked
  }
}

/** @param {string} key @param {string} value */
function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // storage is blocked: the setting applies to this page only
  }
}

// Handle the keyboard shortcuts, except in fields, and list them in the help.

import { SHORTCUTS, cap, shortcutOf } from "../../core/shortcuts.js";
import { fill, find, h } from "../../leaves/dom.js";

/** @import {Action} from "../../core/shortcuts.js" */

const FIELDS = "input, select, textarea, [contenteditable]"; // every key may be text
const SCROLLED = "pre[tabindex], table, .scroll, .sheet"; // these elements use the keys for scrolling
const PRESSED = "button, a, summary, [role=button]"; // these elements use the space bar and Enter
const OPENS = "[aria-haspopup], [aria-expanded], summary"; // the space bar closes again what a click on these has opened
const SCROLLS = new Set([" ", "PageUp", "PageDown", "Home", "End", "ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"]);

/**
 * Set up the keyboard shortcuts and the dialog that lists them.
 *
 * @param {Partial<Record<Exclude<Action, "help">, (argument: any) => void>>} actions  a shortcut without an action does nothing here
 * @param {boolean} mac
 */
export function keys(actions, mac) {
  const help = /** @type {HTMLDialogElement} */ (find("#help"));
  const letters = /** @type {HTMLInputElement} */ (find("#letters"));
  const open = () => {
    help.showModal();
    find("#help-title").focus(); // not by autofocus, which a browser refuses in a frame, with a message
  };
  fill(
    find("#help dl"),
    SHORTCUTS.filter(({ action }) => action === null || action === "help" || actions[action]).map(({ keys: each, does }) => h("div", null, h("dt", null, each.map((key) => [h("kbd", { "data-key": key }, cap(key, mac)), " "])), h("dd", null, does))),
  );
  find("#ask").addEventListener("click", open);
  letters.checked = recall("letters") !== "off";
  letters.addEventListener("change", () => remember("letters", letters.checked ? "on" : "off"));

  /** A control that has the focus only because it was clicked: the space bar then plays. @type {Element | null} */
  let clicked = null;
  addEventListener("pointerdown", ({ target }) => (clicked = target instanceof Element ? target.closest(PRESSED) : null), true);
  addEventListener("keydown", ({ key }) => key === "Tab" && (clicked = null), true);
  addEventListener("keyup", (event) => event.key === " " && clicked !== null && event.target === clicked && event.preventDefault()); // in Firefox, this is the click

  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const found = shortcutOf(event);
    if (!found) return;
    const { shortcut, argument } = found;
    if (shortcut.action !== "run" && !free(event, clicked)) return;
    if (shortcut.letter && !letters.checked) return;
    const act = shortcut.action === "help" ? open : actions[shortcut.action];
    if (!act) return;
    event.preventDefault();
    act(argument);
  });
}

/** Return whether the focused element leaves a key to the page. @param {KeyboardEvent} event @param {Element | null} clicked */
function free({ target, key }, clicked) {
  const at = target instanceof Element ? target : document.body;
  if (at.closest(FIELDS)) return false;
  if (key === " " && at === clicked && !at.matches(OPENS)) return true;
  if ((key === " " || key === "Enter") && at.closest(PRESSED) && !at.matches("[aria-pressed=true][data-node]")) return false;
  if (!SCROLLS.has(key)) return true;
  const { scrollHeight, clientHeight } = document.documentElement;
  return !at.closest(SCROLLED) && (at !== document.body || scrollHeight <= clientHeight); // a page that scrolls needs these keys itself
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

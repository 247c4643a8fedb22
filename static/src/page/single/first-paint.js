// Run before the first paint, which waits for this script: mark the page as scripted, and apply the saved theme.
//
// The playground's own script is large. It is loaded after the first paint, so that the text and the picture which the server
// wrote are not shown later because of it. Until then, this script places the picture as that script would, and keeps what the
// user does: see `playground/early-input.js`.

import { PANES, applyLayout, layoutOf } from "../../leaves/pane-layout.js";
import { middleOf, rootOf, settled, transformOf } from "../../leaves/placement.js";
import { recall } from "../../leaves/storage.js";

/** @import {EarlyInput} from "../../leaves/types.js" */

const root = document.documentElement;
root.dataset.js = "";
if (new URLSearchParams(location.search).get("present") === "1") root.dataset.present = "";
const chosen = recall("theme");
if (!root.dataset.theme && (chosen === "light" || chosen === "dark")) root.dataset.theme = chosen;
const layout = layoutOf(recall(PANES));

const { late, imports = "" } = document.currentScript?.dataset ?? {};
if (late) {
  requestAnimationFrame(place);
  whenPainted(() => load(late, imports.split(" ")));
  keepInput();
}

/** Size the panes and place the picture before each frame while the page is being parsed. */
function place() {
  applyLayout(layout);
  const frame = document.querySelector("#canvas > .picture");
  const picture = frame?.querySelector("svg") ?? null;
  if (frame instanceof HTMLElement && frame.parentElement && picture) {
    const bounds = { x: 0, y: 0, width: picture.width.baseVal.value, height: picture.height.baseVal.value };
    const room = { across: frame.parentElement.clientWidth, down: frame.parentElement.clientHeight };
    const focus = { root: middleOf(picture, rootOf(picture)), selected: middleOf(picture, picture.querySelector(".node.selected:not(.stub)")), lit: [] };
    const placement = settled(bounds, room, focus);
    if (placement) frame.style.transform = transformOf(placement);
  }
  if (document.readyState === "loading") requestAnimationFrame(place);
}

/** Call a function once the parsed page has been painted; at once in a tab in the background, which is not painted. @param {() => void} begin */
function whenPainted(begin) {
  const parsed = () => {
    if (document.hidden) return begin();
    const waiting = new AbortController();
    const once = () => {
      if (!waiting.signal.aborted) begin();
      waiting.abort();
    };
    document.addEventListener("visibilitychange", once, { signal: waiting.signal });
    requestAnimationFrame(() => setTimeout(once));
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", parsed);
  else parsed();
}

/** Load a script, and the scripts that it imports at the same time. @param {string} script @param {readonly string[]} imported */
function load(script, imported) {
  for (const href of imported) {
    const link = document.createElement("link");
    Object.assign(link, { rel: "modulepreload", href });
    document.head.append(link);
  }
  void import(script);
}

/** Keep what the user does until the page's script asks for it. */
function keepInput() {
  /** @type {EarlyInput[]} */
  const kept = [];
  const over = new AbortController();
  const options = { capture: true, signal: over.signal };
  addEventListener("keydown", (event) => !event.isComposing && kept.push({ kind: "key", event, target: event.target }), options);
  addEventListener(
    "click",
    ({ target, clientX, clientY }) => {
      if (!(target instanceof Element)) return;
      const line = target.closest("#editor .listing pre");
      const button = target.closest("button");
      if (line) kept.push({ kind: "cursor", line: Number(line.parentElement?.id.slice(1)), column: columnAt(line, clientX, clientY) });
      else if (button) kept.push({ kind: "button", button, place: [...document.querySelectorAll("#found button")].indexOf(button) });
    },
    options,
  );
  addEventListener(
    "change",
    ({ target }) => {
      if (target instanceof HTMLSelectElement) kept.push({ kind: "choice", id: target.id, value: target.value });
      else if (target instanceof HTMLInputElement) kept.push({ kind: "choice", id: target.id, value: null }); // a file
    },
    options,
  );
  addEventListener("dragover", (event) => event.preventDefault(), options);
  addEventListener(
    "drop",
    (event) => {
      event.preventDefault(); // the browser would leave the page
      const carried = new DataTransfer(); // the event's own is empty afterwards
      for (const file of event.dataTransfer?.files ?? []) carried.items.add(file);
      for (const type of ["text/uri-list", "text/plain"]) carried.setData(type, event.dataTransfer?.getData(type) ?? "");
      kept.push({ kind: "drop", carried });
    },
    options,
  );
  addEventListener("set-up", (event) => (over.abort(), /** @type {CustomEvent} */ (event).detail(kept)), { once: true });
}

/** Return the column of a line at a point. @param {Element} line @param {number} x @param {number} y */
function columnAt(line, x, y) {
  const at = document.caretPositionFromPoint?.(x, y);
  const code = document.createRange();
  code.selectNodeContents(line);
  if (!at || !line.contains(at.offsetNode)) return Infinity;
  code.setEnd(at.offsetNode, at.offset);
  return code.toString().length;
}

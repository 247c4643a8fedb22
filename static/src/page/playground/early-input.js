// Obey what the user did before the script was there: `single/first-paint.js` kept it.

import { find } from "../../leaves/dom.js";

/** @import {EarlyInput} from "../../leaves/types.js" */

/**
 * Obey the keys, the clicks and the choices that were kept, in their order.
 *
 * @param {{place: (line: number, column: number) => void, type: (text: string) => void}} editor
 */
export function obeyEarly(editor) {
  dispatchEvent(new CustomEvent("set-up", { detail: (/** @type {readonly EarlyInput[]} */ kept) => kept.forEach((each) => obey(each, editor)) }));
}

/** @param {EarlyInput} input @param {Parameters<typeof obeyEarly>[0]} editor */
function obey(input, editor) {
  if (input.kind === "cursor") editor.place(input.line, input.column);
  else if (input.kind === "key") press(input, editor);
  else if (input.kind === "choice") {
    const field = /** @type {HTMLSelectElement | HTMLInputElement} */ (find(`#${input.id}`));
    if (input.value !== null) field.value = input.value;
    field.dispatchEvent(new Event("change", { bubbles: true }));
  } else if (input.kind === "drop") document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: input.carried, bubbles: true, cancelable: true }));
  else {
    // the script has made the list of findings again
    const again = /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("#found button.btn"))[input.place];
    (input.button.isConnected ? input.button : again)?.click();
  }
}

/** Press a key again: on the element that had the focus, or else on the one that has it now. @param {Extract<EarlyInput, {kind: "key"}>} input @param {Parameters<typeof obeyEarly>[0]} editor */
function press({ event, target }, editor) {
  const { key, code, ctrlKey, shiftKey, altKey, metaKey } = event;
  const element = target instanceof Element && target.isConnected && target !== document.body ? target : (document.activeElement ?? document.body);
  const handled = !element.dispatchEvent(new KeyboardEvent("keydown", { key, code, ctrlKey, shiftKey, altKey, metaKey, bubbles: true, cancelable: true }));
  const typed = key.length === 1 && !ctrlKey && !altKey && !metaKey;
  if (typed && !handled && element.closest(".cm-content")) editor.type(key);
}

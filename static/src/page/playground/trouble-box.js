// Say what went wrong with a request, and offer a remedy.

import { fill, find, h, prose } from "../../leaves/dom.js";

/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */

/**
 * Start to show why requests failed.
 *
 * @param {Store<State>} state
 * @param {() => void} again  run the program in the editor
 */
export function troubleBox(state, again) {
  const box = find("#trouble");
  let counting = 0; // timer of the seconds until a retry

  state.watch(["trouble"], ({ trouble }) => {
    clearInterval(counting);
    box.hidden = !trouble;
    if (!trouble) return fill(box);
    const retry = h("button", { type: "button", class: "btn", onclick: again }, trouble.retry === "new" ? "Run it again" : "Try again");
    const close = h("button", { type: "button", class: "btn ghost icon", "aria-label": "Dismiss", onclick: () => state.set({ trouble: null }) }, "×");
    fill(box, h("p", null, h("b", null, trouble.title), ". ", prose(trouble.detail)), trouble.retry !== undefined && retry, close);
    if (typeof trouble.retry === "number") wait(retry, trouble.retry);
  });

  /** Disable a button for some seconds, which it counts down. @param {HTMLButtonElement} button @param {number} seconds */
  function wait(button, seconds) {
    let left = Math.ceil(seconds);
    const show = () => {
      button.disabled = left > 0;
      button.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
      if (left-- <= 0) clearInterval(counting);
    };
    show();
    counting = setInterval(show, 1000);
  }

  addEventListener("offline", () => {
    const detail = "You can go on reading this recording and editing the program. Running it needs a connection.";
    state.set({ trouble: { title: "You are offline", detail } });
  });
  addEventListener("online", () => state.get().trouble?.title === "You are offline" && state.set({ trouble: null }));
}

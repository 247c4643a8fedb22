// Present a recording: the graph in large type, the lines that run, and a QR code of the link.

import { margin } from "../../core/margin.js";
import { fill, find, h } from "../../leaves/dom.js";
import { notesWindow } from "./notes-window.js";

/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */

const LINES = 3; // maximum number of lines of the program that are shown
const root = document.documentElement;

/** Return whether the page is presented. */
export const isPresented = () => "present" in root.dataset;

/**
 * Set up the presenter's view.
 *
 * @param {Store<State>} state
 * @param {string} server  root path of the server
 * @param {{place: () => {k: number}, by: (factor: number) => void, fit: () => void, reveal: () => boolean, revealRoot: () => void}} canvas
 * @param {(density: "full" | "compact") => void} onsize  the cards get another size
 * @param {() => Promise<string | null>} teach  share the position with a class; return the path of the page that follows
 */
export function presenter(state, server, canvas, onsize, teach) {
  const shown = h("pre", { class: "running" });
  const notes = notesWindow();
  const code = h("img", { alt: "QR code of this page’s address", width: 300, height: 300 });
  const text = h("p", null);
  const share = h("button", { type: "button", class: "btn" }, "Let others follow me");
  const about = h("small", { hidden: true }, "Whoever opens this link sees what you show.");
  const link = h("section", { class: "qr", "aria-label": "Address of this page", hidden: true }, code, text, share, about);
  const black = h("div", { class: "black", hidden: true });
  find(".floor").before(h("section", { class: "stage", "aria-label": "Lines that run" }, shown));
  document.body.append(link, black);
  addEventListener("keydown", ({ key }) => key === "Escape" && (link.hidden = true));

  /** @param {State} now */
  function show(now) {
    const { run, step, phase } = now;
    const program = run?.program.split("\n") ?? [];
    const lines = step?.lines[phase] ?? [];
    const values = margin(now).notes;
    fill(
      shown,
      lines.slice(-LINES).map((line) => {
        const value = values.get(line);
        const text = `${String(line).padStart(3)}  ${program[line - 1]?.replace(/\s*#\s*note:.*$/i, "") ?? ""}`;
        return h("span", { class: "line" }, h("span", null, text), value && value.tone !== "off" && h("span", { class: `value ${value.tone}` }, value.text));
      }),
    );
    notes.show(now);
  }
  state.watch(["run", "step", "phase", "ran", "apart"], show);
  // in large type, a graph may be higher than the screen: show the end of it at which something happens
  state.watch(["phase"], ({ phase }) => {
    if (isPresented()) requestAnimationFrame(() => void (phase === "forward" || phase === "loss" ? canvas.revealRoot() : canvas.reveal()));
  });

  const size = () => requestAnimationFrame(() => (isPresented() ? canvas.by(1 / canvas.place().k) : canvas.fit()));
  state.watch(["graph"], () => isPresented() && size());

  /** Show the QR code of a path of this server. @param {string} path */
  function encode(path) {
    /** @type {HTMLImageElement} */ (code).src = `${server}/qr.svg?${new URLSearchParams({ path })}`;
    fill(text, new URL(path, location.href).href);
  }

  /** The path of the page that follows this one, after the user opened a classroom. @type {string | null} */
  let followed = null;
  share.addEventListener("click", async () => {
    followed = await teach();
    if (!followed) return;
    encode(followed);
    share.hidden = true;
    about.hidden = false;
  });

  return {
    /** Begin or end the presentation. */
    toggle() {
      const address = new URL(location.href);
      if (isPresented()) {
        delete root.dataset["present"];
        address.searchParams.delete("present");
        link.hidden = black.hidden = true;
        notes.close();
      } else {
        root.dataset["present"] = "";
        address.searchParams.set("present", "1");
      }
      history.replaceState(history.state, "", address);
      onsize(isPresented() ? "compact" : "full");
      dispatchEvent(new Event("resize"));
      size();
    },
    /** Open or close the window with the notes. */
    notes() {
      if (isPresented()) notes.toggle();
    },
    /** Show or hide the QR code of the address, without the presentation. */
    link() {
      const address = new URL(location.href);
      address.searchParams.delete("present");
      address.searchParams.delete("follow");
      encode(followed ?? `${address.pathname}${address.search}`);
      link.hidden = !link.hidden;
    },
    /** Make the screen black, or show it again. */
    blank() {
      if (isPresented()) black.hidden = !black.hidden;
    },
  };
}

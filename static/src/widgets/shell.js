// What every page has: the switch of the theme, menus that close by themselves, a sentence that comes up and goes.

import { h } from "../leaves/dom.js";

/** Is the page dark just now? */
export const dark = () => {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

/** Change between light and dark, and remember it. */
export function flip() {
  const theme = dark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // storage is blocked: it holds for this page
  }
  const here = new URL(location.href);
  if (here.searchParams.has("theme")) {
    here.searchParams.set("theme", theme);
    history.replaceState(history.state, "", here);
  }
  return theme;
}

/** Set up what every page has. */
export function shell() {
  for (const button of document.querySelectorAll("[data-flip]")) button.addEventListener("click", flip);
  /** The menu that something is part of, those too that are made later. @param {EventTarget | null} target */
  const menuOf = (target) => /** @type {HTMLDetailsElement | null} */ (target instanceof Element ? target.closest("details.menu") : null);
  /** @param {EventTarget | null} target */
  const closeOthers = (target) => {
    const kept = menuOf(target);
    for (const menu of /** @type {NodeListOf<HTMLDetailsElement>} */ (document.querySelectorAll("details.menu[open]"))) {
      if (menu !== kept) menu.open = false;
    }
  };
  document.addEventListener("pointerdown", ({ target }) => closeOthers(target));
  document.addEventListener("focusin", ({ target }) => closeOthers(target));
  document.addEventListener(
    "keydown",
    (event) => {
      const menu = menuOf(event.target);
      if (!menu) return;
      const items = /** @type {HTMLElement[]} */ ([...menu.querySelectorAll(".sheet :is(a, button)")]);
      const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
      const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape" && menu.open) {
        menu.open = false;
        /** @type {HTMLElement | null} */ (menu.querySelector("summary"))?.focus();
      } else if (by) {
        menu.open = true;
        items[(at + by + items.length) % items.length]?.focus();
      } else return;
      event.preventDefault();
      event.stopPropagation();
    },
    { capture: true }, // before the keys that play
  );
  document.addEventListener("click", ({ target }) => {
    const menu = target instanceof Element && target.closest(".sheet :is(a, button)") ? menuOf(target) : null;
    if (menu) menu.open = false;
  });
}

let gone = 0;

/** Say something in passing. @param {string} text */
export function toast(text) {
  const shown = document.querySelector(".toast") ?? document.body.appendChild(h("div", { class: "toast", role: "status" }));
  shown.textContent = text;
  clearTimeout(gone);
  gone = setTimeout(() => (shown.textContent = ""), 2400);
}

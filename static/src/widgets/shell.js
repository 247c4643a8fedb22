// Behaviour of every page: the theme switch, menus that close by themselves, short notices.

import { h } from "../leaves/dom.js";

/** Return whether the page is dark. */
export const dark = () => {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

/** Switch between light and dark, and save the choice. */
export function flip() {
  const theme = dark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // storage is blocked: the theme applies to this page only
  }
  const here = new URL(location.href);
  if (here.searchParams.has("theme")) {
    here.searchParams.set("theme", theme);
    history.replaceState(history.state, "", here);
  }
  return theme;
}

/** Set up the theme switch and the menus. */
export function shell() {
  for (const button of document.querySelectorAll("[data-flip]")) button.addEventListener("click", flip);
  /** Return the menu around an element, or null. @param {EventTarget | null} target */
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
    { capture: true }, // handled before the keys of the deck
  );
  document.addEventListener("click", ({ target }) => {
    const menu = target instanceof Element && target.closest(".sheet :is(a, button)") ? menuOf(target) : null;
    if (menu) menu.open = false;
  });
}

let hiding = 0; // timer that removes the notice

/** Show a short notice. @param {string} text */
export function toast(text) {
  const shown = document.querySelector(".toast") ?? document.body.appendChild(h("div", { class: "toast", role: "status" }));
  shown.textContent = text;
  clearTimeout(hiding);
  hiding = setTimeout(() => (shown.textContent = ""), 2400);
}

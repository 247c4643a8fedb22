// Filter the gallery by words and concepts, and keep the filter in the address.

import { h } from "../leaves/dom.js";

/** Return the text in which an example is searched. @param {Element} example */
const searched = (example) => `${example.id} ${example.textContent}`.toLowerCase();

/**
 * Start to filter the examples of the page.
 *
 * @param {HTMLElement} form  contains `#wanted`, `#matches` and a `[data-tag]` for each concept
 */
export function galleryFilter(form) {
  const field = /** @type {HTMLInputElement} */ (form.querySelector("#wanted"));
  const matches = /** @type {HTMLElement} */ (form.querySelector("#matches"));
  const buttons = [...form.querySelectorAll("[data-tag]")];
  const examples = [...document.querySelectorAll(".gallery > li")].map((item) => ({
    item: /** @type {HTMLElement} */ (item),
    text: searched(item),
    tags: /** @type {HTMLElement} */ (item).dataset.tags?.split("|") ?? [],
  }));
  const sections = [...document.querySelectorAll(".examples")];
  const nothing = h("p", { class: "mute", hidden: true }, "No example matches. Search for fewer words, or choose no concept.");
  form.after(nothing);

  const query = new URLSearchParams(location.search);
  field.value = query.get("q") ?? "";
  let tag = query.get("tag") ?? "";

  function filter() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const each of examples) {
      const shown = (!tag || each.tags.includes(tag)) && words.every((word) => each.text.includes(word));
      each.item.hidden = !shown;
      if (shown) count += 1;
    }
    for (const section of sections) {
      /** @type {HTMLElement} */ (section).hidden = !section.querySelector("li:not([hidden])");
    }
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.getAttribute("data-tag") === tag));
    const filtered = words.length > 0 || tag !== "";
    matches.textContent = filtered ? `${count} of ${examples.length}` : "";
    nothing.hidden = count > 0;
    const address = new URL(location.href);
    for (const [key, value] of [["q", field.value.trim()], ["tag", tag]]) {
      if (value) address.searchParams.set(key, value);
      else address.searchParams.delete(key);
    }
    if (address.href !== location.href) history.replaceState(history.state, "", address);
  }

  field.addEventListener("input", filter);
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    field.value = "";
    filter();
  });
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const chosen = button.getAttribute("data-tag") ?? "";
      tag = tag === chosen ? "" : chosen;
      filter();
    });
  }
  filter();
}

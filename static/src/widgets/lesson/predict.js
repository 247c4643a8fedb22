// A question of a lesson: its answer is blank until the reader has guessed it, or asks for it.

import { close, equal, isFor, misfit, read, rounded } from "../../core/guess.js";
import { fill, find, h, widget } from "../../leaves/dom.js";

/** @typedef {{values: string, known: readonly {text: string, body: Element}[], other: Element | null}} Replies */

/**
 * Turn the section that the server wrote into a question.
 *
 * @param {HTMLElement} section
 * @param {object} options
 * @param {string | null} options.kept                      the guess of an earlier visit
 * @param {(guess: string, done: boolean) => void} options.onguess
 * @param {(section: HTMLElement) => void} options.onopen   the answer is shown
 */
export function predict(section, { kept, onguess, onopen }) {
  const worked = /** @type {HTMLDetailsElement} */ (section.querySelector("details.reveal"));
  const tolerance = Number(section.dataset["tolerance"] ?? 0.001);
  const choices = /** @type {HTMLElement[]} */ ([...section.querySelectorAll(".offered > li")]);
  const label = find("h3", section).id;
  const guesses = h("div", { class: "guesses", role: "status" });
  const several = choices.filter(({ dataset }) => dataset["right"] !== undefined).length > 1;
  const name = section.id;

  const boxes = choices.map((choice, i) =>
    h("label", null, h("input", { type: several ? "checkbox" : "radio", name, value: String(i) }), h("span", null, [...choice.childNodes].map((node) => node.cloneNode(true)))),
  );
  const field = h("input", { type: "text", "aria-labelledby": label, autocomplete: "off", autocapitalize: "off", spellcheck: "false", enterkeyhint: "done", placeholder: section.dataset["hint"] ?? "your guess" });
  const guess = h("button", { type: "submit", class: "btn primary" }, "Check");
  const show = h("button", { type: "button", class: "to", onclick: () => open(true) }, "Show the answer");
  const form = h(
    "form",
    { class: "ask", onsubmit: (/** @type {Event} */ event) => (event.preventDefault(), check()) },
    choices.length ? h("fieldset", { class: "choices", "aria-labelledby": label }, boxes) : field,
    guess,
    show,
  );
  worked.before(form, guesses);
  worked.hidden = true;

  /** Return the right answer as it is now. */
  const answer = () => section.dataset["answer"] ?? "";

  /** Return the reply to a wrong guess. @param {string} text */
  function replyTo(text) {
    const own = read(text);
    const replies = /** @type {HTMLElement[]} */ ([...worked.querySelectorAll("[data-reply]")]);
    const named = replies.find(({ dataset }) => dataset["reply"] && isFor(own, read(dataset["reply"]), tolerance));
    const found = named ?? replies.find(({ dataset }) => dataset["reply"] === "");
    if (!named && !choices.length && close(own, read(answer()), tolerance)) return [h("p", null, "Close: type one more digit, or round the last one.")];
    const why = named || choices.length ? "" : misfit(own, read(answer()), tolerance);
    return [...(why ? [h("p", null, why)] : []), ...[...(found?.childNodes ?? [])].map((node) => node.cloneNode(true))];
  }

  function check() {
    if (!choices.length) {
      const text = field.value.trim();
      return text ? judge(text, equal(read(text), read(answer()), tolerance)) : field.focus();
    }
    const chosen = boxes.flatMap((box, i) => (box.querySelector("input")?.checked ? [i] : []));
    if (!chosen.length) return;
    const right = choices.every(({ dataset }, i) => (dataset["right"] !== undefined) === chosen.includes(i));
    judge(chosen.map((i) => choices[i]?.textContent?.trim()).join(", "), right);
  }

  /** @param {string} text @param {boolean} right */
  function judge(text, right) {
    const reply = right ? [] : replyTo(text);
    const exact = right || (!choices.length && !replied(text) && rounded(read(text), read(answer()), tolerance));
    fill(
      guesses,
      h(
        "div",
        { class: "guess" },
        h("span", { class: "mark", "aria-hidden": "true" }, exact ? "✓" : "✗"),
        h("span", null, h("span", { class: "typed" }, text), exact ? ": right." : ": not yet."),
        exact || !reply.length ? null : h("div", { class: "reply" }, reply),
      ),
    );
    if (exact) open(false);
    onguess(text, exact);
  }

  /** Return whether a reply was written for this very guess. @param {string} text */
  function replied(text) {
    return [...worked.querySelectorAll("[data-reply]")].some((each) => each instanceof HTMLElement && each.dataset["reply"] && equal(read(text), read(each.dataset["reply"]), tolerance));
  }

  /** Show the answer. @param {boolean} unguessed */
  function open(unguessed) {
    worked.hidden = false;
    worked.open = true;
    show.hidden = true;
    section.classList.add("open");
    onopen(section);
    if (unguessed) onguess("", true);
  }

  if (kept !== null) {
    if (kept && !choices.length) field.value = kept;
    if (kept) fill(guesses, h("div", { class: "guess" }, h("span"), h("span", { class: "mute" }, "Your guess: ", h("span", { class: "typed" }, kept))));
    worked.hidden = false;
    show.hidden = true;
    section.classList.add("open");
  }

  return widget(section, {
    /** Ask again, because a number was dragged and the answer is another one now. */
    again() {
      if (!section.classList.contains("open")) return;
      worked.hidden = true;
      worked.open = false;
      show.hidden = false;
      field.value = "";
      section.classList.remove("open");
      fill(guesses, h("p", { class: "mute" }, "The numbers have changed. What is it now?"));
    },
  });
}

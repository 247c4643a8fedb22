// A number of a lesson's program that the reader drags, and statements about some of its values.

import { fill, h, widget } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";

/**
 * Turn the section that the server wrote into a slider.
 *
 * @param {HTMLElement} section
 * @param {object} options
 * @param {number} options.value                   the number in the program
 * @param {(value: number) => void} options.onpull
 */
export function drag(section, { value, onpull }) {
  const { name = "", low = "0", high = "1", step = "0.1" } = section.dataset;
  const decimals = (step.split(".")[1] ?? "").replace(/0+$/, "").length;
  const slider = h("input", { type: "range", min: low, max: high, step, "aria-label": name });
  const output = h("output", null);
  const readings = h("p", { class: "readings", role: "status" });
  const reset = h("button", { type: "button", class: "to", onclick: () => set(value) }, "Reset");
  const element = h("div", { class: "puller" }, output, slider);
  const seen = section.querySelector(".seen");
  const sights = /** @type {HTMLElement[]} */ ([...section.querySelectorAll(".seen > li")]);
  (seen ?? section.lastElementChild)?.before(element, readings);

  /** @param {number} to */
  const written = (to) => to.toFixed(decimals).replace("-", format.MINUS);

  for (const sight of sights) {
    const at = Number(sight.dataset["value"]);
    sight.querySelector("b")?.replaceWith(h("button", { type: "button", class: "to", "aria-label": `Set ${name} to ${written(at)}`, onclick: () => set(at) }, written(at)));
  }

  /** Show the value, and mark the statement about it. @param {number} to */
  function mark(to) {
    fill(output, `${name} = ${written(to)}`);
    slider.setAttribute("aria-valuetext", `${name} = ${written(to)}`);
    for (const sight of sights) sight.classList.toggle("here", Math.abs(Number(sight.dataset["value"]) - to) < Number(step) / 2);
    reset.classList.toggle("same", Math.abs(to - value) < Number(step) / 1000);
  }

  /** @param {number} to */
  function set(to) {
    slider.value = String(to);
    mark(to);
    onpull(to);
  }
  slider.value = String(value);
  mark(value);
  slider.addEventListener("input", () => set(Number(slider.value)));
  element.append(reset);

  return widget(section, {
    /** Show a message, such as why the program could not be run. @param {string} message */
    say(message) {
      fill(readings, message);
    },
    /** Show numbers of the program at the value. @param {readonly {name: string, text: string, tone: string}[]} numbers */
    read(numbers) {
      fill(
        readings,
        numbers.map(({ name: label, text, tone }) => h("span", null, `${label} `, h("b", { class: tone }, text))),
      );
    },
  });
}

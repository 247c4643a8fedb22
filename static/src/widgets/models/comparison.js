// Two rows that the reader chose in the Models view, and the sentence that compares their gradients.

import { fill, h, widget } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";

/** @typedef {{key: string, name: string, group: string, gradient: import("../../leaves/types.js").Scalar | null}} Compared   rows with the same `group` are a sequence, such as `h.40` and `h.3` */

/**
 * Make the comparison.
 *
 * @param {() => void} onclear  the reader wants to compare no longer
 */
export function comparison(onclear) {
  const headline = h("b");
  const sentence = h("span");
  const clear = h("button", { type: "button", class: "btn ghost", onclick: onclear }, "Clear");
  const element = h("p", { class: "compared", role: "status", hidden: true }, headline, sentence, clear);

  return widget(element, {
    /** Compare the rows that were chosen: none, one or two. @param {readonly Compared[]} chosen @param {string} unit  what the rows of a sequence are */
    show(chosen, unit) {
      const [first, second] = chosen;
      element.hidden = !first;
      if (!first) return;
      const said = second ? compared(first, second, unit) : { factor: "", words: `Compare ${first.name} with: click the gradient of another row, or press Shift Enter on it.` };
      fill(headline, said.factor);
      fill(sentence, said.words);
    },
  });
}

/**
 * Return how the gradient changes from one row to another one.
 *
 * @param {Compared} from
 * @param {Compared} to
 * @param {string} unit
 * @returns {{factor: string, words: string}}
 */
export function compared(from, to, unit) {
  for (const { name, gradient } of [from, to]) {
    if (gradient === null) return { factor: "", words: `The gradient of ${name} was not recorded.` };
    if (typeof gradient !== "number") return { factor: "", words: `The gradient of ${name} is not finite.` };
    if (gradient === 0) return { factor: "", words: `The gradient of ${name} is 0.` };
  }
  const [before, after] = [Number(from.gradient), Number(to.gradient)];
  const ratio = after / before;
  const apart = from.group && from.group === to.group ? Math.abs(numberOf(from.name) - numberOf(to.name)) : 0;
  const each = apart > 1 ? ` Over ${format.counted(apart, unit)}, that is ${times(ratio ** (1 / apart))} per ${unit}.` : "";
  const verb = ratio < 1 ? "shrinks" : ratio > 1 ? "grows" : "stays the same,";
  return {
    factor: times(ratio),
    words: `From ${from.name} to ${to.name}, the gradient ${verb} from ${format.number(before, 3)} to ${format.number(after, 3)}.${each}`,
  };
}

/** Return the number at the end of a name. @param {string} name */
const numberOf = (name) => Number(/\d+/.exec(name.match(/\d+\]?$/)?.[0] ?? "")?.[0] ?? NaN);

/** Write a factor with three digits, as the headline of the trend. @param {number} ratio */
function times(ratio) {
  const [sign, size] = ratio < 1 ? ["÷", 1 / ratio] : ["×", ratio];
  if (size >= 1e6) return `${sign} ${format.number(size, 2)}`;
  return `${sign} ${size >= 999.5 ? format.thousands(Math.round(size)) : String(Number(size.toPrecision(3)))}`;
}

// Write the chain rule at a node as MathML.

import { h } from "../../leaves/dom.js";

/** @import {ChainRule, Term} from "../../core/chain-rule.js" */

const MATHML = "http://www.w3.org/1998/Math/MathML";

/** Make an element of MathML. @param {string} tag @param {string | null} tone @param {...(Element | string)} children */
function m(tag, tone, ...children) {
  const element = document.createElementNS(MATHML, tag);
  if (tone) element.setAttribute("class", tone);
  element.append(...children);
  return element;
}
/** @param {...Element} children */
function math(...children) {
  const element = m("math", null, ...children);
  element.setAttribute("displaystyle", "true"); // fractions in the size of the text
  return element;
}
/** @param {string} sign */
const sign = (sign) => m("mo", null, sign);
/** @param {string} text @param {string | null} [tone] */
const word = (text, tone = null) => m("mtext", tone, text);
/** Write a derivative. @param {string} of @param {string} by @param {string | null} [tone] @param {string | null} [below]  tone of the denominator's name */
const derivative = (of, by, tone = null, below = null) => m("mfrac", tone, m("mrow", null, sign("∂"), word(of)), m("mrow", null, sign("∂"), word(by, below)));

/** Write the terms of the sum. @param {ChainRule} rule @param {(term: Term) => Element[]} write */
const joined = ({ terms }, write) => terms.flatMap((term, i) => [...(i ? [sign("+")] : []), ...(term.sum ? [sign("∑")] : []), ...write(term)]);

/** Return the chain rule as a formula that breaks before an equals sign. @param {ChainRule} rule */
export function formula(rule) {
  const { loss, of, leaf, terms, apart } = rule;
  const above = (/** @type {Term} */ { through }) => derivative(loss, through, "grad");
  const whole = math(derivative(loss, of, null, leaf ? "param" : null));
  const local = apart && terms.every(({ sign: by, root }) => by !== "@" && !root);
  const chain = local && math(sign("="), ...joined(rule, (term) => [above(term), sign("·"), derivative(term.through, of, null, leaf ? "param" : null)]));
  const known = math(
    sign("="),
    ...joined(rule, (term) => {
      const times = term.root && term.sign === "·"; // by 1
      return [
        ...(term.before ? [word(term.before), sign(term.sign)] : []),
        ...(times ? [] : [term.root ? word("1") : above(term)]),
        ...(times || !term.after ? [] : [sign(term.sign)]),
        ...(term.after ? [word(term.after)] : []),
      ];
    }),
  );
  return h("p", { class: "derivative" }, [whole, chain, known].flatMap((each) => (each ? [each, " "] : [])));
}

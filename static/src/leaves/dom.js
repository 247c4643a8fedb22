// Make elements: the few lines that stand in for a framework.

/** @typedef {Node | string | number | null | undefined | false | Child[]} Child */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An HTML element. Functions become listeners (`onclick`), booleans attributes, `class` a class.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, unknown> | null} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  dress(element, props);
  element.append(...kids(children));
  return element;
}

/**
 * An SVG element.
 *
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, unknown> | null} [props]
 * @param {...Child} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function s(tag, props, ...children) {
  const element = document.createElementNS(SVG, tag);
  dress(element, props);
  element.append(...kids(children));
  return element;
}

/** @param {Element} element @param {Record<string, unknown> | null | undefined} props */
function dress(element, props) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else element.setAttribute(name, value === true ? "" : String(value));
  }
}

/** @param {Child[]} children @returns {(Node | string)[]} */
function kids(children) {
  return children.flatMap((child) => {
    if (Array.isArray(child)) return kids(child);
    if (child === null || child === undefined || child === false) return [];
    return [child instanceof Node ? child : String(child)];
  });
}

/** Text with `code` in backticks. @param {string} text @returns {Child[]} */
export const prose = (text) => text.split(/`([^`\n]+)`/).map((part, i) => (i % 2 ? h("code", null, part) : part));

/** Replace what stands in an element. @param {Element} element @param {...Child} children */
export function fill(element, ...children) {
  element.replaceChildren(...kids(children));
}

/**
 * A widget: an element that can be shown something new.
 *
 * @template {Element} E
 * @template {object} Methods
 * @param {E} element
 * @param {Methods} methods
 * @returns {E & Methods}
 */
export const widget = (element, methods) => Object.assign(element, methods);

/** @param {string} selector @param {ParentNode} [root] @returns {HTMLElement} */
export function find(selector, root = document) {
  const element = root.querySelector(selector);
  if (!(element instanceof HTMLElement)) throw new Error(`the page has no ${selector}`);
  return element;
}

// Create and fill elements, without a framework.

/** @typedef {Node | string | number | null | undefined | false | Child[]} Child */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Create an HTML element. Functions become event listeners (`onclick`), other properties become attributes.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, unknown> | null} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  setProps(element, props);
  element.append(...flatten(children));
  return element;
}

/**
 * Create an SVG element.
 *
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, unknown> | null} [props]
 * @param {...Child} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function s(tag, props, ...children) {
  const element = document.createElementNS(SVG, tag);
  setProps(element, props);
  element.append(...flatten(children));
  return element;
}

/** Set attributes and listeners. @param {Element} element @param {Record<string, unknown> | null | undefined} props */
function setProps(element, props) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else element.setAttribute(name, value === true ? "" : String(value));
  }
}

/** Flatten children, and drop empty ones. @param {Child[]} children @returns {(Node | string)[]} */
function flatten(children) {
  return children.flatMap((child) => {
    if (Array.isArray(child)) return flatten(child);
    if (child === null || child === undefined || child === false) return [];
    return [child instanceof Node ? child : String(child)];
  });
}

/** Turn `code` in backticks into elements. @param {string} text @returns {Child[]} */
export const prose = (text) => text.split(/`([^`\n]+)`/).map((part, i) => (i % 2 ? h("code", null, part) : part));

/** Replace the children of an element. @param {Element} element @param {...Child} children */
export function fill(element, ...children) {
  element.replaceChildren(...flatten(children));
}

/**
 * Make a widget: an element with methods that update it.
 *
 * @template {Element} E
 * @template {object} Methods
 * @param {E} element
 * @param {Methods} methods
 * @returns {E & Methods}
 */
export const widget = (element, methods) => Object.assign(element, methods);

/** Return the first element for a selector, or raise an error. @param {string} selector @param {ParentNode} [root] @returns {HTMLElement} */
export function find(selector, root = document) {
  const element = root.querySelector(selector);
  if (!(element instanceof HTMLElement)) throw new Error(`the page has no ${selector}`);
  return element;
}

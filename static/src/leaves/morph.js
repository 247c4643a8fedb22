// Update a tree of elements to equal another one of the same shape, so that changed attributes can be animated.

const KEPT = new Set(["tabindex", "aria-pressed", "role"]);

/** Update `old` to equal `next`; replace it if their shapes differ. @param {Element} old @param {Element} next */
export function morph(old, next) {
  if (old.tagName !== next.tagName || old.children.length !== next.children.length) {
    old.replaceWith(document.importNode(next, true));
    return;
  }
  for (const { name, value } of next.attributes) {
    if (!KEPT.has(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const name of old.getAttributeNames()) {
    if (!KEPT.has(name) && !next.hasAttribute(name)) old.removeAttribute(name);
  }
  if (!next.children.length) {
    if (old.textContent !== next.textContent) old.textContent = next.textContent;
    return;
  }
  const pairs = [...old.children];
  for (const [i, child] of [...next.children].entries()) morph(/** @type {Element} */ (pairs[i]), child);
}

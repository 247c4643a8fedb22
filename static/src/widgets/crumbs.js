// The open groups around the selected node of a map. Each leads up: it closes the groups inside it.

import { fill, h, widget } from "../leaves/dom.js";

/** @typedef {{id: string, name: string, view: string}} Crumb   an open group; `view` is the map with the group closed */

/**
 * Make the breadcrumb.
 *
 * @param {object} options
 * @param {(crumb: Crumb) => void} options.onclose  close a group
 * @param {() => void} options.onopen               open the way to the selected node
 */
export function crumbs({ onclose, onopen }) {
  const list = h("ol");
  const open = h("button", { type: "button", class: "btn way", hidden: true, onclick: onopen }, "Open its groups");
  const element = h("nav", { class: "crumbs", "aria-label": "Groups around the selected node" }, list, open);

  return widget(element, {
    /**
     * Show the way to the selected node.
     *
     * @param {{groups: readonly Crumb[], name: string} | null} way  null if the map does not show the node
     * @param {string} title  the node's own name
     */
    show(way, title) {
      const groups = way?.groups ?? [];
      /** @param {string} label @param {Crumb | undefined} inner  the group to close, which is inside of this one */
      const up = (label, inner) =>
        inner ? h("button", { type: "button", title: `Close ${inner.name}`, onclick: () => onclose(inner) }, label) : label;
      fill(
        list,
        way && [
          h("li", null, up("graph", groups[0])),
          groups.map((each, i) => h("li", null, up(each.name, groups[i + 1]))),
          h("li", { "aria-current": "true" }, way.name),
        ],
        !way && title && h("li", { class: "lost", title: `${title} is inside a closed group` }, h("b", null, title)),
      );
      open.hidden = Boolean(way) || !title;
      list.scrollLeft = list.scrollWidth;
    },
  });
}

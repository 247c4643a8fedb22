// Write the numbers at the playhead into a picture that the server laid out: texts, widths and colours, where they changed.

import * as format from "../../leaves/format.js";

/** @import {EdgeStyle} from "../../leaves/edge-style.js" */
/** @import {Tensor} from "../../leaves/types.js" */

/**
 * The numbers of a node and of an edge at the playhead.
 *
 * @typedef {object} Card
 * @property {"op" | "leaf" | "constant"} kind
 * @property {string} label                      name of its gradient: `m.grad` or `grad`
 * @property {boolean} ahead                     its value is not computed yet
 * @property {boolean} now                       the engine has just run it
 * @property {Tensor | null} value
 * @property {Tensor | null} after               the value after the update
 * @property {readonly (Tensor | null)[] | null} grads    the gradient of each output; null before they arrived
 * @property {Tensor | null} held                the leaf's `.grad` before this pass reached it
 * @property {boolean} adds                      the gradient is added to an earlier one
 * @property {boolean} moved                     its name refers to another tensor by now
 *
 * @typedef {{gradient: Tensor | null, flowed: boolean, flowing: boolean}} Wire   flowing: its source has just run
 * @typedef {{cards: Map<string, Card>, wires: Map<string, Wire>}} PictureNumbers
 * @typedef {{left: number, top: number, right: number, bottom: number}} Viewport    in pixels of the picture
 */

const AT_REST = 160; // tooltips are written after this many milliseconds without a change
const LABEL = 7; // maximum characters of a gradient's name on a card
const SHORT = 8; // maximum characters of a name that is followed by " before the update"

/** Return whether a tensor has NaN or infinite elements. @param {Tensor | null} tensor */
const strange = (tensor) =>
  tensor !== null && Boolean(tensor.nan || tensor.inf || tensor.norm === "NaN" || tensor.norm === "Infinity");

/** Return the title of a leaf whose name now refers to another tensor. @param {string} name */
const renamed = (name) => (name.length <= SHORT ? `${name} before the update` : `old ${name}`);

/** @param {Tensor | null} tensor */
const norm = (tensor) => (tensor?.norm === null || tensor === null ? null : Number(tensor.norm));

/**
 * Wrap a text of the picture so that it is written only when it changes.
 *
 * @param {Element | null | undefined} element
 */
function field(element) {
  let text = element?.textContent ?? "";
  let tone = /\bf-([\w-]+)/.exec(element?.getAttribute("class") ?? "")?.[1] ?? "";
  const ground = element?.classList.contains("s-bg") ? " s-bg" : ""; // set on the label of an edge
  return {
    element,
    first: text,
    room: Number(element?.getAttribute("data-room") ?? 0),
    /** @param {string} next @param {string} [colour] */
    put(next, colour) {
      if (!element) return;
      if (next !== text) element.textContent = text = next;
      if (colour && colour !== tone) element.setAttribute("class", `mono f-${(tone = colour)}${ground}`);
    },
  };
}

/**
 * Prepare to write into a picture.
 *
 * @param {SVGSVGElement} svg
 * @param {EdgeStyle} edgeStyle
 * @param {(shaft: SVGPathElement, head: Element | null) => void} onflow  a gradient has just left along an edge
 */
export function numberWriter(svg, edgeStyle, onflow) {
  /** @param {string} selector */
  const groups = (selector) => [.../** @type {NodeListOf<SVGGElement>} */ (svg.querySelectorAll(selector))];
  const nodes = groups(".node:not(.stub)").map((group) => {
    const grad = group.querySelector("[data-field=grad]");
    return {
      id: group.dataset.node ?? "",
      group,
      value: field(group.querySelector("[data-field=value]")),
      grad: field(grad),
      label: field(grad?.previousElementSibling),
      name: field(group.querySelector("text[font-weight]")),
      writeTooltip: tooltipWriter(group),
      marks: "",
    };
  });
  const stubs = groups(".node.stub").map((group) => ({ id: group.dataset.node ?? "", writeTooltip: tooltipWriter(group) }));
  const titles = new Map(nodes.map(({ id, group }) => [id, tooltipOf(group)[0] ?? ""]));
  const edges = groups(".edge:not(.none)").map((group) => {
    const shaft = /** @type {SVGPathElement | null} */ (group.querySelector(".shaft"));
    const { edge, source, target } = group.dataset;
    return {
      id: edge ?? "",
      group,
      shaft,
      head: group.querySelector(".head"),
      label: field(group.querySelector("[data-field=grad]")),
      length: Number(shaft?.dataset.length ?? 0),
      ends: `${titles.get(source ?? "")} → ${titles.get(target ?? "")}`,
      title: group.querySelector("title"),
      look: "",
    };
  });
  /** @type {PictureNumbers | null} */
  let last = null;
  let rest = 0;
  let behind = false; // nodes out of view still have old numbers
  /** @type {Map<Element, Viewport> | null} */
  let boxes = null;

  /** Measure nodes and edges. Their positions never change, since the numbers do not affect the layout. */
  function measure() {
    const frame = svg.getBoundingClientRect();
    const k = frame.width / (svg.width.baseVal.value || 1);
    if (!k) return null; // the picture is hidden
    return new Map(
      [...nodes.map(({ group }) => group), ...edges.map(({ group }) => group)].map((group) => {
        const own = group.getBoundingClientRect();
        const [left, top] = [(own.left - frame.left) / k, (own.top - frame.top) / k];
        return [group, { left, top, right: left + own.width / k, bottom: top + own.height / k }];
      }),
    );
  }

  /** Write the numbers, only those in view if a view is given. @param {PictureNumbers} scene @param {Viewport | null} view */
  function put(scene, view) {
    if (view) boxes ??= measure();
    /** @param {Element} group */
    const inView = (group) => {
      const own = view && boxes?.get(group);
      return !own || (own.left < view.right && own.right > view.left && own.top < view.bottom && own.bottom > view.top);
    };
    for (const node of nodes) {
      const card = scene.cards.get(node.id);
      if (card && inView(node.group)) writeNode(node, card);
    }
    for (const edge of edges) {
      const wire = scene.wires.get(edge.id);
      if (wire && inView(edge.group)) writeEdge(edge, wire);
    }
    behind = view !== null;
  }

  /** @param {typeof nodes[number]} node @param {Card} card */
  function writeNode({ group, value, grad, label, name }, { kind, ahead, value: own, after, grads, held, adds, moved, ...card }) {
    const usual = kind === "leaf" ? "param" : kind === "constant" ? "ink-2" : "ink";
    const shown = own && !ahead ? format.brief(own, value.room) : format.NONE;
    value.put(
      own && after ? format.became(own, after, value.room) : shown,
      ahead ? "ink-3" : format.suspect(after ?? own) ? "bad" : usual,
    );
    if (grads) grad.put(...gradients(grads, grad.room));
    else if (kind === "leaf") grad.put(held ? format.brief(held, grad.room) : "None", held ? "grad" : "ink-3");
    else grad.put(format.NONE, "ink-3");
    if (kind === "leaf") {
      const plain = label.first !== "grad +=" ? label.first : card.label.length <= LABEL ? card.label : "grad";
      label.put(adds && grads ? "grad +=" : plain);
      name.put(moved ? renamed(name.first) : name.first);
    }
    group.classList.toggle("ahead", ahead);
    group.classList.toggle("now", card.now);
    group.classList.toggle("moved", moved);
    group.classList.toggle("waiting", grads === null && kind !== "constant");
  }

  /** @param {typeof edges[number]} edge @param {Wire} wire */
  function writeEdge(edge, { gradient, flowed, flowing }) {
    const size = flowed ? norm(gradient) : null;
    const look = flowed ? `${size}` : "dry";
    edge.label.put(flowed && gradient ? format.size(gradient, edge.label.room) : "", strange(gradient) ? "bad" : "grad");
    if (look === edge.look) return;
    const before = edge.look;
    edge.look = look;
    const [wide, level] = flowed ? [edgeStyle.width(size), edgeStyle.level(size)] : [1, "dry"];
    const head = edgeStyle.head(wide);
    edge.shaft?.setAttribute("class", `shaft ${level}`);
    edge.shaft?.setAttribute("stroke-width", `${wide}`);
    edge.shaft?.setAttribute(
      "stroke-dasharray",
      `${edgeStyle.shown(edge.length, head).toFixed(1)} ${(edge.length + 9).toFixed(1)}`,
    );
    edge.head?.setAttribute("class", `head ${level}`);
    edge.head?.setAttribute("transform", `scale(${head.toFixed(2)})`);
    if (flowing && before === "dry" && edge.shaft) onflow(edge.shaft, edge.head);
  }

  /** Write the tooltips, which screen readers announce. */
  function writeTooltips() {
    if (!last) return;
    if (behind) put(last, null);
    for (const { id, writeTooltip } of [...nodes, ...stubs]) {
      const card = last.cards.get(id);
      if (card) writeTooltip(card);
    }
    for (const { id, ends, title } of edges) {
      const wire = last.wires.get(id);
      const text = wire?.flowed && wire.gradient ? `${ends}: gradient ${format.full(wire.gradient)}` : ends;
      if (title && title.textContent !== text) title.textContent = text;
    }
  }

  return {
    /** Write the numbers that were out of view, because the view is changing. */
    complete() {
      if (last && behind) put(last, null);
    },
    /**
     * Write the numbers. If a view is given, only those in it are written at once, the rest after the last change.
     *
     * @param {PictureNumbers} scene
     * @param {Viewport | null} view
     */
    write(scene, view) {
      last = scene;
      put(scene, view);
      clearTimeout(rest);
      rest = setTimeout(writeTooltips, AT_REST);
    },
  };
}

/** Return the gradient's text on a card, and its colour. @param {readonly (Tensor | null)[]} grads @param {number} room @returns {[string, string]} */
function gradients(grads, room) {
  const [only = null] = grads;
  if (grads.length === 1) return [only ? format.brief(only, room) : "none", only ? (strange(only) ? "bad" : "grad") : "ink-3"];
  const listed = grads.map((each) => (each ? format.number(each.norm, 2) : format.NONE));
  const text = `‖${listed.join(", ")}‖`;
  if (text.length <= room) return [text, grads.some(strange) ? "bad" : "grad"];
  return [
    `at ${grads.filter(Boolean).length} of ${grads.length} outputs`.replaceAll("-", format.MINUS),
    grads.some(strange) ? "bad" : "grad",
  ];
}

/** Return the lines of a node's tooltip. @param {SVGGElement} group */
const tooltipOf = (group) => (group.querySelector("title")?.textContent ?? "").split("\n");

/** Return a function that writes a node's tooltip, whose first two lines and last remarks stay. @param {SVGGElement} group */
function tooltipWriter(group) {
  const title = group.querySelector("title");
  const about = tooltipOf(group).slice(0, 2);
  const remarks = group.dataset.remarks?.split("\n") ?? [];
  return (/** @type {Card} */ { kind, label, value, ahead, after, grads, held }) => {
    const many = grads !== null && grads.length > 1;
    const now = [
      ...about,
      ...(value && !ahead ? [`value ${format.full(value)}${after ? `, then ${format.full(after)}` : ""}`] : []),
      ...(grads ?? []).map((each, i) => `${label}${many ? ` ${i}` : ""} ${format.full(each)}`),
      ...(grads === null && kind === "leaf" ? [`${label} ${held ? format.full(held) : "None"}`] : []),
      ...remarks,
    ].join("\n");
    if (title && title.textContent !== now) title.textContent = now;
  };
}

// Show the picture of a graph, with pan, zoom, selection, and arrow keys that walk along the edges.

import { fill, h, widget } from "../leaves/dom.js";
import { morph } from "../leaves/morph.js";
import { rootOf } from "../leaves/placement.js";
import { figureWriter } from "./graph/map-numbers.js";
import { animateOpening, flag, groupsAround, groupsOf, levels, progress, stopsOf, turnAt, turnId } from "./graph/map.js";
import { flow, rebindCards } from "./graph/motion.js";
import { numberWriter } from "./graph/numbers.js";
import { hideVerdicts, showVerdicts } from "./graph/verdicts.js";
import { viewport } from "./graph/viewport.js";
import { walk } from "./graph/walk.js";

/** @import {EdgeStyle} from "../leaves/edge-style.js" */
/** @import {Rebind} from "../leaves/types.js" */
/** @import {MapFigures} from "./graph/map-numbers.js" */
/** @import {PictureNumbers} from "./graph/numbers.js" */
/** @import {Verdicts} from "./graph/verdicts.js" */
/** @import {Transform} from "./graph/viewport.js" */
/** @import {Arrow} from "./graph/walk.js" */

const HASTE = 150; // steps that follow each other within this many milliseconds are shown without transitions

/**
 * @typedef {{svg: string, structure: string, form: string, map: boolean, figures: MapFigures | null}} Picture
 * @typedef {PictureNumbers & {step: number, moves: readonly {from: string, rebind: Rebind}[]}} Scene
 */

/** Return the graph of a map. @param {Picture | null} picture */
const graphOf = (picture) => picture?.structure.split(" map ")[0];

/**
 * Make the graph's canvas.
 *
 * @param {object} options
 * @param {EdgeStyle} options.edgeStyle
 * @param {(node: string) => void} options.onpick
 * @param {(view: string) => void} options.onview  open or close a group of a map
 * @param {(node: string, key: Arrow) => string | null} options.onwalk  the node that a key leads to
 * @param {(node: string) => void} options.onreveal  show a node that a key led to, which a map may not show yet
 * @param {(transform: Transform, svg: SVGSVGElement | null) => void} options.onmove  the picture has changed, or moved
 * @param {() => boolean} options.still  whether reduced motion is preferred
 */
export function graph({ edgeStyle, onpick, onview, onwalk, onreveal, onmove, still }) {
  const frame = h("div", { class: "picture" });
  const message = h("div", { class: "void", role: "status" });
  const fades = h("div", { class: "fades", "aria-hidden": "true" });
  const typed = h("output", { class: "typed" }); // the number of a turn that is being typed
  const element = h("div", { class: "canvas" }, frame, fades, typed, message);
  /** @type {string | null} */
  let selected = null;
  /** Nodes to show instead of a selected one that the picture does not have: the users of a leaf. @type {readonly string[]} */
  let instead = [];
  /** The nodes that are in focus; null if all are. @type {ReadonlySet<string> | null} */
  let lit = null;
  /** @type {Verdicts} */
  let verdicts = new Map();
  /** @type {Picture | null} */
  let drawn = null;
  let [written, hasty] = [-Infinity, 0];
  let pace = 0; // milliseconds of a gradient's animation along an edge
  /** @type {ReturnType<typeof numberWriter> | null} */
  let pen = null;
  /** @type {ReturnType<typeof figureWriter> | null} */
  let figures = null; // writes the numbers of a map
  /** @type {ReturnType<typeof rebindCards> | null} */
  let names = null;
  /** @type {ReturnType<typeof progress> | null} */
  let run = null; // how far the pass has come on a map
  /** @type {ReturnType<typeof levels> | null} */
  let level = null;
  let reached = Infinity; // number of nodes that the pass has run
  /** The group that is being opened or closed, and where it is on the screen. @type {{id: string, left: number, top: number, focused: boolean, turn: string | null} | null} */
  let pinned = null;

  const svg = () => frame.querySelector("svg");
  const port = viewport({
    element,
    frame,
    fades,
    svg,
    more: () => names?.boxes ?? [],
    focus: () => ({
      root: rootOf(frame),
      selected: selected === null ? null : group(selected),
      lit: [...(lit ?? [])].flatMap((id) => group(id) ?? []),
      all: groups,
    }),
    onmove(transform) {
      pen?.complete();
      level?.(transform.k);
      onmove(transform, svg());
    },
  });

  /** Prepare a new picture for its numbers. */
  function prepare() {
    const shown = svg();
    const map = drawn?.map ?? false;
    pen = shown && !map ? numberWriter(shown, edgeStyle, (shaft, head) => pace && flow(shaft, head, pace)) : null;
    figures = shown && map ? figureWriter(shown, edgeStyle) : null;
    names = shown && !map ? rebindCards(shown) : null;
    run = shown && map ? progress(shown) : null;
    level = shown && map ? levels(shown) : null;
    level?.(port.transform().k);
    run?.show(reached);
    element.classList.toggle("of-map", map);
  }

  const groups = () => /** @type {SVGGElement[]} */ ([...frame.querySelectorAll("[data-node]")]);
  /** Return the element of a node, or null. @param {string} id */
  const group = (id) =>
    groups().find((each) => each.dataset.node === id && !each.classList.contains("stub")) ??
    groups().find((each) => each.dataset.node === id) ??
    null;
  /** Return the box of an operation at whose edge a map draws a node, the transpose of a weight; null if there is none. @param {string} id */
  const atEdge = (id) => groups().find((each) => each.dataset["transposes"]?.split(" ").includes(id)) ?? null;
  /** Return the element of the selected node, or of a node to show instead of it. */
  const shownNode = () => {
    for (const id of selected === null ? [] : [selected, ...instead]) {
      const found = group(id) ?? atEdge(id);
      if (found) return found;
    }
    return null;
  };
  /** Return the box or the frame of a group of a map, or null. @param {string} id */
  const grouped = (id) => {
    const shown = svg();
    return (shown && groupsOf(shown).get(id)) ?? null;
  };

  /** Mark the selected node and its edges, and make it (else the first node) the picture's tab stop. */
  function mark() {
    const shown = groups();
    const all = /** @type {SVGGElement[]} */ ([...frame.querySelectorAll("[data-node], [data-group]")]);
    const stop = all.find((each) => each === document.activeElement) ?? shownNode() ?? all[0];
    const own = selected !== null && group(selected) !== null;
    const users = new Set(own ? [] : [selected, ...instead].map((id) => id && (group(id) ?? atEdge(id))));
    for (const each of shown) {
      each.classList.toggle("selected", each.dataset.node === selected);
      each.classList.toggle("user", users.has(each));
      each.setAttribute("role", "button");
      each.setAttribute("aria-pressed", String(each.dataset.node === selected));
    }
    for (const each of all) each.tabIndex = each === stop ? 0 : -1;
    for (const edge of frame.querySelectorAll(".edge")) {
      const { source, target } = /** @type {SVGGElement} */ (edge).dataset;
      edge.classList.toggle("touching", selected !== null && (source === selected || target === selected));
      const ends = [source, target].filter((id) => lit?.has(id ?? "")).length; // if a single node is in focus, its edges are in focus too
      edge.classList.toggle("dim", lit !== null && ends < Math.min(lit.size, 2));
    }
    for (const each of shown) each.classList.toggle("dim", lit !== null && !lit.has(each.dataset["node"] ?? ""));
    const picture = svg();
    if (picture) showVerdicts(picture, verdicts);
  }

  /** Open or close the group of a map that an event occurred on. Return whether there is one. @param {Event} event */
  function turn(event) {
    const hit = /** @type {Element} */ (event.target).closest("[data-view]");
    if (!(hit instanceof SVGElement) || hit.dataset.view === undefined || hit === svg()) return false;
    const bar = event instanceof MouseEvent && hit instanceof SVGGElement ? turnAt(hit, event) : null;
    open(hit, bar === null ? hit.dataset.view : beside(bar), event.type === "keydown", bar);
    return true;
  }

  /**
   * Open or close a group, and keep it at its position on the screen.
   *
   * @param {SVGElement} shown
   * @param {string} view
   * @param {boolean} focused
   * @param {string | null} [turn]  the turn that is opened, to bring it into view
   */
  function open(shown, view, focused, turn = null) {
    const { left, top } = shown.getBoundingClientRect();
    pinned = { id: shown.dataset["group"] ?? "", left, top, focused, turn };
    onview(view);
  }

  /** Return the picture's tab stop. */
  const stopOf = () => /** @type {SVGElement | null} */ (frame.querySelector("[tabindex='0']"));

  /** Return the address of the map with one more group opened. @param {string} id */
  const beside = (id) => [svg()?.dataset["view"], id].filter(Boolean).join(",");

  /** Collect the digits of a turn's number on the box of a loop. Return whether the key was used. @param {KeyboardEvent} event */
  function number(event) {
    const box = /** @type {Element} */ (event.target).closest(".box");
    if (!(box instanceof SVGElement) || turnId(box, 0) === null) return false;
    const digit = /^\d$/.test(event.key);
    if (!typed.textContent && !digit) return false;
    const digits = /\d*$/.exec(typed.textContent ?? "")?.[0] ?? "";
    const turn = turnId(box, Number(digits));
    if (digit) typed.textContent = `Turn ${(digits + event.key).slice(0, 9)}`;
    else if (event.key === "Backspace") typed.textContent = digits.length > 1 ? `Turn ${digits.slice(0, -1)}` : "";
    else typed.textContent = "";
    if (event.key === "Enter" && turn !== null) open(box, beside(turn), true, turn);
    return digit || event.key === "Backspace" || event.key === "Enter" || event.key === "Escape";
  }

  /** Keep the group that was opened or closed where it was. Return false if the picture does not have that group. */
  function stay() {
    const shown = pinned && grouped(pinned.id);
    if (!pinned || !shown) return false;
    const { left, top } = shown.getBoundingClientRect();
    port.moveBy(pinned.left - left, pinned.top - top);
    const turn = pinned.turn === null ? null : grouped(pinned.turn);
    if (pinned.focused) (turn ?? shown).focus({ preventScroll: true });
    if (turn) port.showWhole(turn);
    return true;
  }

  /** Show a picture of another structure. @param {SVGSVGElement} parsed @param {boolean} near  it is a map of the same graph */
  function replace(parsed, near) {
    const before = svg();
    const places = new Map(near && before && !still() ? [...groupsOf(before)].map(([id, each]) => [id, each.getBoundingClientRect()]) : []);
    const [opened, focused] = [pinned?.id ?? "", element.contains(document.activeElement)];
    fill(frame, document.importNode(parsed, true));
    prepare();
    mark();
    const kept = stay();
    if (!kept && !near) port.settle();
    if (focused && !element.contains(document.activeElement)) shownNode()?.focus({ preventScroll: true });
    pinned = null;
    const shown = svg();
    if (kept && shown && places.size) animateOpening(places, shown, port.transform().k, opened);
    onmove(port.transform(), shown);
  }

  /** Show a picture that differs from the shown one in more than its numbers. @param {Picture} picture @param {boolean} same  its structure is the same */
  function redraw(picture, same) {
    const parsed = new DOMParser().parseFromString(picture.svg, "image/svg+xml").documentElement;
    if (!(parsed instanceof SVGSVGElement)) return;
    const shown = svg();
    const near = picture.map && Boolean(drawn?.map) && graphOf(picture) === graphOf(drawn);
    names?.layer.remove();
    drawn = picture;
    if (!shown || !same) return replace(parsed, near);
    hideVerdicts(shown);
    morph(shown, parsed);
    prepare();
    mark();
  }

  /** Focus the node or box that an arrow key leads to from a node or box. Return false if there is none. @param {SVGElement} from @param {Arrow} key */
  function follow(from, key) {
    const id = /** @type {SVGElement | null} */ (from.closest("[data-node]"))?.dataset["node"];
    const next = id ? onwalk(id, key) : null;
    const box = next === null && drawn?.map ? walk(from, key) : null;
    if (next !== null) {
      onreveal(next);
      group(next)?.focus({ preventScroll: true });
    } else if (box) {
      box.focus({ preventScroll: true });
      port.show(box);
    }
    return Boolean(id || box);
  }

  element.addEventListener("click", (event) => {
    if (turn(event)) return;
    const hit = /** @type {Element} */ (event.target).closest("[data-node]");
    if (hit instanceof SVGElement && hit.dataset.node) {
      onpick(hit.dataset.node);
      hit.focus({ preventScroll: true });
    }
  });
  element.addEventListener("keydown", (event) => {
    // the space bar selects a node; on a selected node it plays
    const hit = /** @type {Element} */ (event.target).closest("[data-node]");
    const id = hit instanceof SVGElement ? hit.dataset.node : null;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (number(event)) return void (event.preventDefault(), event.stopPropagation());
    if ((event.key === "Enter" || event.key === " ") && turn(event)) return void (event.preventDefault(), event.stopPropagation());
    const arrow = /^Arrow(Up|Down|Left|Right)$/.test(event.key) && !event.shiftKey ? /** @type {Arrow} */ (event.key) : null;
    if (id && (event.key === "Enter" || (event.key === " " && id !== selected))) onpick(id);
    else if (!arrow || !(event.target instanceof SVGElement) || !follow(event.target, arrow)) return;
    event.preventDefault();
    event.stopPropagation();
  });
  element.addEventListener("focusout", () => (typed.textContent = ""));
  element.addEventListener("focusin", (event) => {
    const hit = /** @type {Element} */ (event.target).closest("[data-node], [data-group]");
    if (hit && hit.matches(":focus-visible")) port.show(hit);
  });
  new ResizeObserver(() => port.resettle()).observe(element);

  return widget(element, {
    /**
     * Show a picture. A picture of the same structure replaces the previous one without a move.
     *
     * @param {Picture} picture
     */
    draw(picture) {
      message.hidden = true;
      frame.hidden = false;
      const same = picture.structure === drawn?.structure;
      if (picture !== drawn && !(same && picture.form === drawn?.form)) redraw(picture, same);
      drawn = picture;
      if (!picture.figures) return;
      figures?.(picture.figures);
      const shown = svg();
      run = shown && progress(shown);
      run?.show(reached);
    },
    /** Adopt the picture that the server wrote into the page. @param {Element} element @param {Picture} picture */
    adopt(element, picture) {
      message.hidden = true;
      fill(frame, element);
      drawn = picture;
      prepare();
      mark();
      port.settle();
    },
    /**
     * Write the numbers at the playhead into the picture.
     *
     * @param {Scene} scene
     * @param {number} milliseconds  duration of animations; 0 for none
     */
    write(scene, milliseconds) {
      pace = milliseconds;
      const time = performance.now();
      const haste = time - written < HASTE;
      if (haste) {
        // while the playhead is dragged, steps are shown without transitions
        element.classList.add("hasty");
        clearTimeout(hasty);
        hasty = setTimeout(() => element.classList.remove("hasty"), 2 * HASTE);
      }
      written = time;
      pen?.write(scene, haste ? port.seen() : null);
      element.dataset.step = String(scene.step); // tests read the step of the shown numbers here
      if (names?.show(scene.moves, milliseconds)) {
        port.resettle(true); // the picture has another size now
        if (names.layer.lastElementChild) port.show(names.layer.lastElementChild);
      }
      const running = [...scene.cards].find(([, { now }]) => now)?.[0];
      const shown = running === undefined ? null : group(running);
      if (shown) port.show(shown, true, false); // the node that the engine has just run, with the next ones below it
    },
    /**
     * Show on a map how far the pass has come.
     *
     * @param {number} step
     * @param {number} ran  number of nodes that the engine has run; Infinity if the pass is over
     * @param {boolean} follow  keep the box with the node that was run last in view
     */
    progress(step, ran, follow) {
      reached = ran;
      element.dataset.step = String(step);
      const now = run?.show(ran);
      if (now && follow) port.show(now, true);
    },
    /** Return the numbers of nodes of the pass after which a box of the map has run, ascending. */
    stops() {
      const shown = drawn?.map ? svg() : null;
      return shown ? stopsOf(shown) : [];
    },
    /** Show a message instead of a picture. @param {...import("../leaves/dom.js").Child} children */
    showMessage(...children) {
      frame.hidden = true;
      message.hidden = false;
      fill(message, ...children);
    },
    /**
     * Select a node.
     *
     * @param {string | null} node
     * @param {readonly string[]} users  nodes to show instead of it if the picture does not have it
     */
    select(node, users) {
      selected = node;
      instead = users;
      mark();
    },
    /** Dim every node except these, and bring these into view; null lights all nodes. @param {readonly string[] | null} nodes */
    light(nodes) {
      lit = nodes && new Set(nodes);
      mark();
      port.settle(true);
    },
    /** Show which nodes were checked, with a badge on each of their cards. @param {Verdicts} found */
    judge(found) {
      verdicts = found;
      const shown = svg();
      if (shown) showVerdicts(shown, verdicts);
    },
    /** Move the selected node into view. Return whether the picture has it, or a node to show instead. */
    reveal() {
      const shown = shownNode();
      if (shown) port.show(shown, drawn?.map);
      return shown !== null;
    },
    /** Move the root into view. */
    revealRoot() {
      const root = rootOf(frame);
      if (root) port.show(/** @type {SVGElement} */ (root));
    },
    /** Move a group of a map into view, and mark it for a moment. Return whether the picture has it. @param {string} id */
    showGroup(id) {
      const shown = grouped(id);
      if (!shown) return false;
      port.showWhole(shown);
      for (const each of frame.querySelectorAll(".goal")) each.classList.remove("goal");
      shown.classList.add("goal");
      return true;
    },
    /** Return the open groups of a map around the selected node, and the name on its box; null if the map does not show it. */
    way() {
      const [shown, box] = [svg(), shownNode()];
      return shown && box ? { groups: groupsAround(shown, box), name: box.querySelector("text")?.textContent ?? "" } : null;
    },
    /** Mark the boxes that show or contain hits of a search. @param {readonly {node: string, way: readonly string[]}[]} hits */
    flag(hits) {
      const shown = svg();
      if (shown) flag(shown, hits);
    },
    /** Move the focus into the picture. */
    enter: () => stopOf()?.focus({ preventScroll: true }),
    /** Go where an arrow key leads from the selected node. @param {Arrow} key */
    walk(key) {
      const stop = stopOf();
      if (stop && !follow(stop, key)) stop.focus({ preventScroll: true });
    },
    place: port.transform,
    /** Close a group from outside of the picture, and keep the group at its position on the screen. @param {string} id @param {string} view */
    turn(id, view) {
      const shown = grouped(id);
      if (!shown) return onview(view);
      port.show(shown);
      open(shown, view, false);
    },
    svg,
    centre: port.centre,
    by: port.by,
    fit: () => port.fit(true),
  });
}

// The deck: buttons that play, pause and step, the tape, and the phases of the current step.

import { fill, h, s, widget } from "../leaves/dom.js";
import * as format from "../leaves/format.js";
import { PHASES } from "../leaves/types.js";
import { tape } from "./deck/tape.js";

/** @import {Child} from "../leaves/dom.js" */
/** @import {Phase, Step} from "../leaves/types.js" */
/** @import {Tape} from "./deck/tape.js" */
/** @typedef {1 | 2 | 4 | 0.5 | "steps"} Speed */

/**
 * @typedef {object} Deck
 * @property {number} at
 * @property {number} steps                  complete steps
 * @property {number} last                   the last step that can be shown: it may be incomplete
 * @property {Phase} phase
 * @property {number | null} ran             nodes that have run in the backward phase; null means all
 * @property {number} nodes                  nodes that run in the backward phase
 * @property {Step | null} step
 * @property {"an error" | "stopped" | null} ending    what follows the last step, if the program did not finish
 * @property {boolean} playing
 * @property {Speed} speed
 * @property {boolean} logarithmic
 *
 * @typedef {{done: number, of: number | null} | null} Progress     steps of a run in progress
 */

const ICONS = {
  first: "M1.5 2h2v10h-2zM13 2v10L5 7z",
  previous: "M9 2v10L2 7zM10.5 2h2v10h-2z",
  play: "M3 1.5v11l9-5.5z",
  pause: "M3 2h3v10H3zM8 2h3v10H8z",
  next: "M5 2v10l7-5zM1.5 2h2v10h-2z",
  last: "M10.5 2h2v10h-2zM1 2v10l8-5z",
  "node-back": "M10 3v8L4 7z",
  "node-on": "M4 3v8l6-4z",
};
/** The words below the icons. @type {Readonly<Record<keyof typeof ICONS, string>>} */
const WORDS = { first: "first", previous: "prev", play: "play", pause: "pause", next: "next", last: "last", "node-back": "prev", "node-on": "next" };
/** @type {readonly [Speed, string, string][]} */
const SPEEDS = [
  [0.5, "½×", "Half speed"],
  [1, "1×", "Normal speed: the gradient moves node by node"],
  [2, "2×", "Twice as fast"],
  [4, "4×", "Four times as fast"],
  ["steps", "steps", "Whole steps: the full tape in at most 15 seconds"],
];

/** Return a button's name. It has the visible word, by which people who speak to their computer press the button. @param {string} word @param {string} label */
const named = (word, label) => (label.toLowerCase().split(/\W+/).includes(word) ? label : `${word}: ${label}`);

/**
 * Make the deck.
 *
 * @param {object} options
 * @param {(step: number, phase?: Phase | null) => void} options.onstep
 * @param {(phase: Phase) => void} options.onphase
 * @param {(by: 1 | -1) => void} options.onnode   step through the nodes of the backward phase
 * @param {() => void} options.onplay           play or pause
 * @param {(speed: Speed) => void} options.onspeed
 * @param {() => void} options.onscale          switch between a linear and a logarithmic scale
 * @param {Child} options.caption               shown above the tape
 */
export function deck({ onstep, onphase, onnode, onplay, onspeed, onscale, caption }) {
  /** @type {Deck} */
  let shown = {
    at: 0,
    steps: 0,
    last: -1,
    phase: "backward",
    ran: null,
    nodes: 0,
    step: null,
    ending: null,
    playing: false,
    speed: 1,
    logarithmic: false,
  };
  const last = () => Math.max(0, shown.last);

  /** Make a button. @param {keyof typeof ICONS} name @param {string} label @param {() => void} onclick */
  const key = (name, label, onclick) =>
    h(
      "button",
      { type: "button", class: `key ${name}`, "aria-label": named(WORDS[name], label), title: label, onclick },
      s("svg", { viewBox: "0 0 14 14", "aria-hidden": "true" }, s("path", { d: ICONS[name] })),
      h("small", { "aria-hidden": "true" }, WORDS[name]),
    );
  const first = key("first", "First step (Home)", () => onstep(0, "forward"));
  const previous = key("previous", "Previous step (Shift ←)", () => onstep(shown.at - 1));
  const play = key("play", "Play (Space)", onplay);
  const [back, on] = [key("node-back", "Previous node (,)", () => onnode(-1)), key("node-on", "Next node (.)", () => onnode(1))];
  const next = key("next", "Next step (Shift →)", () => onstep(shown.at + 1));
  const end = key("last", "Last step (End)", () => onstep(last()));
  const speeds = SPEEDS.map(([speed, text, label]) =>
    h("button", { type: "button", class: speed === "steps" && "whole-steps", "aria-label": named(text, label), title: label, onclick: () => onspeed(speed) }, text),
  );
  /** The speed on a small screen, which has no room for a button of each. */
  const pace = h("button", { type: "button", class: "key pace", title: "Next speed", onclick: () => onspeed(following(shown.speed, last() > 0)) });

  const number = h("b", null);
  const [unit, of, ending] = [h("span", { class: "from-760" }), h("span"), h("span", { class: "from-760" })];
  const loss = h("span", { class: "loss" });
  const log = h(
    "button",
    { type: "button", class: "to log", "aria-pressed": "false", "aria-label": "log scale", onclick: onscale },
    "log ",
    h("span", { class: "from-760" }, "scale"),
  );
  const bar = h("i");
  const progress = h("div", { class: "progress", role: "progressbar", "aria-label": "Run progress", hidden: true }, bar);
  const reel = tape({ onseek: onstep });
  const announce = announcer(reel.slider);
  const phases = PHASES.map((phase) =>
    h(
      "button",
      { type: "button", class: `phase ${phase}`, "data-phase": phase, onclick: () => onphase(phase) },
      h("span", null, phase),
      h("small"),
    ),
  );
  const hint = (/** @type {string[]} */ keys, /** @type {string} */ what) => [keys.map((each) => [h("kbd", null, each), " "]), `${what} `];
  const element = h(
    "div",
    { class: "deck" },
    progress,
    h(
      "div",
      { class: "transport" },
      h("div", { class: "count" }, unit, number, h("span", null, of, ending)),
      h("div", { class: "keys", role: "group", "aria-label": "Playback" }, first, previous, back, play, on, next, end, pace),
      h("div", { class: "seg speeds", role: "group", "aria-label": "Speed" }, speeds),
    ),
    h(
      "div",
      { class: "reel" },
      h(
        "div",
        { class: "caption" },
        loss,
        log,
        caption,
        h(
          "span",
          { class: "hint", "aria-hidden": "true" },
          hint(["Space"], "play"),
          hint(["←", "→"], "phase"),
          hint(["Shift ←", "Shift →"], "step"),
        ),
      ),
      reel,
    ),
    h("div", { class: "phases", role: "group", "aria-label": "Phase within the step" }, phases),
    announce.element,
  );

  /** Return whether the step has no lines in a phase. @param {Phase | undefined} phase */
  const empty = (phase) => phase !== "backward" && !(phase && shown.step?.lines[phase]?.length);

  return widget(element, {
    /** @param {Deck} now */
    show(now) {
      shown = now;
      const { at, steps, step, phase: current, playing, speed } = now;
      const [many, after] = [last() > 0, at >= steps && steps > 0]; // the program was stopped after its last complete step
      const turn = step?.iteration && step.iteration.index !== at ? `, turn ${step.iteration.index} of the loop` : "";
      element.dataset.steps = many ? "many" : String(last() + (now.last < 0 ? 0 : 1));
      text(number, String(many ? (after ? steps - 1 : at) : now.last + 1));
      text(unit, many ? (after ? "after step" : "step") : "");
      text(of, many ? (steps > 1 ? `of 0–${steps - 1}${turn}` : "") : now.last === 0 ? "step" : "steps");
      text(ending, now.ending ? `, ${after ? "" : "then "}${now.ending}` : "");
      for (const [button, off] of /** @type {[HTMLButtonElement, boolean][]} */ ([
        [first, at <= 0 && current === "forward"],
        [previous, at <= 0],
        [next, at >= last()],
        [end, at >= last()],
      ]))
        button.disabled = off;
      const label = playing ? "Pause (Space)" : "Play (Space)";
      if (play.title !== label) {
        play.title = label;
        play.setAttribute("aria-label", label);
        play.querySelector("path")?.setAttribute("d", playing ? ICONS.pause : ICONS.play);
        text(play.querySelector("small"), playing ? WORDS.pause : WORDS.play);
      }
      const paced = speed === "steps" ? "all" : SPEEDS.find(([each]) => each === speed)?.[1];
      text(pace, paced ?? "");
      pace.setAttribute("aria-label", `Speed ${speed === "steps" ? "all: whole steps" : paced}. Next speed`);
      for (const [i, button] of speeds.entries()) button.setAttribute("aria-pressed", String(SPEEDS[i]?.[0] === speed));
      log.setAttribute("aria-pressed", String(now.logarithmic));
      for (const button of phases) {
        const phase = /** @type {Phase} */ (button.dataset.phase);
        const lines = step?.lines[phase] ?? [];
        button.disabled = !step || empty(phase);
        button.setAttribute("aria-pressed", String(phase === current && step !== null));
        const wave = phase === "backward" && current === "backward" && now.ran !== null;
        text(button.lastElementChild, wave ? `${now.ran} of ${now.nodes} nodes` : lines.length ? format.lines(lines) : "");
      }
      const value = step?.index === at && step.loss && PHASES.indexOf(current) > 0 ? format.tensor(step.loss) : null;
      const instant = `${after ? `after step ${steps - 1}, ${now.ending ?? "stopped"}` : `step ${at}, ${current}`}${value ? `, loss ${value}` : ""}`;
      reel.seek({ at, phase: current, part: now.ran !== null && now.nodes ? now.ran / now.nodes : null, text: instant });
      const lines = step?.index === at ? (step.lines[current] ?? []) : [];
      const nodes = current === "backward" && now.ran !== null ? `, ${now.ran} of ${now.nodes} nodes` : "";
      if (step && !playing) announce.say(`${instant}${nodes}${lines.length ? `, ${format.lines(lines)}` : ""}`);
    },
    /** Show the loss in the caption. @param {...Child} children */
    showLoss: (...children) => fill(loss, ...children),
    /** @param {Tape} now */
    showTape: (now) => reel.show(now),
    /** @param {Progress} now */
    progress(now) {
      progress.hidden = now === null;
      if (!now) return;
      const counted = now.of !== null && now.of > 0;
      progress.classList.toggle("unknown", !counted);
      bar.style.width = counted ? `${Math.min(100, (100 * now.done) / (now.of ?? 1))}%` : "";
      for (const [name, value] of /** @type {const} */ ([
        ["max", counted ? now.of : null],
        ["now", counted ? now.done : null],
        ["text", counted ? `${now.done} of ${now.of}` : "running"],
      ]))
        if (value === null) progress.removeAttribute(`aria-value${name}`);
        else progress.setAttribute(`aria-value${name}`, String(value));
    },
  });
}

/** Milliseconds without a change after which an instant is announced, so that a held key announces only the last one. */
const SETTLED = 300;

/**
 * Make a hidden element that announces the instant to a screen reader when it changes. The keys work from the whole page, where
 * no focused element would say it; the slider announces its own changes.
 *
 * @param {Element} slider
 */
function announcer(slider) {
  const element = h("p", { class: "away", role: "status" });
  let [before, waiting] = ["", 0];
  return {
    element,
    /** @param {string} instant */
    say(instant) {
      if (instant === before) return;
      const first = before === "";
      before = instant;
      clearTimeout(waiting);
      if (!first) waiting = setTimeout(() => text(element, document.activeElement === slider ? "" : instant), SETTLED);
    },
  };
}

/** Return the speed after another one; from the last one it is the first. Whole steps need more than one. @param {Speed} speed @param {boolean} many @returns {Speed} */
function following(speed, many) {
  const offered = SPEEDS.map(([each]) => each).filter((each) => many || each !== "steps");
  return offered[(offered.indexOf(speed) + 1) % offered.length] ?? 1;
}

/** Set a text, if it has changed. @param {Element | null} element @param {string} content */
function text(element, content) {
  if (element && element.textContent !== content) element.textContent = content;
}

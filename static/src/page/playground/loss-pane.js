// Ask for the loss over a parameter, or over two, and show it with what is true at the playhead.

import { trouble } from "../../core/runner.js";
import { fill, h } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";
import { PHASES } from "../../leaves/types.js";
import { surface } from "../../widgets/surface.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {Parameter, ParameterStep, Scalar, Step, Surface, Values} from "../../leaves/types.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */

const ELEMENTS = 6; // of a parameter that are offered

/** @param {Scalar | null | undefined} value */
const finite = (value) => (typeof value === "number" && Number.isFinite(value) ? value : null);

/** @param {{shape: number[]}} parameter */
const count = ({ shape }) => shape.reduce((product, size) => product * size, 1);

/** The elements of a parameter by which its loss can be looked at, as the API names them. @param {Parameter} parameter */
function elements(parameter) {
  const { id, shape } = parameter;
  if (!shape.length) return [id];
  const places = Array.from({ length: Math.min(ELEMENTS, count(parameter)) }, (_, flat) => {
    const place = [];
    for (let rest = flat, i = shape.length - 1; i >= 0; i--) {
      const size = shape[i] ?? 1;
      place.unshift(rest % size);
      rest = Math.floor(rest / size);
    }
    return place;
  });
  return places.map((place) => `${id}[${place.join(",")}]`);
}

/** What can be asked for: one element, or two. @param {Parameter} chosen @param {readonly Parameter[]} all @returns {string[][]} */
function choices(chosen, all) {
  const own = elements(chosen);
  const other = all.find((each) => each.id !== chosen.id && count(each) === 1);
  const pairs = own.length > 1 ? [own.slice(0, 2)] : other ? [[own[0] ?? chosen.id, elements(other)[0] ?? other.id].sort()] : [];
  return [...own.map((each) => [each]), ...pairs];
}

/** An element of what was recorded of a tensor. @param {Values | null | undefined} values @param {string} key */
function element(values, key) {
  let found = values ?? null;
  for (const place of /\[(.*)\]$/.exec(key)?.[1]?.split(",") ?? []) found = Array.isArray(found) ? (found[Number(place)] ?? null) : null;
  return Array.isArray(found) ? null : finite(found);
}

/**
 * @param {Store<State>} state
 * @param {Client} api
 */
export function landscape(state, api) {
  const drawn = surface();
  const over = h("select", { class: "choose", "aria-label": "Loss vs.", onchange: () => state.set({ over: over.value }) });
  const choice = h("span", { class: "chosen" }, over);
  const slope = h("span", { class: "slope" });
  const scale = h("span", { class: "scale" });
  const again = h("button", { type: "button", class: "to", onclick: () => void ask() });
  const words = h("p", { class: "remark" });
  const [short, long] = [h("span"), h("p")];
  const more = h("details", { class: "menu up" }, h("summary", { class: "to" }, "how?"), h("div", { class: "sheet" }, long));
  const kept = h("div", { class: "kept" }, short, " ", more);
  const rerun = h("button", { type: "button", class: "to", onclick: () => void ask() }, "Run again");
  const halt = h("button", { type: "button", class: "to late", onclick: () => wish.abort() }, "Stop");
  const element_ = h("div", { class: "landscape" }, h("div", { class: "row" }, slope, scale, kept, again), words, drawn);

  /** @type {{run: string, keys: string[], told: Surface} | null} */
  let here = null;
  let turn = 0;
  let asking = false;
  let wish = new AbortController(); // aborted, what is asked for is taken back
  let before = Promise.resolve(); // until what was asked for before is answered, or taken back
  let shown = false;
  let logarithmic = false;
  let wanted = ""; // what was asked for last

  const wished = () => over.value.split(" ").filter(Boolean);

  async function ask() {
    const { run, at, step } = state.get();
    const keys = wished();
    if (!run || !keys.length) return;
    const mine = ++turn;
    asking = true;
    fill(words, "Running the program again, up to this step… ", halt);
    tell();
    wish.abort();
    const own = (wish = new AbortController());
    await before; // the same may be asked for again
    if (mine !== turn) return;
    const answer = api.surface(run.id, { step: step?.index ?? at, parameters: keys }, own.signal);
    before = answer.then(() => {}, () => {});
    try {
      const told = await answer;
      if (mine !== turn) return;
      here = { run: run.id, keys, told };
    } catch (error) {
      if (mine !== turn) return;
      here = null;
      if (own.signal.aborted) fill(words, "Stopped before it reached that step. ", rerun);
      else {
        const { title, detail } = trouble(error);
        wanted = ""; // another look asks again
        fill(words, h("b", null, title), `: ${detail}`);
      }
    }
    asking = false;
    present();
  }

  /** @param {string} key */
  function nameOf(key) {
    const [id = key, rest = ""] = /^(p\d+)(.*)$/.exec(key)?.slice(1) ?? [];
    return `${state.get().run?.parameters.find((each) => each.id === id)?.names.at(-1) ?? id}${rest}`;
  }

  /** What a choice is called beside the parameter's own name. @param {string[]} keys @param {Parameter} own */
  function option(keys, { id, shape }) {
    if (shape.length) return keys.map((key) => key.slice(id.length)).join(" and ");
    const other = keys.find((key) => key !== id);
    return other ? `and ${nameOf(other)}` : "alone";
  }

  function present() {
    const told = here?.told;
    const { grid, loss, path } = told ?? {};
    const keys = here?.keys ?? [];
    if (!told || !grid || !loss || !path) {
      drawn.show(null);
    } else {
      drawn.show({
        axes: keys.map((key) => ({ name: nameOf(key), values: (grid[key] ?? []).map(Number) })),
        losses: loss.flatMap((each) => (Array.isArray(each) ? each.map(finite) : [finite(each)])),
        loss: told.loss_name ?? "loss",
        way: {
          steps: (path["step"] ?? []).map(Number),
          values: keys.map((key) => (path[key] ?? []).map(finite)),
          losses: (path["loss"] ?? []).map(finite),
        },
        logarithmic,
      });
    }
    tell();
  }

  /** What is to be said of the scale. */
  function scaled() {
    const { logarithmic: log, ratio } = drawn.scale();
    if (!logarithmic || drawn.hidden) return "";
    if (!log) return "linear scale: some losses are ≤ 0";
    return ratio && (here?.keys.length ?? 0) > 1 ? `each line: loss × ${ratio}` : "";
  }

  /** What follows the playhead. */
  function tell() {
    if (!shown) return;
    const { at, phase, step } = state.get();
    const told = here?.told;
    const backward = PHASES.indexOf(phase) >= PHASES.indexOf("backward");
    const slopes = here && backward && step?.index === at ? here.keys.map((key) => slopeOf(step, key)) : null;
    drawn.hidden = !told?.grid || asking;
    const updates = slopes && phase === "update" && step ? (here?.keys ?? []).map((key) => updateOf(step, key)) : null;
    drawn.seek({ at, slope: slopes, update: updates });
    kept.hidden = drawn.hidden;
    if (here && told) explain(here.keys.map(nameOf), told.step, told.loss_name ?? "the loss");
    scale.textContent = scale.title = scaled();
    fill(slope, slopes && [slopes.length > 1 ? "gradient " : "slope ", h("b", { class: "grad" }, slopes.map((each) => format.number(each)).join(", "))]);
    again.hidden = asking || !told?.grid || told.step === at;
    again.textContent = `Use the data of step ${at}`;
    if (!asking && told && !told.grid) fill(words, told.difference?.sentence ?? told.reason ?? "");
    words.hidden = !asking && Boolean(told?.grid);
  }

  /** Say what moves and what does not. @param {string[]} names @param {number} step @param {string} loss */
  function explain(names, step, loss) {
    const moving = names.join(" and ");
    short.textContent = `Only ${moving} ${names.length > 1 ? "change" : "changes"}; batch and random numbers as in step ${step}.`;
    long.textContent =
      `For each value of ${moving}, PyTorch runs the recorded operations of step ${step} again. Everything else stays as recorded: ` +
      `the data, the random numbers, the other parameters, and every value behind detach() or no_grad(). So ${
        names.length > 1 ? `the gradient that autograd computed is the gradient of the ${loss} drawn here` : `the slope of the ${loss} drawn here is the gradient that autograd computed`
      }.` + (names.length > 1 ? ` Each line joins points of equal ${loss}.` : "");
  }

  /** @param {Step} step @param {string} key */
  const ownOf = (step, key) =>
    /** @type {ParameterStep | undefined} */ (step.parameters.find((each) => each.id === /^p\d+/.exec(key)?.[0]));
  /** @param {Step} step @param {string} key */
  const slopeOf = (step, key) => element(ownOf(step, key)?.contribution?.values, key);
  /** @param {Step} step @param {string} key */
  const updateOf = (step, key) => element(ownOf(step, key)?.update?.values, key);

  return {
    element: element_,
    /** Where the elements are chosen. */
    choice,
    /** Show the pane for a parameter, or put it away. @param {Parameter | null} now @param {boolean} log */
    show(now, log) {
      shown = now !== null;
      if (!now) return;
      const rescaled = log !== logarithmic;
      logarithmic = log;
      const { run, over: named } = state.get();
      const offered = choices(now, run?.parameters ?? []);
      const chosen =
        offered.find((keys) => keys.join(" ") === named) ??
        offered.find((keys) => keys.length === 2 && count(now) <= 2) ??
        offered[0];
      const wish = `${run?.id} ${now.id} ${chosen?.join(" ")}`;
      if (wish !== wanted) {
        fill(
          over,
          offered.map((keys) =>
            h("option", { value: keys.join(" "), selected: keys === chosen }, option(keys, now)),
          ),
        );
        wanted = wish;
        here = null;
        drawn.show(null);
        void ask();
      } else if (rescaled && !asking) present();
      else tell();
    },
    tell,
  };
}

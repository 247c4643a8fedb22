// Fetch the loss as a function of one or two parameters, and show it with the point, gradient and update at the playhead.

import { trouble } from "../../core/runner.js";
import { fill, h } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";
import { PHASES } from "../../leaves/types.js";
import { surface } from "../../widgets/surface.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {Parameter, ParameterStep, Scalar, Step, Surface, Values} from "../../leaves/types.js" */
/** @import {State} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */

const ELEMENTS = 6; // maximum number of elements of a parameter to choose from

/** @param {Scalar | null | undefined} value */
const finite = (value) => (typeof value === "number" && Number.isFinite(value) ? value : null);

/** @param {{shape: number[]}} parameter */
const count = ({ shape }) => shape.reduce((product, size) => product * size, 1);

/** @param {{shape: number[]} | null} tensor */
const isNumber = (tensor) => tensor !== null && count(tensor) === 1;

/** Return the API's keys for the first elements of a parameter. @param {Parameter} parameter */
function elements(parameter) {
  const { id, shape } = parameter;
  if (!shape.length) return [id];
  const indices = Array.from({ length: Math.min(ELEMENTS, count(parameter)) }, (_, flat) => {
    const index = [];
    for (let rest = flat, i = shape.length - 1; i >= 0; i--) {
      const size = shape[i] ?? 1;
      index.unshift(rest % size);
      rest = Math.floor(rest / size);
    }
    return index;
  });
  return indices.map((index) => `${id}[${index.join(",")}]`);
}

/** Return the choices of axes: one element each, then a pair. @param {Parameter} chosen @param {readonly Parameter[]} all @returns {string[][]} */
function choices(chosen, all) {
  const own = elements(chosen);
  const other = all.find((each) => each.id !== chosen.id && count(each) === 1);
  const pairs = own.length > 1 ? [own.slice(0, 2)] : other ? [[own[0] ?? chosen.id, elements(other)[0] ?? other.id].sort()] : [];
  return [...own.map((each) => [each]), ...pairs];
}

/** Return an element of a recorded tensor, or null. @param {Values | null | undefined} values @param {string} key */
function element(values, key) {
  let found = values ?? null;
  for (const index of /\[(.*)\]$/.exec(key)?.[1]?.split(",") ?? []) found = Array.isArray(found) ? (found[Number(index)] ?? null) : null;
  return Array.isArray(found) ? null : finite(found);
}

/**
 * Make the loss pane.
 *
 * @param {Store<State>} state
 * @param {Client} api
 */
export function lossPane(state, api) {
  const drawn = surface();
  const over = h("select", { class: "choose", "aria-label": "Loss vs.", onchange: () => state.set({ over: over.value }) });
  const choice = h("span", { class: "chosen" }, over);
  const slope = h("span", { class: "slope" });
  const scale = h("span", { class: "scale" });
  const refresh = h("button", { type: "button", class: "to", onclick: () => void load() });
  const words = h("p", { class: "remark" });
  const [short, long] = [h("span"), h("p")];
  const more = h("details", { class: "menu up" }, h("summary", { class: "to" }, "how?"), h("div", { class: "sheet" }, long));
  const kept = h("div", { class: "kept" }, short, " ", more);
  const rerun = h("button", { type: "button", class: "to", onclick: () => void load() }, "Run again");
  const halt = h("button", { type: "button", class: "to late", onclick: () => request.abort() }, "Stop");
  const root = h("div", { class: "landscape" }, h("div", { class: "row" }, slope, scale, kept, refresh), words, drawn);

  /** @type {{run: string, keys: string[], surface: Surface} | null} */
  let loaded = null;
  let turn = 0;
  let loading = false;
  let request = new AbortController(); // aborts the latest request
  let before = Promise.resolve(); // settles once the previous request is answered or cancelled
  let shown = false;
  let logarithmic = false;
  let wanted = ""; // key of the latest request

  const chosenKeys = () => over.value.split(" ").filter(Boolean);

  async function load() {
    const { run, at, step } = state.get();
    const keys = chosenKeys();
    if (!run?.steps || !keys.length) return;
    const here = Math.min(at, run.steps - 1); // an unfinished step has no loss
    const mine = ++turn;
    if (step?.index === here && !step.summary && !isNumber(step.loss)) {
      request.abort();
      [loading, wanted, loaded] = [false, "", null]; // another step may have a loss
      drawn.show(null);
      fill(words, `Step ${here} has no loss to draw: its backward() does not start at a single number.`);
      return seek();
    }
    loading = true;
    fill(words, "Running the program again, up to this step… ", halt);
    seek();
    request.abort();
    const own = (request = new AbortController());
    await before; // the aborted request may be for the same surface: it must be cancelled before the new one is sent
    if (mine !== turn) return;
    const answer = api.surface(run.id, { step: here, parameters: keys }, own.signal);
    before = answer.then(() => {}, () => {});
    try {
      const surface = await answer;
      if (mine !== turn) return;
      loaded = { run: run.id, keys, surface };
    } catch (error) {
      if (mine !== turn) return;
      loaded = null;
      if (own.signal.aborted) fill(words, "Stopped before that step was reached. ", rerun);
      else {
        const { title, detail } = trouble(error);
        wanted = ""; // request it again when the pane is shown next
        fill(words, h("b", null, title), `: ${detail}`);
      }
    }
    loading = false;
    present();
  }

  /** Return the name of an element. @param {string} key */
  function nameOf(key) {
    const [id = key, rest = ""] = /^(p\d+)(.*)$/.exec(key)?.slice(1) ?? [];
    return `${state.get().run?.parameters.find((each) => each.id === id)?.names.at(-1) ?? id}${rest}`;
  }

  /** Return the label of a choice, shown beside the parameter's name. @param {string[]} keys @param {Parameter} own */
  function option(keys, { id, shape }) {
    if (shape.length) return keys.map((key) => key.slice(id.length)).join(" and ");
    const other = keys.find((key) => key !== id);
    return other ? `and ${nameOf(other)}` : "alone";
  }

  function present() {
    const result = loaded?.surface;
    const { grid, loss, path } = result ?? {};
    const keys = loaded?.keys ?? [];
    if (!result || !grid || !loss || !path) {
      drawn.show(null);
    } else {
      drawn.show({
        axes: keys.map((key) => ({ name: nameOf(key), values: (grid[key] ?? []).map(Number) })),
        losses: loss.flatMap((each) => (Array.isArray(each) ? each.map(finite) : [finite(each)])),
        loss: result.loss_name ?? "loss",
        trajectory: {
          steps: (path["step"] ?? []).map(Number),
          values: keys.map((key) => (path[key] ?? []).map(finite)),
          losses: (path["loss"] ?? []).map(finite),
        },
        logarithmic,
      });
    }
    seek();
  }

  /** Return a remark about the scale, or nothing. */
  function scaleRemark() {
    const { logarithmic: log, ratio } = drawn.scale();
    if (!logarithmic || drawn.hidden) return "";
    if (!log) return "linear scale: some losses are ≤ 0";
    return ratio && (loaded?.keys.length ?? 0) > 1 ? `each line: loss × ${ratio}` : "";
  }

  /** Update the parts that follow the playhead. */
  function seek() {
    if (!shown) return;
    const { at, phase, step } = state.get();
    const result = loaded?.surface;
    const backward = PHASES.indexOf(phase) >= PHASES.indexOf("backward");
    const slopes = loaded && backward && step?.index === at ? loaded.keys.map((key) => slopeOf(step, key)) : null;
    drawn.hidden = !result?.grid || loading;
    const updates = slopes && phase === "update" && step ? (loaded?.keys ?? []).map((key) => updateOf(step, key)) : null;
    drawn.seek({ at, slope: slopes, update: updates });
    kept.hidden = drawn.hidden;
    if (loaded && result) explain(loaded.keys.map(nameOf), result.step, result.loss_name ?? "the loss");
    scale.textContent = scale.title = scaleRemark();
    fill(slope, slopes && [slopes.length > 1 ? "gradient " : "slope ", h("b", { class: "grad" }, slopes.map((each) => format.number(each)).join(", "))]);
    refresh.hidden = loading || !result?.grid || result.step === at;
    refresh.textContent = `Use the data of step ${at}`;
    if (!loading && result && !result.grid) fill(words, result.difference?.sentence ?? result.reason ?? "");
    words.hidden = !loading && Boolean(result?.grid);
  }

  /** Explain what changes along the axes and what stays as recorded. @param {string[]} names @param {number} step @param {string} loss */
  function explain(names, step, loss) {
    const moving = names.join(" and ");
    short.textContent = `Only ${moving} ${names.length > 1 ? "change" : "changes"}; batch and random numbers are those of step ${step}.`;
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
    element: root,
    /** The select for the elements on the axes. */
    choice,
    /** Show the pane for a parameter, or hide it. @param {Parameter | null} now @param {boolean} log */
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
      const key = `${run?.id} ${now.id} ${chosen?.join(" ")}`;
      if (key !== wanted) {
        fill(
          over,
          offered.map((keys) =>
            h("option", { value: keys.join(" "), selected: keys === chosen }, option(keys, now)),
          ),
        );
        wanted = key;
        loaded = null;
        drawn.show(null);
        void load();
      } else if (rescaled && !loading) present();
      else seek();
    },
    seek,
  };
}

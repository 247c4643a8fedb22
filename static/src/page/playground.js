// The playground and saved runs: connect the editor, graph, inspector, findings and deck to one state.

import { read } from "../core/address.js";
import { lastStep, wantedOf } from "../core/instant.js";
import { margin } from "../core/margin.js";
import { cellsOver } from "../core/playhead.js";
import { player } from "../core/player.js";
import { animation, picture } from "../core/pictures.js";
import { session } from "../core/session.js";
import { EMPTY, ended, shownPass } from "../core/state.js";
import { store } from "../core/store.js";
import { client } from "../leaves/api.js";
import { fill, find, h, prose } from "../leaves/dom.js";
import { apply } from "../leaves/edits.js";
import * as format from "../leaves/format.js";
import { edgeStyle } from "../leaves/edge-style.js";
import { editor } from "../widgets/editor.js";
import { findings, summary } from "../widgets/findings.js";
import { inspector } from "../widgets/inspector.js";
import { dark, flip, shell, toast } from "../widgets/shell.js";
import { follow, teach } from "./playground/classroom.js";
import { check } from "./playground/check.js";
import { compare } from "./playground/compare.js";
import { firstDifference } from "./playground/first-difference.js";
import { obeyEarly } from "./playground/early-input.js";
import { draftKeeper } from "./playground/draft-keeper.js";
import { editedFrom } from "./playground/edited-from.js";
import { files, isExport, isNotebook } from "./playground/files.js";
import { deckAndCharts } from "./playground/deck-and-charts.js";
import { inspectorContent } from "./playground/inspector-content.js";
import { keys } from "./playground/keys.js";
import { ofDependence, ofDistribution, onDemand } from "./playground/on-demand.js";
import { lazyExplore } from "./playground/lazy-explore.js";
import { lazyRuns } from "./playground/lazy-runs.js";
import { lazyShare } from "./playground/lazy-share.js";
import { lazyStepsTable } from "./playground/lazy-steps-table.js";
import { lazyWhy } from "./playground/lazy-why.js";
import { exampleTitle, fragmentIn, linked, runIn } from "./playground/linked.js";
import { picked } from "./playground/picking.js";
import { addressSync } from "./playground/address-sync.js";
import { presenter } from "./playground/presenter.js";
import { rerun } from "./playground/rerun.js";
import { panes } from "./playground/panes.js";
import { paneSizes } from "./playground/pane-sizes.js";
import { smallScreen } from "./playground/small-screen.js";
import { notStarted, staleNote } from "./playground/stale-note.js";
import { summaryNote } from "./playground/summary-note.js";
import { titles } from "./playground/titles.js";
import { troubleBox } from "./playground/trouble-box.js";
import { absence, notebookOf, outcome, outputs } from "./playground/messages.js";
import { graphHead } from "./stage/graph-head.js";
import { deckActions } from "./stage/deck-actions.js";
import { stage } from "./stage/stage.js";

/** @import {Given, State} from "../core/state.js" */

const given = /** @type {Given} */ (JSON.parse(find("#state").textContent ?? "{}"));
const nonce = document.querySelector('meta[name="csp-nonce"]')?.getAttribute("content") ?? "";
const mac = /Mac|iP/.test(navigator.platform);
const api = client(given.api);
const state = store(/** @type {State} */ ({ ...EMPTY, ...read(location.search), at: given.step?.index ?? 0, phase: given.phase }));
/** The program that was sent last, at first that of the page, and whether the user has typed since. */
const sent = { program: given.program, typed: false };
const work = session(state, api, (shown) => {
  if (sent.typed && bare(shown.program) === bare(sent.program)) return; // keep what was typed while the program ran
  if (state.get().edited && shown.id === keeper.id()) return;
  keeper.flush();
  text.replace(bare(shown.program));
});
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
const playing = player(state, work.go, () => reducedMotion.matches, work.opened);

// -- widgets

const text = editor({
  doc: bare(given.program),
  nonce,
  onrun: () => run(),
  onedit(byUser) {
    state.set({ edited: text.text() !== bare(state.get().run?.program ?? "") });
    if (!byUser) return;
    sent.typed = true;
    keeper.touch();
  },
  onpull: () => reruns.pulled(),
  onpick: pick,
  oncopy: (literal) => void copied(literal),
  onwatch: watchLine,
  onpaste(pasted) {
    const named = runIn(pasted, given.root);
    if (named) openRun(named);
    else if (isNotebook(pasted)) openNotebook(pasted);
    else if (isExport(pasted)) void opener.unpack(pasted, "The text");
    return named !== null || isNotebook(pasted) || isExport(pasted);
  },
});
const keeper = draftKeeper(state, text, bare, given.recording);
/** The name of the file that the program came from. @type {string | null} */
let fileName = null;
/** @type {ReturnType<typeof lazyExplore> | null} */
let tools = null;
/** @type {ReturnType<typeof graphHead> | null} */
let head = null;
const drawn = stage({
  state,
  work,
  edgeStyle: edgeStyle(given.legend),
  still: () => reducedMotion.matches,
  onmove({ k }) {
    head?.zoomed(k);
    tools?.look();
  },
  ondraw: (picture) => head?.drawn(picture),
  absence: (now) => absence(now, step),
  keeps: ({ run: failed }) => notStarted(failed),
});
const { canvas, pictured } = drawn;
const details = inspector({ onpick: (node) => work.reveal(node), online: (line) => text.reveal(line) });
const notes = findings({
  onfix({ edits }, { code, help }) {
    const before = state.get().run;
    text.replace(apply(text.text(), edits));
    fixing = { code, help, program: bare(text.text()), before };
    send();
  },
  oncompare: (id) => state.set({ compare: id }),
  onfinding({ line, step: at, pass, node }) {
    const there = at !== null && at <= lastStep(state.get().run);
    if (there && node) {
      playing.pause();
      work.reveal(node, { at, phase: "backward", pass: pass ?? null, apart: null });
    } else if (there) go({ at });
    if (line !== null) text.reveal(line);
    if (line !== null && !(there && node)) pick(line, null, null);
  },
});
/** The finding whose fix was applied last, and the programs before and after. @type {{code: string, help: string, program: string, before: import("../leaves/types.js").Run | null} | null} */
let fixing = null;
/** Return the finding that a run no longer has, because the user applied its fix. @param {import("../leaves/types.js").Run | null} run */
function fixedIn(run) {
  if (!run || !fixing || run.id === fixing.before?.id || bare(run.program) !== fixing.program) return null;
  if (run.error || run.findings.some(({ code }) => code === fixing?.code)) return null;
  const comparable = run.steps > 1 && (fixing.before?.steps ?? 0) > 1;
  return { code: fixing.code, help: fixing.help, before: comparable ? (fixing.before?.id ?? null) : null };
}
/** Go to the first difference of two runs. @param {string | null} node @param {Partial<import("../core/instant.js").Instant>} instant */
function goToDifference(node, instant) {
  playing.pause();
  if (node) work.reveal(node, instant);
  else go(instant);
}
const serverPicture = document.querySelector("#canvas svg.graph");
fill(find("#editor"), text);
find("#canvas").replaceWith(canvas);
canvas.id = "canvas";
head = graphHead({ state, work, canvas, online: (line) => text.reveal(line) });
fill(find("#inspected"), details);
fill(find("#found"), notes);

const { step, watch } = deckAndCharts({
  state,
  go,
  onplay: () => play(),
  onspeed: playing.setSpeed,
  onpick: (node) => work.reveal(node),
  compare: compare(state, api, firstDifference({ state, api, onfind: goToDifference })),
  api,
  offered: ["curves", "loss", "optimizer", "watch"],
});
shell();
paneSizes();
const showGraph = smallScreen();

const address = addressSync(state, work, given, text.text);
const opener = files({
  limit: given.limits.body_bytes,
  onnotebook: openNotebook,
  onprogram: start,
  onexport({ program, cells, kind, seed }) {
    keeper.flush();
    fileName = null;
    const body = kind === "notebook" ? { notebook: notebookOf(program, cells.map((cell) => cell.start_line), cells) } : { program };
    void work.run(JSON.stringify({ ...body, seed }), "application/json");
  },
  onlink(text) {
    const named = runIn(text, given.root);
    const fragment = fragmentIn(text, given.root);
    if (named) openRun(named);
    else if (fragment) location.hash = fragment;
    return named !== null || fragment !== null;
  },
  ontrouble: (trouble) => state.set({ trouble }),
});
const play = () => (state.get().playing ? playing.pause() : playing.play());
const presented = presenter(state, given.root, canvas, (density) => work.go({ density }), () => teach(api, state));
keys(
  {
    run,
    ...deckActions({ state, go, step, play, canvas }),
    search: () => tools?.search(),
    why: () => whys.begin(),
    theme: flip,
    present: presented.toggle,
    notes: presented.notes,
    link: presented.link,
    blank: presented.blank,
  },
  mac,
);

// -- actions

/** Return a program without its final newlines, which the editor would show as an empty line. @param {string} program */
function bare(program) {
  return program.replace(/\n+$/, "");
}

/** Move the playhead for the user, and stop playback. @param {Partial<import("../core/instant.js").Instant>} instant */
function go(instant) {
  playing.pause();
  text.resumeFollowing();
  const { pass, at } = wantedOf(state.get());
  work.go({ ...instant, apart: null, pass: instant.at === undefined || instant.at === at ? pass : null });
}

/** Run the text in the editor, unless a program is running. @param {Partial<State>} [view]  where the run opens, instead of its own place */
function run(view = {}) {
  if (!state.get().busy) send(view);
}

/** Run the text in the editor instead of the program that is running. A notebook is sent as cells. @param {Partial<State>} [view] */
function send(view = {}) {
  text.resumeFollowing();
  const [source, starts] = [text.text(), text.starts()];
  const body = starts.length > 1 ? { notebook: notebookOf(source, starts, state.get().run?.cells ?? []) } : { program: source };
  keeper.flush();
  Object.assign(sent, { program: source, typed: false });
  const edited = keeper.id();
  descends(source, reruns.base() ?? state.get().run); // the runs of a drag are edited from the run before it
  void work.run(JSON.stringify(fileName ? { ...body, title: fileName } : body), "application/json", null, view).then(() => keeper.ran(edited, source));
}

/** Run a notebook file. @param {string} content @param {string | null} [name] */
function openNotebook(content, name = null) {
  keeper.flush();
  fileName = name;
  void work.run(content, "application/x-ipynb+json", name);
}

/** Run a program from the beginning. @param {string} program @param {string | null} [name]  of its file */
function start(program, name = null) {
  keeper.flush();
  fileName = name;
  text.cells([]);
  text.replace(bare(program));
  send();
}

/** Copy the value of a line. @param {string} literal */
async function copied(literal) {
  try {
    await navigator.clipboard.writeText(literal);
    toast(`Copied ${format.cut(literal, 40)}`);
  } catch {
    toast("The browser does not allow copying");
  }
}

/** Select the node that a line, or a word in it, refers to. @param {number} line @param {number | null} column @param {string | null} word */
function pick(line, column, word) {
  const { node, graph: own } = picked(state.get(), line, column, word);
  if (own) void work.display(own);
  if (node) work.reveal(node);
}

/** Propose to watch the name that a line assigns, in all steps. @param {number} line */
function watchLine(line) {
  const { run: shown } = state.get();
  if (!shown || shown.steps < 2) return toast("A program that trains for two steps or more can be watched");
  const source = shown.program.split("\n")[line - 1] ?? "";
  watch({ line, expression: /^\s*([A-Za-z_][\w.]*)\s*[-+*/@]?=(?!=)/.exec(source)?.[1] ?? "" });
}

/** Runs the text again after a number in it was dragged, and stays at this instant. */
const reruns = rerun(state, api, () => {
  const { at, phase } = wantedOf(state.get());
  run({ at, phase, node: state.get().node });
});

find("#run").addEventListener("click", () => (state.get().busy ? work.stop() : run()));
find("#copy").addEventListener("click", () => void address.copy());
const fold = find("#fold");
/** Show or hide the findings. @param {boolean} open */
function unfold(open) {
  fold.setAttribute("aria-expanded", String(open));
  find("#findings").classList.remove("as-fits");
  find("#findings").classList.toggle("folded", !open);
}
fold.addEventListener("click", () => (unfold(fold.getAttribute("aria-expanded") !== "true"), text.follow()));
unfold(!matchMedia("(min-width: 761px) and (max-width: 1240px)").matches);

// -- rendering

if (given.run && !ended(given.run)) void work.attend(given.run);
else if (given.run) {
  const drawn = given.svg_inline && state.get().view === null && state.get().layout === null; // the server draws the view that it chooses
  const svg = (drawn && serverPicture?.outerHTML) || null;
  work.begin({ run: given.run, step: given.step, graph: given.graph, node: state.get().node ?? given.node, svg });
  const { picture: shown } = state.get();
  if (serverPicture && shown) canvas.adopt(serverPicture, shown);
  else void work.load();
}

// before the margin, because findings leave less room for the line that is brought into view
state.watch(["run", "edited"], ({ run: recorded, edited }) => {
  notes.show(recorded, edited, fixedIn(recorded));
  fill(find("#found-summary"), recorded && summary(recorded.findings));
  const [first] = recorded?.findings ?? [];
  fill(find("#first-found"), first && (first.severity === "error" || first.severity === "warning") && prose(first.message));
  find("#findings").hidden = !recorded || !ended(recorded);
  find("#example").textContent = exampleTitle(recorded, given.example) ?? "Choose an example";
});

/** The run, step and phase for which the margin was last shown. @type {Pick<State, "run" | "step" | "phase"> | null} */
let before = null;
state.watch(["run", "step", "phase", "ran", "apart", "graph", "node", "edited"], (now) => {
  const { run: recorded, step: here, phase, edited } = now;
  if (!recorded || (edited && reruns.drag() === null)) return;
  const same = recorded.id === before?.run?.id;
  const moved = same ? here !== before?.step || phase !== before?.phase : before ? recorded.error !== null : location.search !== "";
  before = { run: recorded, step: here, phase };
  text.show(
    margin(now),
    recorded.parameters.flatMap(({ names }) => names),
  );
  text.cells(outputs(recorded, cellsOver(now)));
  if (moved) text.follow();
});
state.watch(["playing"], ({ playing: on }) => on && (work.prepare(), text.resumeFollowing(), showGraph()));
state.watch(["phase"], ({ phase, playing: on }) => {
  if (on && (phase === "forward" || phase === "loss")) requestAnimationFrame(() => canvas.revealRoot()); // the pass begins there
});
for (const sign of ["pointerenter", "focusin"]) find("#deck").addEventListener(sign, () => work.prepare());

drawn.begin();
tools = lazyExplore(state, work, api, canvas);
panes(state, work, api, edgeStyle(given.legend));
const checked = check(state, api);
const demanded = [ofDistribution, ofDependence].map((kind) => onDemand(state, api, kind));
const whys = lazyWhy(state, api, { online: (line) => text.reveal(line), onnode: (node) => work.reveal(node) });

state.watch(["detail", "asking", "origin", "phase", "ran", "step", "run"], (now) => {
  if (now.run && !now.graph && !now.picture) details.show(null, "There is no graph to inspect.");
  else details.show(inspectorContent(now, { check: checked, why: whys.element, demanded }));
});

state.watch(["run", "edited", "busy", "coming"], (now) => {
  const live = now.busy !== null && now.busy.id !== null && now.busy.id === now.run?.id;
  document.body.classList.toggle("busy", (now.busy !== null && !live) || now.coming !== null);
  fill(find("#run"), now.busy ? "Stop" : "Run", !now.busy && h("kbd", { class: "from-760" }, mac ? "⌘ ↵" : "Ctrl ↵"));
  fill(find("#status"), outcome(now, given, () => (playing.pause(), void work.end())));
});

state.watch(["run"], ({ run: recorded, edited }) => {
  const differs = recorded !== null && text.text() !== bare(recorded.program);
  if (differs !== edited) state.set({ edited: differs });
});

state.watch(["run"], ({ run: recorded }) => {
  if (!recorded || recorded.id === given.run?.id) return;
  address.enter(recorded, reruns.drag());
  document.querySelector(".tagline")?.remove(); // the tagline describes the program of the first visit
});

troubleBox(state, run);
staleNote(state, run, pictured);
summaryNote(state, api, (step) => work.again(step));

head.begin();
state.watch(["run", "step", "graph", "apart", "pass", "direction", "view", "picture"], updateExport);
find("#export").addEventListener("toggle", () => updateExport(state.get())); // the theme may have changed

/** Show another recording, in a view. @param {{id: string, view: Partial<State>}} named */
function openRun({ id, view }) {
  keeper.flush();
  sent.typed = false;
  void work.open(id, view);
}

/** Point the links of the export menu to the shown graph. @param {State} now */
function updateExport(now) {
  const { run: recorded, apart, direction, view, picture: drawn } = now;
  const pass = shownPass(now);
  const what = apart ? `graphs/${apart}` : pass && `passes/${pass.index}`;
  for (const menu of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("#export, [data-exports]"))) menu.hidden = !recorded || !what;
  if (!recorded || !what) return;
  for (const link of /** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll("a[data-format]"))) {
    link.href = api.address(picture(recorded.id, what, link.dataset["format"] ?? "svg", direction, dark() ? "dark" : "light", view, drawn?.layout));
  }
  for (const row of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-animated]"))) {
    const ofStep = row.dataset["animated"] === "step";
    row.hidden = !now.step || (!ofStep && recorded.steps < 2);
    for (const link of row.querySelectorAll("a")) {
      const animated = { kind: link.dataset["form"] ?? "svg", step: ofStep && now.step ? now.step.index : null };
      link.href = api.address(animation(recorded.id, animated, direction, dark() ? "dark" : "light", view, drawn?.layout));
    }
  }
  for (const link of /** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll("a[data-whole]"))) {
    link.href = api.address(`/runs/${recorded.id}${link.dataset["whole"] ?? ""}`);
  }
  for (const link of /** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll("a[data-file]"))) {
    link.href = api.address(`/runs/${recorded.id}/export.html`);
  }
}

const descends = editedFrom(state, (id) => openRun({ id, view: {} }));
titles(state, given);
lazyShare(state, api, given);
lazyStepsTable(state, api, step);
lazyRuns(state, api, given, (id) => openRun({ id, view: {} }));
follow(api, (view) => (playing.pause(), work.go(view)));
find("#present").addEventListener("click", presented.toggle);
linked(given, start, openRun, (id) => void work.expect(id), (trouble) => state.set({ trouble }));
keeper.begin();
obeyEarly(text);

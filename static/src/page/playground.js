// The playground and a saved run: join the editor, the graph, the inspector, the findings and the deck over one state.

import { read, programIn, withProgram, write } from "../core/address.js";
import { margin } from "../core/margin.js";
import { first, picture, session } from "../core/session.js";
import { EMPTY, shownPass } from "../core/state.js";
import { store } from "../core/store.js";
import * as walk from "../core/walk.js";
import { worked } from "../core/worked.js";
import { client } from "../leaves/api.js";
import { fill, find, h } from "../leaves/dom.js";
import { apply } from "../leaves/edits.js";
import * as format from "../leaves/format.js";
import { called, title } from "../leaves/naming.js";
import { PHASES } from "../leaves/types.js";
import { deck } from "../widgets/deck.js";
import { editor } from "../widgets/editor.js";
import { findings, summary } from "../widgets/findings.js";
import { graph } from "../widgets/graph.js";
import { inspector } from "../widgets/inspector.js";
import { dark, flip, shell, toast } from "../widgets/shell.js";
import { absence, choices, notebookOf, outcome, outputs } from "./playground/words.js";

/** @import {Given, State} from "../core/state.js" */
/** @import {Inspected} from "../widgets/inspector.js" */

const given = /** @type {Given} */ (JSON.parse(find("#state").textContent ?? "{}"));
const mac = /Mac|iP/.test(navigator.platform);
const nonce = document.querySelector('meta[name="csp-nonce"]')?.getAttribute("content") ?? "";
const api = client(given.api);
const state = store(/** @type {State} */ ({ ...EMPTY, ...read(location.search), at: given.step?.index ?? 0 }));
const work = session(state, api, (shown) => {
  text.replace(bare(shown.program));
  text.cells(outputs(shown));
});

shell();

// -- widgets

const text = editor({
  doc: bare(given.program),
  nonce,
  onrun: run,
  onedit: () => state.set({ edited: text.text() !== bare(state.get().run?.program ?? "") }),
  onpick: pick,
  onpaste: (pasted) => offer(pasted),
});
const canvas = graph({
  onpick: (node) => work.select(node),
  onwalk: (node, key) => neighbour(node, key),
  onzoom: (scale) => (find("#zoom").textContent = `${Math.round(scale * 100)}%`),
});
const details = inspector({ onpick: (node) => (work.select(node), canvas.reveal()), online: (line) => text.reveal(line) });
const notes = findings({
  onfix({ edits }) {
    text.replace(apply(text.text(), edits));
    run();
  },
  online(line, step) {
    if (step !== null && step < (state.get().run?.steps ?? 0)) work.go({ at: step });
    text.reveal(line);
    pick(line, null, null);
  },
});
const transport = deck({ onstep: step, onphase: (phase) => work.go({ phase, apart: null }) });

const written = document.querySelector("#canvas svg.graph");
fill(find("#editor"), text);
find("#canvas").replaceWith(canvas);
canvas.id = "canvas";
fill(find("#inspected"), details);
fill(find("#found"), notes);
fill(find("#deck"), transport);

/** A program without the empty line that an editor would show at its end. @param {string} program */
function bare(program) {
  return program.replace(/\n+$/, "");
}

// -- what the person does

function run() {
  if (state.get().busy) return;
  const source = text.text();
  const starts = text.starts();
  if (starts.length > 1) void follow(work.run(JSON.stringify({ notebook: notebookOf(source, starts) }), "application/json"));
  else void follow(work.run(JSON.stringify({ program: source }), "application/json"));
}

/** Make what came of a run the page that is open. @param {Promise<import("../leaves/types.js").Run | null>} running */
async function follow(running) {
  const done = await running;
  if (!done) return;
  const page = new URL(done.links["page"] ?? `${given.root}/r/${done.id}`, location.href);
  history.pushState({ run: done.id }, "", page.pathname + query());
}

/** Take a notebook or a program from outside. @param {string} content @param {string} [name] @returns {boolean} */
function offer(content, name = "") {
  const notebook = name.endsWith(".ipynb") || (/^\s*\{/.test(content) && /"nbformat"\s*:/.test(content) && /"cells"\s*:/.test(content));
  if (notebook) void follow(work.run(content, "application/x-ipynb+json"));
  else if (name) {
    start(content);
  }
  return notebook || name !== "";
}

/** Select what a line made, or what stands at a place in it. @param {number} line @param {number | null} column @param {string | null} word */
function pick(line, column, word) {
  const { graph: shown, run: recorded, edited, apart } = state.get();
  if (!recorded || edited) return;
  if (column !== null) {
    const node = shown && ((word && walk.named(shown, word)) ?? walk.nodeAt(shown, line, column));
    if (node) work.select(node.id);
    return;
  }
  const node = shown && walk.nodeAt(shown, line);
  if (node) {
    work.select(node.id);
    canvas.reveal();
    return;
  }
  const own = recorded.lines.find((each) => each.file === null && each.line === line)?.graph;
  if (own && own !== apart) void work.display(own);
}

/** The keys along the gradient, against it, and to the next node beside, for where the loss stands. */
const WALKS = /** @type {const} */ ({ TB: ["ArrowDown", "ArrowUp", "ArrowRight"], BT: ["ArrowUp", "ArrowDown", "ArrowRight"], LR: ["ArrowRight", "ArrowLeft", "ArrowDown"] });

/** @param {string} node @param {string} key */
function neighbour(node, key) {
  const { graph: shown, direction } = state.get();
  if (!shown) return null;
  const [on, from, aside] = WALKS[direction];
  if (key === on) return walk.onward(shown, node)[0] ?? null;
  if (key === from) return walk.back(shown, node)[0] ?? null;
  const side = walk.beside(shown, node);
  return side[side.indexOf(node) + (key === aside ? 1 : -1)] ?? null;
}

/** The query of the address for the place looked at; the node that is looked at anyhow is left out. */
function query() {
  const now = state.get();
  return write(now.graph && now.node === first(now.graph) ? { ...now, node: null } : now, location.search);
}

/** @param {number} to */
function step(to) {
  const { run: shown } = state.get();
  if (shown && to >= 0 && to < shown.steps) work.go({ at: to, apart: null, pass: null });
}

/** @param {File} file */
async function take(file) {
  if (file.size > given.limits.body_bytes) {
    state.set({ trouble: { title: "The file is too large", detail: `${file.name} has ${format.thousands(file.size)} bytes, and ${format.thousands(given.limits.body_bytes)} is the most that is taken.` } });
    return;
  }
  offer(await file.text(), file.name);
}

async function copy() {
  const { run: shown, edited } = state.get();
  const here = new URL(location.href);
  if (!shown || edited) {
    here.pathname = `${given.root}/`;
    here.search = "";
    here.hash = withProgram(text.text());
  } else {
    here.pathname = new URL(shown.links["page"] ?? `${given.root}/r/${shown.id}`, location.href).pathname;
    here.search = query();
    here.hash = "";
  }
  try {
    await navigator.clipboard.writeText(here.href);
    toast(!shown || edited ? "Link with the program copied" : "Link copied");
  } catch {
    history.replaceState(history.state, "", here);
    toast("The link is in the address bar");
  }
}

find("#run").addEventListener("click", () => (state.get().busy ? work.stop() : run()));
find("#open").addEventListener("click", () => find("#file").click());
find("#file").addEventListener("change", ({ target }) => {
  const input = /** @type {HTMLInputElement} */ (target);
  if (input.files?.[0]) void take(input.files[0]);
  input.value = "";
});
const fold = find("#fold");
/** @param {boolean} open */
function unfold(open) {
  fold.setAttribute("aria-expanded", String(open));
  find("#findings").classList.toggle("folded", !open);
}
fold.addEventListener("click", () => unfold(fold.getAttribute("aria-expanded") !== "true"));
unfold(!matchMedia("(max-width: 1240px) and (min-width: 761px)").matches);
find("#copy").addEventListener("click", () => void copy());
const help = /** @type {HTMLDialogElement} */ (find("#help"));
find("#ask").addEventListener("click", () => help.showModal());
find("#letters").addEventListener("change", ({ target }) => remember("letters", /** @type {HTMLInputElement} */ (target).checked ? "on" : "off"));
const turns = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-direction]")]);
for (const button of turns) button.addEventListener("click", () => work.go({ direction: /** @type {State["direction"]} */ (button.dataset["direction"]) }));
find("#zoom-out").addEventListener("click", () => canvas.by(0.8));
find("#zoom-in").addEventListener("click", () => canvas.by(1.25));
find("#zoom").addEventListener("click", () => canvas.fit());
const chosen = /** @type {HTMLSelectElement} */ (find("#chosen"));
chosen.addEventListener("change", () => {
  const [kind, id = ""] = chosen.value.split(" ");
  if (kind === "graph") void work.display(id);
  else work.go({ apart: null, pass: Number(id) });
});
for (const link of document.querySelectorAll("a[data-example]")) {
  link.addEventListener("click", (event) => {
    const example = given.examples.find(({ slug }) => slug === /** @type {HTMLElement} */ (link).dataset["example"]);
    if (!example || /** @type {MouseEvent} */ (event).ctrlKey || /** @type {MouseEvent} */ (event).metaKey) return;
    event.preventDefault();
    start(example.program);
  });
}

/** Run a program from the beginning. @param {string} program */
function start(program) {
  text.cells([]);
  text.replace(bare(program));
  state.set({ at: 0, phase: "backward", node: null });
  run();
}

// a file over the page
const veil = h("div", { class: "drop", hidden: true }, "Drop a notebook or a Python file to run it");
document.body.append(veil);
/** @param {DragEvent} event */
const carries = (event) => event.dataTransfer?.types.includes("Files") ?? false;
addEventListener("dragover", (event) => {
  if (!carries(event)) return;
  event.preventDefault();
  veil.hidden = false;
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) veil.hidden = true;
});
addEventListener("drop", (event) => {
  veil.hidden = true;
  if (!carries(event)) return;
  event.preventDefault();
  const file = event.dataTransfer?.files[0];
  if (file) void take(file);
});

addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !help.open) {
    if (event.defaultPrevented) return;
    event.preventDefault();
    run();
  }
  const { target } = event;
  const within = target instanceof Element && target.closest("#canvas, #deck") !== null;
  if (event.ctrlKey || event.metaKey || event.altKey || help.open || !within || event.defaultPrevented) return;
  const { at, run: shown } = state.get();
  if (event.shiftKey && event.key === "ArrowRight") step(at + 1);
  else if (event.shiftKey && event.key === "ArrowLeft") step(at - 1);
  else if (event.key === "Home") step(0);
  else if (event.key === "End") step((shown?.steps ?? 1) - 1);
  else if (recall("letters") === "off") return;
  else if (event.key === "t" || event.key === "T") flip();
  else if (event.key === "?") help.showModal();
  else return;
  event.preventDefault();
});

addEventListener("popstate", () => {
  const id = /\/r\/([^/]+)/.exec(location.pathname)?.[1];
  /** @type {Partial<State>} */
  const place = { at: 0, phase: "backward", node: null, pass: null, apart: null, direction: "TB", ...read(location.search) };
  const shown = state.get().run;
  if (id && id !== shown?.id) void work.open(id, place);
  else if (!id && given.run && given.run.id !== shown?.id) work.show(given.run, place);
  else {
    state.set(place);
    void work.load();
  }
});

/** @param {string} key */
function recall(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}
/** @param {string} key @param {string} value */
function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // storage is blocked: it holds for this page only
  }
}
/** @type {HTMLInputElement} */ (find("#letters")).checked = recall("letters") !== "off";

// -- what is shown

if (given.run) {
  work.begin({ run: given.run, step: given.step, graph: given.graph, node: state.get().node ?? given.node });
  text.cells(outputs(given.run));
  if (written && given.svg_inline && given.graph) {
    canvas.adopt(written, `${given.run.id} ${given.graph.id} ${state.get().direction}`);
    if (!given.step && !shownPass(state.get())) state.set({ apart: given.graph.id });
  } else void work.load();
}

state.watch(["run", "step", "phase", "apart", "graph", "node", "edited"], (now) => {
  if (now.run && !now.edited) text.show(margin(now), now.run.parameters.flatMap(({ names }) => names));
});

state.watch(["run", "edited"], ({ run: recorded, edited }) => {
  notes.show(recorded?.findings ?? [], recorded?.program ?? "", edited);
  fill(find("#found-summary"), recorded && summary(recorded.findings));
  find("#findings").hidden = !recorded?.findings.length;
});

state.watch(["node", "phase"], ({ node, phase }) => canvas.select(node, phase));

state.watch(["picture", "absent", "graph", "run", "busy"], (now) => {
  const { picture: drawn, absent, graph: shown, run: recorded, direction } = now;
  if (drawn && shown && recorded) canvas.draw(drawn, `${recorded.id} ${shown.id} ${direction}`);
  else if (!shown || absent) canvas.say(absence(now, step));
});

state.watch(["detail", "asking", "origin", "phase", "step", "run"], (now) => {
  if (now.run && !now.graph && !now.picture) details.show(null, "There is no graph to look into.");
  else details.show(inspected(now));
});

state.watch(["at", "phase", "run", "step", "losses"], ({ at, phase, run: recorded, step: shown, losses }) => {
  const stopped = Boolean(recorded?.error && recorded.steps);
  transport.show({ at, phase, steps: recorded?.steps ?? 0, step: shown, losses, stopped });
});

state.watch(["run", "edited", "busy", "settled"], (now) => {
  document.body.classList.toggle("busy", now.busy !== null || !now.settled);
  fill(find("#run"), now.busy ? "Stop" : "Run", !now.busy && h("kbd", { class: "from-760" }, mac ? "⌘ ↵" : "Ctrl ↵"));
  fill(find("#status"), outcome(now, given.mode, given.limits.wall_seconds));
});

state.watch(["trouble"], ({ trouble }) => {
  const box = find("#trouble");
  box.hidden = !trouble;
  fill(box, trouble && [h("b", null, trouble.title), ". ", trouble.detail]);
});

state.watch(["run", "step", "graph", "apart", "pass", "direction"], (now) => {
  const { run: recorded, graph: shown, apart, direction } = now;
  const offered = choices(now);
  const pass = shownPass(now);
  const here = apart ? `graph ${apart}` : `pass ${pass?.index}`;
  fill(chosen, offered.map(({ value, label }) => h("option", { value, selected: value === here }, label))); // prettier-ignore
  /** @type {HTMLElement} */ (chosen.parentElement).hidden = offered.length < 2;
  find("#summary").textContent = shown && offered.length < 2 ? format.counted(shown.nodes.length, "node") : "";
  find("#example").textContent = given.examples.find(({ program }) => bare(program) === bare(recorded?.program ?? ""))?.title ?? "Choose one";
  for (const button of turns) button.setAttribute("aria-pressed", String(button.dataset["direction"] === direction));
  const what = apart ? `graphs/${apart}` : pass ? `passes/${pass.index}` : null;
  find("#export").hidden = !recorded || !what;
  if (!recorded || !what) return;
  const links = /** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll("a[data-format]"));
  const address = () => {
    for (const link of links) link.href = api.address(picture(recorded.id, what, link.dataset["format"] ?? "svg", direction, dark() ? "dark" : "light"));
  };
  /** @type {HTMLAnchorElement} */ (find("a[data-json]")).href = api.address(`/runs/${recorded.id}`);
  address();
  find("#export").ontoggle = address; // the theme may have changed
});

let begun = false; // the address is left as it came until the person moves
state.watch(["at", "phase", "node", "pass", "apart", "direction"], (now) => {
  if (begun && now.run && !now.edited && !now.busy) {
    const asked = query();
    if (asked !== location.search) history.replaceState(history.state, "", location.pathname + asked + location.hash);
  }
});
begun = true;

/** What the inspector tells of the selected node. @param {State} now @returns {Inspected | null} */
function inspected(now) {
  const { detail, graph: shown, asking, phase, step: at, origin } = now;
  if (!detail || !shown) return null;
  const pass = shownPass(now);
  const { node } = detail;
  const source_ = (/** @type {import("../leaves/types.js").GraphNode} */ of) => walk.sourceOf(of, now.run?.program ?? "");
  const parameter = at?.parameters.find(({ id }) => id === node.parameter) ?? null;
  const source = node.kind === "leaf" ? origin : detail;
  const edge = node.kind === "leaf" ? detail.incoming[0]?.edge : detail.outgoing.find(({ gradient }) => gradient)?.edge;
  const products = source && edge ? worked(source, shown, edge) : null;
  return {
    detail,
    title: title(node, source_(node)),
    called: (id, room) => {
      const other = walk.nodeOf(shown, id);
      return other ? called(other, source_(other), room) : id;
    },
    asking,
    reached: pass !== null && PHASES.indexOf(phase) >= PHASES.indexOf("backward"),
    apart: pass === null,
    updated: phase === "update",
    root: shown.roots.includes(node.id),
    loss: at?.loss_name ?? null,
    of: pass ? pass.order.length : null,
    parameter,
    rebinds: at?.rebinds.filter((rebind) => rebind.from === node.parameter) ?? [],
    path: pass ? walk.path(shown, pass, node.id) : [],
    products: products && source ? { ...products, heading: `∂${at?.loss_name ?? ""}/∂${called(source.node, source_(source.node), 12)}` } : null,
  };
}

const carried = programIn(location.hash);
const example = /^#example=(.+)$/.exec(location.hash)?.[1];
if (carried !== null) start(carried);
else if (example) {
  const found = given.examples.find(({ slug }) => slug === example);
  if (found) start(found.program);
}

// Follow a teacher's playhead, or share one's own with a class.

import { read, write } from "../../core/address.js";
import { find, h } from "../../leaves/dom.js";
import { toast } from "../../widgets/shell.js";

/** @import {Client} from "../../leaves/api.js" */
/** @import {State, View} from "../../core/state.js" */
/** @import {Store} from "../../core/store.js" */

const EVERY = 250; // milliseconds between two positions that are sent
/** The parts of a view that a class shares. Everybody keeps their own layout. @type {readonly (keyof View)[]} */
const SHARED = ["at", "phase", "ran", "apart", "pass", "node"];

/** @param {View} view @returns {Partial<View>} */
const shared = (view) => Object.fromEntries(SHARED.map((field) => [field, view[field]]));

/**
 * Follow the classroom that the address names, if any.
 *
 * @param {Client} api
 * @param {(view: Partial<View>) => void} go
 */
export function follow(api, go) {
  const room = new URLSearchParams(location.search).get("follow");
  if (!room) return;
  const text = h("span", null, "You see what the teacher shows.");
  const leave = h("button", { type: "button", class: "btn" }, "Stop following");
  const note = h("div", { class: "following", role: "status" }, text, leave);
  find(".playground > div").after(note); // below the head of the page
  // the teacher shows the graph, and on a phone the program is above it
  if (matchMedia("(max-width: 760px)").matches && scrollY === 0) find("#graph").scrollIntoView({ behavior: "instant", block: "start" });
  const events = new EventSource(api.address(`/classrooms/${encodeURIComponent(room)}/events`));
  /** @param {string} said */
  const end = (said) => {
    events.close();
    note.remove();
    toast(said);
  };
  events.addEventListener("position", ({ data }) => {
    const { position } = JSON.parse(data);
    if (position) go(shared(read(position)));
  });
  events.addEventListener("end", () => end("The lesson has ended: you can move the page yourself"));
  events.addEventListener("error", () => {
    if (events.readyState === EventSource.CLOSED) end("This lesson is over, or its link is wrong: you can move the page yourself");
  });
  leave.addEventListener("click", () => end("You no longer follow"));
}

/**
 * Open a classroom for the run that is shown, and send each position until the page closes.
 *
 * @param {Client} api
 * @param {Store<State>} state
 * @returns {Promise<string | null>}  the path of the page that follows; null if the classroom could not be opened
 */
export async function teach(api, state) {
  const run = state.get().run?.id;
  const answer = run && (await fetch(api.address(`/runs/${run}/classrooms`), { method: "POST" }).catch(() => null));
  if (!answer || !answer.ok) {
    toast("The classroom could not be opened. Try again.");
    return null;
  }
  const { key, links } = await answer.json();
  let [sent, timer] = [/** @type {string | null} */ (null), 0];
  const send = () => {
    timer = 0;
    const now = state.get();
    const position = write({ ...read(""), ...shared(now) }, "").slice(1) || "step=0";
    if (now.run?.id !== run || position === sent) return;
    sent = position;
    void fetch(`${links.position}?${new URLSearchParams({ position })}`, { method: "POST", headers: { "Classroom-Key": key } }).catch(() => (sent = null));
  };
  state.watch([...SHARED, "run"], () => {
    timer ||= setTimeout(send, EVERY);
  });
  send();
  return links.page;
}

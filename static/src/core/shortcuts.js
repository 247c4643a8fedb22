// The keyboard shortcuts: one table, from which the page's handler, the list in its help and the tests are made.

/**
 * @typedef {"run" | "play" | "phase" | "step" | "node" | "end" | "walk" | "zoom" | "search" | "why" | "theme" | "help" | "present" | "notes" | "link" | "blank"} Action
 *
 * @typedef {object} Shortcut
 * @property {Action | null} action         null: the focused part of the page handles the keys
 * @property {readonly string[]} keys       names as in `KeyboardEvent.key`; `Mod` is Ctrl or ⌘
 * @property {readonly (number | string)[]} [with]    what each key passes to the action
 * @property {string} does
 * @property {boolean} [letter]             a single character, which a person may switch off
 */

/** @type {readonly Shortcut[]} */
export const SHORTCUTS = [
  { action: "run", keys: ["Mod+Enter"], does: "run the program" },
  { action: "play", keys: [" "], does: "play or pause" },
  { action: "phase", keys: ["ArrowLeft", "ArrowRight"], with: [-1, 1], does: "previous, next phase; in the graph, the neighbouring node" },
  { action: "phase", keys: ["PageUp", "PageDown"], with: [-1, 1], does: "previous, next phase, also with a presenter’s clicker" },
  { action: "step", keys: ["Shift+ArrowLeft", "Shift+ArrowRight"], with: [-1, 1], does: "previous, next step" },
  { action: "end", keys: ["Home", "End"], with: ["first", "last"], does: "first, last step" },
  { action: "node", keys: [",", "."], with: [-1, 1], does: "previous, next node of a backward pass", letter: true },
  { action: "walk", keys: ["ArrowUp", "ArrowDown"], with: ["ArrowUp", "ArrowDown"], does: "walk the graph along its edges" },
  { action: "zoom", keys: ["+", "-", "0"], with: [1, -1, 0], does: "zoom in, zoom out, fit the graph", letter: true },
  { action: null, keys: ["Enter"], does: "in a map: open or close a group; on a loop, type the number of a turn first" },
  { action: null, keys: ["Shift+Enter"], does: "in Models: compare the gradient of the row with that of another one" },
  { action: "search", keys: ["/"], does: "search the graph; ↵ and Shift ↵ go to the next and the previous hit", letter: true },
  { action: "why", keys: ["y"], does: "explain the number of the selected node; then 1 to 9 follow a term, ⌫ goes back", letter: true },
  { action: null, keys: ["Escape", "Tab"], does: "leave the editor: Esc, then Tab" },
  { action: null, keys: ["Alt+ArrowUp", "Alt+ArrowDown"], does: "in the editor: make the number at the cursor larger or smaller, and run" },
  { action: null, keys: ["Alt+c", "Alt+w"], does: "in the editor: copy the value of the line; watch an expression after the line" },
  { action: "theme", keys: ["t"], does: "switch between light and dark", letter: true },
  { action: "present", keys: ["p"], does: "present: large type, the graph and the lines that run; press it again to end", letter: true },
  { action: "notes", keys: ["n"], does: "while presenting: show your notes in a window of their own, from comments such as # note: …", letter: true },
  { action: "link", keys: ["q"], does: "show the address as a QR code", letter: true },
  { action: "blank", keys: ["b"], does: "while presenting: make the screen black, also with a clicker", letter: true },
  { action: "help", keys: ["?"], does: "show this list", letter: true },
];

/** The keys as they are written on a keyboard. @type {Readonly<Record<string, string>>} */
const CAPS = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Enter: "↵", Escape: "Esc", " ": "Space", "-": "−" };

/** Return a key as the help writes it. @param {string} key @param {boolean} mac */
export const cap = (key, mac) =>
  key
    .split(/(?<=.)\+(?=.)/)
    .map((part) => (part === "Mod" ? (mac ? "⌘" : "Ctrl") : (CAPS[part] ?? (part.length > 1 ? part : part.toUpperCase()))))
    .join(" ");

/**
 * Return the shortcut of a key press, and what its key passes to the action; null if there is none.
 *
 * @param {Pick<KeyboardEvent, "key" | "shiftKey" | "ctrlKey" | "metaKey" | "altKey">} event
 * @returns {{shortcut: Shortcut & {action: Action}, argument: number | string | undefined} | null}
 */
export function shortcutOf({ key, shiftKey, ctrlKey, metaKey, altKey }) {
  if (altKey) return null;
  const single = key.length === 1 && key !== " "; // Shift is part of the character
  const name = `${ctrlKey || metaKey ? "Mod+" : ""}${shiftKey && !single ? "Shift+" : ""}${single ? key.toLowerCase().replace("=", "+") : key}`;
  for (const shortcut of SHORTCUTS) {
    const at = shortcut.keys.indexOf(name);
    if (at >= 0 && shortcut.action) return { shortcut: { ...shortcut, action: shortcut.action }, argument: shortcut.with?.[at] };
  }
  return null;
}

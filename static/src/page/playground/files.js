// Accept programs, notebooks, exported runs and links to runs: from a dialog, from files, or dropped on the page.

import { find, h } from "../../leaves/dom.js";
import { thousands } from "../../leaves/format.js";

/** @import {ExportedRun} from "../../core/exported.js" */

const LARGEST_EXPORT = 64 * 1024 * 1024; // bytes of an exported run, of which only the program is sent

/** Return whether a text is a Jupyter notebook. @param {string} text */
export const isNotebook = (text) => /^\s*\{/.test(text) && /"nbformat"\s*:/.test(text) && /"cells"\s*:/.test(text);

/** Return whether a text looks like an exported run: its JSON, or the file that plays. @param {string} text */
export const isExport = (text) => (/^\s*\{/.test(text) ? /"program"\s*:/.test(text) && /"cells"\s*:/.test(text) && !isNotebook(text) : /^\s*<!doctype html>/i.test(text));

/** Return the first address of a dropped list of links; an empty text if there is none. @param {string} list */
const firstOf = (list) => list.split(/\r?\n/).find((line) => line && !line.startsWith("#")) ?? "";

/**
 * Accept texts and files from the dialog, and drops on the page.
 *
 * @param {object} options
 * @param {number} options.limit  maximum bytes of a file
 * @param {(content: string, name: string | null) => void} options.onnotebook
 * @param {(content: string, name: string | null) => void} options.onprogram
 * @param {(run: ExportedRun) => void} options.onexport
 * @param {(text: string) => boolean} options.onlink  open an address of this server; false for any other text
 * @param {(trouble: {title: string, detail: string}) => void} options.ontrouble
 */
export function files({ limit, onnotebook, onprogram, onexport, onlink, ontrouble }) {
  /** @param {File | undefined} file */
  async function take(file) {
    if (!file) return;
    const exported = /\.(json|html?)$/i.test(file.name);
    if (file.size > (exported ? LARGEST_EXPORT : limit)) {
      const detail = `${file.name} has ${thousands(file.size)} bytes; the limit is ${thousands(exported ? LARGEST_EXPORT : limit)} bytes.`;
      return ontrouble({ title: "The file is too large", detail });
    }
    const content = await file.text();
    if (/\.html?$/i.test(file.name) || (exported && isExport(content))) await unpack(content, file.name);
    else if (file.name.endsWith(".ipynb") || isNotebook(content)) onnotebook(content, file.name);
    else onprogram(content, file.name);
  }

  /** Open an exported run. @param {string} content @param {string} name  what it is called in a message */
  async function unpack(content, name) {
    const run = await (await import("../../core/exported.js")).exportedRun(content);
    if (run) onexport(run);
    else ontrouble({ title: `${name} cannot be opened`, detail: "It is not a run that Tapedeck exported." });
  }

  /** Open a link, an exported run, a notebook or a program. @param {string} text */
  function read(text) {
    if (onlink(text)) return;
    if (isExport(text)) return void unpack(text, "The text");
    if (/^\s*https?:\/\/\S+\s*$/.test(text)) {
      const detail = `It is not the address of a run, an example or a program on this server, ${location.origin}.`;
      ontrouble({ title: "The link cannot be opened", detail });
    } else if (isNotebook(text)) onnotebook(text, null);
    else onprogram(text, null);
  }

  const input = /** @type {HTMLInputElement} */ (find("#file"));
  const area = h("textarea", { rows: "5", spellcheck: "false", autocapitalize: "off", autocomplete: "off", "aria-label": "Link, program, notebook or exported run", required: true });
  const dialog = h(
    "dialog",
    { id: "import", "aria-labelledby": "import-title" },
    h("h2", { id: "import-title" }, "Open"),
    h("p", null, "Paste the link of a run, a program, or the text of a notebook or of an exported run. A link or a file can also be dropped on the page."),
    h(
      "form",
      { method: "dialog", onsubmit: () => read(area.value) },
      area,
      h(
        "div",
        { class: "row" },
        h("button", { type: "button", class: "btn", onclick: () => input.click() }, "Choose a file…"),
        h("span", { class: "space" }),
        h("button", { type: "button", class: "btn ghost", onclick: () => dialog.close() }, "Cancel"),
        h("button", { class: "btn primary" }, "Open"),
      ),
    ),
  );
  document.body.append(dialog);
  find("#open").addEventListener("click", () => {
    area.value = "";
    dialog.showModal();
    area.focus();
  });
  input.addEventListener("change", () => {
    dialog.close();
    void take(input.files?.[0]);
    input.value = "";
  });

  const veil = h("div", { class: "drop", hidden: true }, "Drop a notebook, a Python file, an exported run or a link to a run here to open it");
  document.body.append(veil);
  /** @param {DragEvent} event */
  const carries = (event) => event.dataTransfer?.types.some((type) => type === "Files" || type === "text/uri-list") ?? false;
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
    dialog.close();
    const [file] = event.dataTransfer?.files ?? [];
    if (file) void take(file);
    else read(firstOf(event.dataTransfer?.getData("text/uri-list") ?? ""));
  });
  return { unpack };
}

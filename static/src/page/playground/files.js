// Accept programs and notebooks from files: opened, or dropped on the page.

import { find, h } from "../../leaves/dom.js";
import { thousands } from "../../leaves/format.js";

/** Return whether a text is a Jupyter notebook. @param {string} text */
export const isNotebook = (text) => /^\s*\{/.test(text) && /"nbformat"\s*:/.test(text) && /"cells"\s*:/.test(text);

/**
 * Accept files from the file dialog and from drops on the page.
 *
 * @param {object} options
 * @param {number} options.limit  maximum bytes of a file
 * @param {(content: string, name: string) => void} options.onnotebook
 * @param {(content: string, name: string) => void} options.onprogram
 * @param {(trouble: {title: string, detail: string}) => void} options.ontrouble
 */
export function files({ limit, onnotebook, onprogram, ontrouble }) {
  /** @param {File | undefined} file */
  async function take(file) {
    if (!file) return;
    if (file.size > limit) {
      const detail = `${file.name} has ${thousands(file.size)} bytes; the limit is ${thousands(limit)} bytes.`;
      return ontrouble({ title: "The file is too large", detail });
    }
    const content = await file.text();
    if (file.name.endsWith(".ipynb") || isNotebook(content)) onnotebook(content, file.name);
    else onprogram(content, file.name);
  }

  const input = /** @type {HTMLInputElement} */ (find("#file"));
  find("#open").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    void take(input.files?.[0]);
    input.value = "";
  });

  const veil = h("div", { class: "drop", hidden: true }, "Drop a notebook or a Python file here to run it");
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
    void take(event.dataTransfer?.files[0]);
  });
}

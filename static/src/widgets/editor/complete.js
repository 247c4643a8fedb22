// Complete what follows a dot: the members of torch, its modules, numpy, and tensors.

import { MEMBERS, TENSOR } from "./members.js";

/** @import {CompletionContext} from "@codemirror/autocomplete" */

/**
 * Return the modules that a program imports, by the names that it gives them.
 *
 * @param {string} text
 * @returns {Map<string, string>}
 */
export function imported(text) {
  /** @type {Map<string, string>} */
  const names = new Map();
  for (const [, module = "", alias] of text.matchAll(/^\s*import\s+([\w.]+)(?:\s+as\s+(\w+))?/gm)) {
    if (alias) names.set(alias, module);
    else names.set(module.split(".")[0] ?? "", module.split(".")[0] ?? "");
  }
  for (const [, module = "", list = ""] of text.matchAll(/^\s*from\s+([\w.]+)\s+import\s+([^#\n]+)/gm)) {
    for (const part of list.replace(/[()]/g, "").split(",")) {
      const [name = "", , alias] = part.trim().split(/\s+/);
      if (name) names.set(alias ?? name, `${module}.${name}`);
    }
  }
  return names;
}

/** Offer the members of the module or tensor before the dot. @param {CompletionContext} context */
export function attributes(context) {
  const typed = context.matchBefore(/(?:\w+\.)+\w*$/) ?? context.matchBefore(/[)\]]\.\w*$/);
  if (!typed) return null;
  const parts = typed.text.split(".");
  const last = parts.pop() ?? "";
  const modules = imported(context.state.doc.toString());
  const [first = "", ...rest] = parts;
  const module = modules.has(first) ? [modules.get(first), ...rest].join(".") : null;
  const members = module ? MEMBERS[module] : TENSOR;
  if (!members) return null;
  return {
    from: context.pos - last.length,
    options: members.split(" ").map((label) => ({ label, type: "property" })),
    validFor: /^\w*$/,
  };
}

// The script of the pages without a playground: the gallery, the findings, errors, the API.

import { withProgram } from "../core/address.js";
import { drafts } from "../core/drafts.js";
import { galleryFilter } from "../widgets/gallery-filter.js";
import { shell } from "../widgets/shell.js";

shell();

const filter = document.getElementById("filter");
if (filter) galleryFilter(filter);

// a run that was deleted or has expired: its edits are still here
const kept = document.getElementById("kept");
const draft = kept && drafts.of(/\/r\/(\w+)$/.exec(location.pathname)?.[1] ?? "");
if (draft) {
  kept.hidden = false;
  kept.querySelector("a")?.setAttribute("href", `${kept.querySelector("a")?.getAttribute("href")}${withProgram(draft.text)}`);
}

const origin = document.getElementById("origin");
if (origin) origin.textContent = location.origin; // makes the example ready to paste into a terminal

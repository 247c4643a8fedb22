// The script of the pages without a playground: the gallery, the findings, errors, the API.

import { shell } from "../widgets/shell.js";

shell();

const origin = document.getElementById("origin");
if (origin) origin.textContent = location.origin; // makes the example ready to paste into a terminal

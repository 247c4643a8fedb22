// Pages to read: the gallery, the findings, an error, the API.

import { shell } from "../widgets/shell.js";

shell();

const origin = document.getElementById("origin");
if (origin) origin.textContent = location.origin; // so that the call can be pasted into a terminal

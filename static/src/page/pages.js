// Pages to read: the gallery, an error, the API.

import { shell } from "../widgets/shell.js";

shell();

// Write what the server found about the code of a reader.

import { h, prose } from "../../leaves/dom.js";
import * as format from "../../leaves/format.js";

/** @import {Child} from "../../leaves/dom.js" */
/** @import {Judged} from "../../leaves/types.js" */

/**
 * Return the content of a verdict.
 *
 * @param {Judged} judged
 * @param {readonly Element[]} mistakes  the replies to the mistakes of the task
 * @returns {Child}
 */
export function verdict({ sentence, wrong, mistake, printed }, mistakes) {
  const reply = mistake === null ? null : mistakes[mistake];
  return [
    h("p", null, prose(sentence)),
    wrong &&
      h(
        "table",
        null,
        h("thead", null, h("tr", null, h("th", { scope: "col" }, "element"), h("th", { scope: "col" }, "yours"), h("th", { scope: "col" }, "expected"))),
        h("tbody", null, h("tr", null, h("td", null, wrong.index.length ? `[${wrong.index.join(", ")}]` : "the number"), h("td", { class: "wrong" }, format.number(wrong.yours)), h("td", null, format.number(wrong.tape)))),
      ),
    reply && h("div", { class: "reply" }, [...reply.childNodes].map((node) => node.cloneNode(true))),
    printed && h("pre", { class: "code printed", tabindex: "0", "aria-label": "Printed" }, printed.trimEnd()),
  ];
}

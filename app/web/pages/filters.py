"""Define the filters of the templates that mark up text: code in backticks, links between rules, the lines of a fix."""

from __future__ import annotations

import re
import textwrap

from markupsafe import Markup, escape

from ... import model
from ...explain.documentation import LINK
from ...explain.rewriting import fixes


def changed(fix: model.Fix, program: str) -> list[tuple[str, str]]:
    """Return the lines that a fix removes and adds, each after its sign, without their common indentation."""
    lines = fixes.changed_lines(program, fix)
    texts = textwrap.dedent("\n".join(text for _, text in lines)).split("\n")
    return [(sign, text) for (sign, _), text in zip(lines, texts, strict=False)]  # without lines, `texts` has one empty text


def coded(text: str) -> Markup:
    """Return a sentence in which text in backticks is marked up as code.

    >>> coded("`a < b` is code, a lone ` is not")
    Markup('<code>a &lt; b</code> is code, a lone ` is not')
    """
    split = re.split(r"`([^`\n]+)`", text)
    parts = (Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(split))
    return Markup("").join(parts)


def documented(text: str) -> Markup:
    """Return a sentence of a rule's documentation with its code and its links to other rules.

    >>> documented("`x`: see [leaf-rebound](#leaf-rebound).")
    Markup('<code>x</code>: see <a href="#leaf-rebound"><code>leaf-rebound</code></a>.')
    """
    parts: list[Markup] = []
    end = 0
    for link in LINK.finditer(text):
        parts += [
            coded(text[end : link.start()]),
            Markup('<a href="{}"><code>{}</code></a>').format(link["address"], link["text"]),
        ]
        end = link.end()
    return Markup("").join([*parts, coded(text[end:])])

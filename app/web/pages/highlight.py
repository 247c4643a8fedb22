"""Mark up Python code with the classes that the editor uses for its colours."""

from __future__ import annotations

import io
import keyword
import tokenize
from typing import Final

from markupsafe import Markup, escape

_STRINGS: Final = frozenset({tokenize.STRING, *(getattr(tokenize, name, -1) for name in ("FSTRING_START", "FSTRING_END"))})


def highlighted(code: str) -> Markup:
    """Return escaped code whose keywords, literals and comments are in spans. Code that is not Python is only escaped.

    >>> highlighted("x = None  # <")
    Markup('x = <span class="tok-null">None</span>  <span class="tok-comment"># &lt;</span>')
    >>> highlighted("%matplotlib 'inline")
    Markup('%matplotlib &#39;inline')
    """
    lines = list(io.StringIO(code))
    parts: list[Markup] = []
    line, column, previous = 1, 0, ""
    try:
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            name = _class(token, after=previous)
            previous = token.string
            if name is None:
                continue
            parts += [escape(_between(lines, (line, column), token.start)), _span(name, token.string)]
            line, column = token.end
    except (tokenize.TokenError, SyntaxError):
        return escape(code)
    return Markup("").join([*parts, escape(_between(lines, (line, column), (len(lines) + 1, 0)))])


def _class(token: tokenize.TokenInfo, after: str) -> str | None:
    if token.type == tokenize.COMMENT:
        return "tok-comment"
    if token.type == tokenize.NUMBER:
        return "tok-number"
    if token.type in _STRINGS:
        return "tok-string"
    if token.type != tokenize.NAME:
        return None
    if token.string in ("True", "False", "None"):
        return "tok-null" if token.string == "None" else "tok-bool"
    if keyword.iskeyword(token.string):
        return "tok-keyword"
    return "tok-grad" if token.string == "grad" and after == "." else None


def _span(name: str, text: str) -> Markup:
    return Markup('<span class="{}">{}</span>').format(name, text)


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    """Return the text between two positions (1-based line, 0-based column)."""
    (first, left), (last, right) = start, end
    if first == last:
        return lines[first - 1][left:right] if first <= len(lines) else ""
    middle = [lines[first - 1][left:], *lines[first : last - 1]] if first <= len(lines) else []
    return "".join([*middle, lines[last - 1][:right] if last <= len(lines) else ""])

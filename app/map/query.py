"""Read the query of a search: words, lines and conditions, all of which a node must meet."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from ..errors import InvalidInput

LONGEST_QUERY: Final = 200
"""Largest number of characters of a query."""
MOST_TERMS: Final = 8
"""Largest number of terms of a query."""

State = Literal["nan", "inf", "zero", "unused"]
STATES: Final[tuple[State, ...]] = get_args(State)

_COMPARE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "=": operator.eq, "==": operator.eq,
}  # fmt: skip
_TERM: Final = re.compile(
    r'"(?P<quoted>[^"]*)"'
    r'|(?P<subject>[^\s"<>=]*)\s*(?P<sign>>=|<=|==|>|<|=)\s*(?P<number>[^\s"]*)'
    r"|line[ :]?(?P<line>[0-9]{1,9})(?![^\s\"])"
    r'|(?P<word>[^\s"<>=]+)'
)
_CONDITIONS: Final = "`grad > 1e3` (or `>=`, `<`, `<=`, `=`), `nan`, `inf`, `zero` and `unused`"


@dataclass(frozen=True, slots=True)
class Text:
    """A text in lower case.

    It matches nodes whose name, class, call or module contains it. It also matches the node with this id, and the leaf of the
    parameter with this id. If no name, class, call or module contains it, it matches the nodes of program lines that contain
    it. A number also matches the nodes of the line with this number.
    """

    text: str


@dataclass(frozen=True, slots=True)
class LineNumber:
    """The number of the line that made a node."""

    number: int


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparison, such as ``>=``, of the norm of the gradient at one of a node's outputs with a limit."""

    sign: str
    limit: float

    @property
    def compare(self) -> Callable[[Any, Any], Any]:
        """The comparison of an array of norms with the limit."""
        return _COMPARE[self.sign]


@dataclass(frozen=True, slots=True)
class Marked:
    """A state of a node in a pass.

    ``nan`` and ``inf``: a gradient or the value has such elements. ``zero``: all gradients are 0. ``unused``: no gradient.
    """

    state: State


Term = Text | LineNumber | Compared | Marked


def read_query(query: str) -> list[Term]:
    """Return the terms of a query. Raises :class:`InvalidInput`, which names the remedy, for an invalid query.

    >>> read_query('attn grad > 1e3 line 12')
    [Text(text='attn'), Compared(sign='>', limit=1000.0), LineNumber(number=12)]
    >>> read_query('nan "nan"')
    [Marked(state='nan'), Text(text='nan')]
    """
    if len(query) > LONGEST_QUERY:
        raise _invalid(f"The query has {len(query):,} characters: use at most {LONGEST_QUERY}.")
    terms: list[Term] = []
    rest = query.strip()
    while rest:
        match = _TERM.match(rest)
        if match is None:
            raise _invalid('A quotation mark is not closed: add `"` at the end of the text.')
        if (term := _term(match)) is not None:
            terms.append(term)
        rest = rest[match.end() :].lstrip()
    if not terms:
        raise _invalid(f"The query is empty: give a name, an operation, a module or a line, or a condition: {_CONDITIONS}.")
    if len(terms) > MOST_TERMS:
        raise _invalid(f'The query has {len(terms)} terms: use at most {MOST_TERMS}, or one text in quotation marks ("…").')
    return terms


def needs_pass(terms: list[Term]) -> bool:
    """Return whether a term is about the numbers of a pass."""
    return any(isinstance(term, Compared | Marked) for term in terms)


def _term(match: re.Match[str]) -> Term | None:
    if match["quoted"] is not None:
        text = match["quoted"].strip().lower()
        return Text(text) if text else None
    if match["line"] is not None:
        return LineNumber(int(match["line"]))
    if match["sign"] is not None:
        return _compared(match)
    word = match["word"].lower()
    return next((Marked(state) for state in STATES if state == word), Text(word))


def _compared(match: re.Match[str]) -> Compared:
    written = match[0].strip()
    if match["subject"].lower() not in ("grad", "gradient"):
        message = f"`{written}` is not a condition: use {_CONDITIONS}. Put a text with `{match['sign']}` in quotation marks."
        raise _invalid(message)
    try:
        limit = float(match["number"])
    except ValueError:
        limit = float("nan")
    if math.isnan(limit):
        example = "nan" if match["number"].lower() == "nan" else f"grad {match['sign']} 1e3"
        raise _invalid(f"The condition `{written}` has no number: write, for example, `{example}`.")
    return Compared(match["sign"], limit)


def _invalid(message: str) -> InvalidInput:
    return InvalidInput(message, where="q")

"""Write the explanation of a number as text for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..why import Why, shown

MOST_TERMS: Final = 12
"""Largest number of terms that are written."""


def written(answer: Why) -> Iterator[str]:
    """Yield the lines of an explanation: the number, the calculation of a gradient, and the terms with their addresses."""
    value = f" = {shown(answer.value)}" if answer.value is not None else ""
    line = f"   (line {answer.program_line})" if answer.program_line is not None else ""
    yield f"{answer.name}{value}{line}"
    yield f"  {answer.sentence.replace('`', '')}"
    if answer.note is not None:
        yield f"  {answer.note.replace('`', '')}"
    if answer.line is not None:
        yield f"  {answer.line}"
    for term in answer.terms[:MOST_TERMS]:
        source = f"{term.source.of}: {term.source.name}" if term.source is not None else ""
        yield f"  {term.share:>4.0%}  {shown(term.value):>12}  {term.text}   {source}".rstrip()
    left = len(answer.terms[MOST_TERMS:]) + answer.omitted
    if left:
        yield f"        and {left:,} smaller terms"
    for link in answer.reads[:MOST_TERMS]:
        yield f"  reads {link.of}: {link.name} = {shown(link.value)}"
    for op, definition in answer.published.items():
        yield f"  PyTorch defines {op}: {definition}"

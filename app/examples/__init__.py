"""Provide the gallery: small programs that run unchanged, each with a title and a summary.

A program is a file under ``programs/``. It starts with a comment: the first line is the title, the following lines are the
summary, which is not shown with the program. The first three programs are the sections of a notebook about autograd.
"""

from __future__ import annotations

from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Final

from msgspec import Struct

FIRST_VISIT: Final = "backpropagation"
"""Slug of the example that the home page opens with."""

_PROGRAMS: Final = Path(__file__).parent / "programs"
_GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "First steps": ("intro", "no-grad", "backpropagation"),
    "Training": ("fit-by-hand", "fit-with-sgd", "adam", "cross-entropy", "xor"),
    "Pitfalls": ("pitfall-rebound", "pitfall-accumulate", "pitfall-in-place"),
    "How gradients flow": ("fan-in", "broadcasting", "vanishing", "leaves", "detach", "no-backward"),
    "Further on": ("cube", "straight-through", "newton", "rnn", "attention"),
}
_FAILING: Final = frozenset({"pitfall-rebound", "pitfall-in-place"})


class Example(Struct, frozen=True):
    """A program of the gallery. ``fails`` is true for a program that demonstrates an error."""

    slug: str
    title: str
    summary: str
    group: str
    fails: bool
    program: str


@cache
def gallery() -> list[Example]:
    """Return all examples, group by group, the easy ones first."""
    return [_read(slug, group) for group, slugs in _GROUPS.items() for slug in slugs]


def example(slug: str) -> Example | None:
    """Return the example with a slug, or ``None``."""
    return next((each for each in gallery() if each.slug == slug), None)


def _read(slug: str, group: str) -> Example:
    title, *lines = (_PROGRAMS / f"{slug}.py").read_text(encoding="utf-8").splitlines(keepends=True)
    summary = list(takewhile(lambda line: line.startswith("# "), lines))
    text = " ".join(line[2:].strip() for line in summary)
    program = "".join([title, *lines[len(summary) :]])
    return Example(slug, title[2:].strip(), text, group, slug in _FAILING, program)

"""Hold the gallery: small programs that run as they are, each with a title and a sentence of its own.

A program is a file under ``programs/``. It opens with a comment: its first line is the title, the rest says what there is to
see, and is not shown with the program. The first three are the sections of the notebook that Tapedeck began with.
"""

from __future__ import annotations

from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Final

from msgspec import Struct

FIRST_VISIT: Final = "backpropagation"
"""The example that a first visit opens on."""

_PROGRAMS: Final = Path(__file__).parent / "programs"
_GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "First steps": ("intro", "no-grad", "backpropagation"),
    "Training": ("fit-by-hand", "fit-with-sgd", "cross-entropy", "xor"),
    "Pitfalls": ("pitfall-rebound", "pitfall-accumulate"),
    "How gradients flow": ("fan-in", "broadcasting", "vanishing", "detach", "no-backward"),
    "Further on": ("straight-through", "newton", "rnn", "attention"),
}
_FAILING: Final = frozenset({"pitfall-rebound"})


class Example(Struct, frozen=True):
    """A program of the gallery. ``fails``: it stops with an error, and that is what there is to see."""

    slug: str
    title: str
    summary: str
    group: str
    fails: bool
    program: str


@cache
def gallery() -> list[Example]:
    """All examples, in the order in which to show them: group by group, the easy ones first."""
    return [_read(slug, group) for group, slugs in _GROUPS.items() for slug in slugs]


def example(slug: str) -> Example | None:
    """The example of that name."""
    return next((each for each in gallery() if each.slug == slug), None)


def _read(slug: str, group: str) -> Example:
    title, *lines = (_PROGRAMS / f"{slug}.py").read_text(encoding="utf-8").splitlines(keepends=True)
    told = list(takewhile(lambda line: line.startswith("# "), lines))
    summary = " ".join(line[2:].strip() for line in told)
    return Example(slug, title[2:].strip(), summary, group, slug in _FAILING, "".join([title, *lines[len(told) :]]))

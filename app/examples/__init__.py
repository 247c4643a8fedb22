"""Provide the gallery: small programs that run unchanged, each with a title, a summary and tags.

A program is a file under ``programs/``. It starts with a comment: the first line is the title, the following lines are the
summary, and the last one, ``# Tags: …``, lists its concepts. Summary and tags are not shown with the program. The first three
programs are the sections of a notebook about autograd.
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
    "Training": ("fit-by-hand", "fit-with-sgd", "adam", "cross-entropy", "xor", "clipping"),
    "Pitfalls": ("pitfall-rebound", "pitfall-accumulate", "pitfall-in-place"),
    "How gradients flow": (
        "fan-in", "broadcasting", "vanishing", "leaves", "detach", "no-backward", "hooks", "adversarial",
    ),
    "Networks": ("convolution", "resnet-block", "rnn", "lstm", "embedding", "attention", "attention-block", "gpt"),
    "Generative models": ("autoencoder", "vae", "gan"),
    "Further on": ("cube", "straight-through", "newton", "maml", "pinn", "policy-gradient"),
}  # fmt: skip
_FAILING: Final = frozenset({"pitfall-rebound", "pitfall-in-place"})
_FINDINGS: Final = {
    "pitfall-rebound": "leaf-rebound",
    "pitfall-accumulate": "grad-accumulated",
    "pitfall-in-place": "saved-modified",
}
_TAGS: Final = "Tags: "


class Example(Struct, frozen=True):
    """A program of the gallery. ``fails`` is true for a program that demonstrates an error.

    ``tags`` are the concepts that it shows. ``finding`` is the code of the finding that it demonstrates, or empty.
    """

    slug: str
    title: str
    summary: str
    group: str
    fails: bool
    program: str
    tags: list[str] = []
    finding: str = ""


@cache
def gallery() -> list[Example]:
    """Return all examples, group by group, the easy ones first."""
    return [_read(slug, group) for group, slugs in _GROUPS.items() for slug in slugs]


def example(slug: str) -> Example | None:
    """Return the example with a slug, or ``None``."""
    return next((each for each in gallery() if each.slug == slug), None)


def _read(slug: str, group: str) -> Example:
    title, *lines = (_PROGRAMS / f"{slug}.py").read_text(encoding="utf-8").splitlines(keepends=True)
    head = list(takewhile(lambda line: line.startswith("# "), lines))
    comments = [line[2:].strip() for line in head]
    tags = comments.pop().removeprefix(_TAGS).split(", ") if comments[-1].startswith(_TAGS) else []
    program = "".join([title, *lines[len(head) :]])
    return Example(slug, title[2:].strip(), " ".join(comments), group, slug in _FAILING, program, tags, _FINDINGS.get(slug, ""))

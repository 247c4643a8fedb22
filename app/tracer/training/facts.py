"""Describe a pass that begins, with the facts that a step needs."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from torch import Tensor

from ...model import PassKind
from ..source.statements import LineContext


class PassFacts(Struct):
    """The facts about a pass that begins.

    ``here`` is the line that calls it. ``leaves`` maps parameters to their leaves. ``first_number`` is the sequence number of
    its oldest node. ``name`` is the variable of its root.
    """

    index: int
    kind: PassKind
    here: LineContext
    leaves: dict[int, Any]
    accumulates: bool
    root: Tensor | None
    first_number: int
    name: str | None = None

    def release(self) -> None:
        """Drop the tensors, and keep the parameters."""
        self.root = None
        self.leaves.update(dict.fromkeys(self.leaves))

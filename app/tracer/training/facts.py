"""State what a step has to know of a pass that begins."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from ...model import PassKind
from ..source.instrument import Here


@dataclass(slots=True)
class PassFacts:
    """What a step has to know of a pass that begins.

    ``here`` is where it is called, and ``rounds`` how often each of the loops there had gone round; ``leaves`` are by
    parameter; ``first_number`` is that of its oldest node; ``name`` is what its root was called.
    """

    index: int
    kind: PassKind
    here: Here
    leaves: dict[int, Tensor]
    accumulates: bool
    root: Tensor | None
    first_number: int
    rounds: list[int] = field(default_factory=list)
    name: str | None = None

"""Store the steps that replays have recorded whole, so that only the first reader of a summarized step waits for a replay."""

from __future__ import annotations

import zlib
from typing import Final

import msgspec
from msgspec import Struct

from .. import wire
from ..recording import WholeStep
from .derived import WHOLE, DerivedParts, unpack

LEVEL: Final = 1
"""Compression level of zlib. A higher level saves few bytes of numbers, and takes much longer."""
SHARE: Final = 0.5
"""Fraction of the space for all parts of a run up to which whole steps are stored. The rest is for curves."""


class _StoredStep(Struct, frozen=True, array_like=True):
    end: int
    """Number of events of the run."""
    step: wire.StepEvent
    passes: list[wire.PassEvent]


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(_StoredStep)


class StoredWholeSteps:
    """The stored whole steps of the run with the number ``run`` and ``end`` events. Several threads may use it."""

    def __init__(self, parts: DerivedParts, run: int, end: int) -> None:
        self._parts = parts
        self._run = run
        self._end = end

    def indices(self) -> set[int]:
        """Return the indices of the steps."""
        return {int(name.removeprefix(WHOLE)) for name in self._parts.names(self._run, WHOLE)}

    def read(self, index: int) -> WholeStep | None:
        """Return a step, or ``None`` if it is not stored."""
        name = f"{WHOLE}{index}"
        data = self._parts.read(self._run, [name]).get(name)
        stored = None if data is None else unpack(data, _decoder, self._end)
        return None if stored is None else WholeStep(stored.step, {each.index: each for each in stored.passes})

    def keep(self, whole: WholeStep) -> None:
        """Store a step, if there is room for it beside the other parts of the run."""
        data = zlib.compress(_encode(_StoredStep(self._end, whole.step, list(whole.passes.values()))), LEVEL)
        self._parts.keep(self._run, self._end, {f"{WHOLE}{whole.step.index}": data}, share=SHARE)

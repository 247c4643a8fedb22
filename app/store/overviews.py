"""Pack the overview of an ended run into one blob, so that reading the overview does not unpack the blocks of the run."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct

from .. import wire
from ..byte_cache import ByteCache
from ..recording import LineHistory, Overview
from .derived import OVERVIEW, DerivedParts, unpack

LEVEL: Final = 6
"""Compression level of zlib."""
CACHE_BYTES: Final = 16 * 1024 * 1024
"""Approximate size in memory of the overviews that are cached, in bytes."""
OBJECT_BYTES: Final = 6
"""Approximate bytes in memory for each byte of an unpacked overview."""


class Overviews:
    """Reads the overviews of runs, and caches the most recently read ones. Several threads may use it."""

    def __init__(self, parts: DerivedParts) -> None:
        self._parts = parts
        self._cache = ByteCache[tuple[int, int], Overview](CACHE_BYTES)

    def read(self, run: int, end: int, make: Callable[[], Overview], *, keep: bool) -> Overview:
        """Return the overview of the first ``end`` events of a run.

        If it is not stored, return the result of ``make``, and store that result if ``keep`` is true.
        """
        if (found := self._cache.get((run, end))) is not None:
            return found
        payload = self._parts.read(run, [OVERVIEW]).get(OVERVIEW)
        found = None if payload is None else unpack_overview(payload, end)
        if payload is None or found is None:
            found = make()
            payload = pack_overview(found, end)
            if keep:
                self._parts.keep(run, end, {OVERVIEW: payload})
        self._cache.put((run, end), found, OBJECT_BYTES * len(zlib.decompress(payload)))
        return found


class _PackedOverview(Struct, frozen=True, array_like=True):
    end: int
    """Number of events that the overview covers."""
    others: list[wire.AnyEvent]
    lines: wire.LinesEvent | None
    graph_sizes: bytes
    """int32: the number of nodes and edges of each graph."""
    history: list[tuple[list[int], bytes]]
    """Sets of lines, each with the steps in which exactly these lines ran (int32: differences from the step before)."""
    nonfinite: tuple[bytes, bytes]
    """int32: indices of passes with NaN or Inf, and of such steps."""


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(_PackedOverview)


def pack_overview(overview: Overview, end: int) -> bytes:
    """Pack the overview of ``end`` events."""
    passes, steps = overview.nonfinite
    packed = _PackedOverview(
        end,
        overview.others,
        overview.lines(),
        np.array(overview.graph_sizes, "<i4").tobytes(),
        [
            (lines, np.diff(np.array(steps, "<i4"), prepend=np.int32(0)).tobytes())
            for lines, steps in overview.history.entries()
        ],
        (_int32(passes), _int32(steps)),
    )
    return zlib.compress(_encode(packed), LEVEL)


def unpack_overview(data: bytes, end: int) -> Overview | None:
    """Undo :func:`pack_overview`. Return ``None`` as :func:`.derived.unpack` does."""
    packed = unpack(data, _decoder, end)
    if packed is None:
        return None
    sizes = np.frombuffer(packed.graph_sizes, "<i4").reshape(-1, 2)
    passes, steps = (np.frombuffer(indices, "<i4").tolist() for indices in packed.nonfinite)
    return Overview(
        packed.others,
        packed.lines,
        [(nodes, edges) for nodes, edges in sizes.tolist()],
        LineHistory((lines, array("i", np.cumsum(np.frombuffer(deltas, "<i4")).tolist())) for lines, deltas in packed.history),
        (passes, steps),
    )


def overview_of(events: Iterable[wire.AnyEvent]) -> Overview:
    """Return the overview of these events."""
    overview = Overview()
    for event in events:
        overview.add(event)
    return overview


def _int32(numbers: Sequence[int]) -> bytes:
    return np.array(numbers, "<i4").tobytes()

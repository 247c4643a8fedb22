"""Store parts that are derived from the blocks of ended runs, so that reading a part does not unpack the blocks.

A part that is missing, as in a run that was stored by an earlier version, is computed from the blocks again. A whole step comes
from a replay of the run instead.
"""

from __future__ import annotations

import logging
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection, Engine, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import OperationalError

from .. import model
from .schema import derived, runs

OVERVIEW: Final = "overview"
"""Name of the part packed by :func:`.overviews.pack_overview`."""
SERIES: Final = "series:"
"""Prefix of the names of the parts packed by :func:`.series.pack_series`. A key follows."""
WHOLE: Final = "whole:"
"""Prefix of the names of the parts packed by :mod:`.whole_steps`. The index of a step follows."""
FREE_BYTES: Final = 1024 * 1024
"""Size that the parts of any run may have together, in bytes. :data:`SHARE` adds to it for a large recording."""
SHARE: Final = 4
"""Number of bytes of a recording that allow its parts to have one more byte."""

log = logging.getLogger(__name__)

_GET = select(derived.c.name, derived.c.payload).where(
    derived.c.run == bindparam("run"), derived.c.name.in_(bindparam("names", expanding=True))
)


_NAMES = select(derived.c.name).where(derived.c.run == bindparam("run"), derived.c.name.startswith(bindparam("prefix")))


class DerivedPart(Protocol):
    """A part before it is compressed."""

    @property
    def end(self) -> int:
        """Number of events from which the part was derived."""


D = TypeVar("D", bound=DerivedPart)


def unpack(data: bytes, decoder: msgspec.msgpack.Decoder[D], end: int) -> D | None:
    """Return a part that was derived from ``end`` events.

    Return ``None`` for a part of another number of events, of another version, or with damage.
    """
    try:
        part = decoder.decode(zlib.decompress(data))
    except (zlib.error, msgspec.DecodeError):
        return None
    return part if part.end == end else None


class DerivedParts:
    """The stored parts of runs, by the number of the run and the name of the part.

    ``writing`` is the lock of the database, and ``grown`` is called with the bytes by which it has grown.
    """

    def __init__(self, engine: Engine, writing: threading.Lock, grown: Callable[[int], None]) -> None:
        self._engine = engine
        self._writing = writing
        self._grown = grown

    def read(self, run: int, names: Iterable[str]) -> dict[str, bytes]:
        """Return the stored parts of a run that have one of these names."""
        with self._engine.connect() as connection:
            rows = connection.execute(_GET, {"run": run, "names": list(names)})
            return {row.name: row.payload for row in rows}

    def names(self, run: int, prefix: str) -> list[str]:
        """Return the names of the stored parts of a run that begin with ``prefix``."""
        with self._engine.connect() as connection:
            return list(connection.execute(_NAMES, {"run": run, "prefix": prefix}).scalars())

    def keep(self, run: int, end: int, parts: Mapping[str, bytes], *, share: float = 1.0) -> None:
        """Store parts that were derived from the first ``end`` events of a run. They replace parts with the same names.

        They are not stored if the run was deleted, has not ended, or has more events. They are not stored either if all parts
        of the run would take more than the fraction ``share`` of their limit, or if the database cannot be written to.
        """
        try:
            self._keep(run, end, parts, share)
        except OperationalError:
            log.warning("Derived parts of run number %d could not be stored.", run, exc_info=True)

    def _keep(self, run: int, end: int, parts: Mapping[str, bytes], share: float) -> None:
        with self._writing, self._engine.begin() as connection:
            ended = select(runs.c.recording_bytes).where(
                runs.c.number == run, runs.c.events == end, runs.c.status.in_(model.FINAL)
            )
            recording_bytes = connection.execute(ended).scalar_one_or_none()
            if recording_bytes is None:
                return
            sizes = select(derived.c.name, func.length(derived.c.payload).label("bytes")).where(derived.c.run == run)
            stored = {row.name: row.bytes for row in connection.execute(sizes)}
            room = FREE_BYTES + (recording_bytes - sum(stored.values())) // SHARE
            others = sum(size for name, size in stored.items() if name not in parts)
            if others + sum(map(len, parts.values())) > share * room:
                return
            connection.execute(delete(derived).where(derived.c.run == run, derived.c.name.in_(list(parts))))
            size = insert_parts(connection, run, parts) + others - sum(stored.values())
            connection.execute(update(runs).where(runs.c.number == run).values(recording_bytes=runs.c.recording_bytes + size))
            self._grown(size)


def insert_parts(connection: Connection, run: int, parts: Mapping[str, bytes]) -> int:
    """Insert parts of a run that has none with these names, and return their size in bytes."""
    if parts:
        connection.execute(insert(derived), [{"run": run, "name": name, "payload": payload} for name, payload in parts.items()])
    return sum(map(len, parts.values()))

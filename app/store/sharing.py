"""Read events of a run from its blocks in another process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from msgspec import Struct
from sqlalchemy import create_engine

from .derived import DerivedParts
from .log import BlockCache, StoredLog
from .overviews import Overviews
from .series import StoredSeries


class BlocksInStore(Struct, frozen=True):
    """The events of a run before the position ``end`` in the database at a path: the arguments of its :class:`StoredLog`."""

    database: str
    run: int
    counts: tuple[int, int, int]
    end: int


def blocks_of(log: StoredLog) -> BlocksInStore:
    """Return where the events of a log are stored."""
    return BlocksInStore(log.database, log.run, log.counts(), log.end)


@contextlib.contextmanager
def reading(blocks: BlocksInStore) -> Iterator[StoredLog]:
    """Open the log of events that another process stored."""
    engine = create_engine(f"sqlite:///{blocks.database}")
    try:
        parts = DerivedParts(engine, threading.Lock(), lambda size: None)
        yield StoredLog(BlockCache(engine), Overviews(parts), StoredSeries(parts), blocks.run, blocks.counts, blocks.end)
    finally:
        engine.dispose()

"""Keep the store beside the event loop, and what was used last in memory, so that a picture of it needs no reading."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from .. import model
from ..store import RunRow, Store
from .run import LiveRun, RecordedRun, StoredRun

T = TypeVar("T")
Json = bytes

SWEEP_SECONDS: Final = 600.0
RECENT_BYTES: Final = 16 * 1024 * 1024
RECENT_RUNS: Final = 512
HELD_BYTES: Final = 4 * 1024 * 1024
"""Events of a run that goes on are held in memory up to this size; beyond it, those are left to the store that it has."""

log = logging.getLogger(__name__)


class Archive:
    """All runs that are kept. Made and used on one event loop; the store's own work is done in threads."""

    def __init__(self, store: Store, limits: model.Limits) -> None:
        self._store = store
        self._limits = limits
        self._recent: OrderedDict[str, RecordedRun] = OrderedDict()
        self._recent_bytes = 0
        self._writer = ThreadPoolExecutor(1, "store-write")
        self._readers = ThreadPoolExecutor(2, "store-read")
        self._sweeping: asyncio.Task[None] | None = None

    @property
    def bytes(self) -> int:
        """Size of all recordings, as stored."""
        return self._store.bytes

    async def start(self) -> None:
        """Mark what a stop cut off, get ready to read, and begin to sweep."""
        if cut_off := await self._write(self._store.interrupt):
            log.info("%d runs were cut off by the last stop", cut_off)
        await self.beside(self._store.prepare)
        self._sweeping = asyncio.get_running_loop().create_task(self._sweep())

    async def close(self) -> None:
        """Finish what is being written, and close the store."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        self._writer.shutdown()
        self._readers.shutdown()
        self._store.close()

    async def find(self, id: str) -> RecordedRun | None:
        """The run with an id, if it is kept."""
        if (recent := self._recent.get(id)) is not None:
            self._recent.move_to_end(id)
            return recent
        stored = await self.beside(self._store.get, id) if len(id) == 32 else None
        return None if stored is None else self._from_store(stored)

    async def by_idempotency(self, key: str) -> RecordedRun | None:
        """The run that was asked for with a key."""
        stored = await self.beside(self._store.by_idempotency, key)
        return None if stored is None else self._from_store(stored)

    async def of_owner(self, owner: str, count: int, before: tuple[float, int] | None = None) -> list[StoredRun]:
        """An owner's runs, newest first, from the one older than ``before`` (created, number) on."""
        found: Sequence[RunRow] = await self.beside(self._store.of_owner, owner, count, before)
        return [StoredRun(run, self._store.log(run), self._limits) for run in found]

    async def save(self, recorded: LiveRun, status: model.Status) -> None:
        """Write what a run has told since the last time; the caller holds ``take.writing``. Raises :class:`StoreFull`."""
        first = recorded.sealed
        batch = recorded.events[first - recorded.forgotten :]
        known = recorded.new if recorded.number is None else recorded.number
        writing = asyncio.ensure_future(self._write(self._store.write, known, batch, first, recorded.outcome(status)))
        try:
            await asyncio.shield(writing)
        finally:  # a thread cannot be called back: even if this is cancelled, what it writes is written
            written = await writing
            recorded.number, recorded.sealed, recorded.written = written.number, written.sealed, first + len(batch)
        if recorded.size > HELD_BYTES:
            recorded.forget(lambda counts, end: self._store.log_of(written.number, counts, end))

    async def replay(self, run: str, id: str) -> Json | None:
        """The answer of a replay that was made, if it is kept."""
        return await self.beside(self._store.replay, run, id)

    async def keep_replay(self, run: str, id: str, answer: Json) -> bool:
        """Keep the answer of a replay with its run, as long as there is room; tells whether it is kept."""
        if self.bytes + len(answer) > self._limits.store_bytes:
            return False
        return await self._write(self._store.keep_replay, run, id, answer)

    async def flush(self, recorded: RecordedRun) -> None:
        """Write what a run that goes on has told so far, so that it outlives this process."""
        if isinstance(recorded, LiveRun) and recorded.kept and not recorded.ended:
            async with recorded.writing:
                if not recorded.ended and (recorded.number is None or recorded.written < recorded.count):
                    await self.save(recorded, recorded.status)

    async def delete(self, id: str) -> None:
        """Delete a run and all that was recorded of it."""
        await self._write(self._store.delete, id)
        self.forget(id)

    def remember(self, recorded: RecordedRun) -> None:
        """Keep a run that has ended in memory, as long as there is room."""
        if recorded.kept and recorded.size <= RECENT_BYTES // 4:
            self.forget(recorded.id)
            self._recent[recorded.id] = recorded
            self._recent_bytes += recorded.size
        while self._recent_bytes > RECENT_BYTES or len(self._recent) > RECENT_RUNS:
            self.forget(next(iter(self._recent)))

    def forget(self, id: str) -> None:
        """Leave a run to the store alone."""
        if (recorded := self._recent.pop(id, None)) is not None:
            self._recent_bytes -= recorded.size

    async def beside(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do something that takes long, or reads the store, beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, work, *arguments)

    async def _write(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work, *arguments)

    def _from_store(self, stored: RunRow) -> RecordedRun:
        recorded = StoredRun(stored, self._store.log(stored), self._limits)
        if recorded.ended:
            self.remember(recorded)
        return recorded

    async def _sweep(self) -> None:
        while True:
            try:
                if count := await self._write(self._store.sweep, time.time()):
                    log.info("%d runs were deleted: their time had come", count)
                now = time.time()
                for id in [
                    id
                    for id, recorded in self._recent.items()
                    if recorded.new.expires is not None and recorded.new.expires <= now
                ]:
                    self.forget(id)
            except Exception:
                log.exception("runs whose time has come could not be deleted")
            await asyncio.sleep(SWEEP_SECONDS)

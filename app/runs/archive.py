"""Access the store from the event loop, through threads and a cache of recent runs."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from msgspec import structs

from .. import model
from ..recording import WholeStepCache, WholeSteps, usual_keys
from ..store import MANY_STEPS, RunRow, Store, Written
from .clock import ExpiryClock
from .run import OURS, LiveRun, RecordedRun, StoredRun

T = TypeVar("T")
Json = bytes

SWEEP_SECONDS: Final = 600.0
"""Seconds between two searches for expired runs."""
ROOM_SHARE: Final = 64
"""When the store is full, a sixty-fourth of it is freed, so that not every run deletes another one."""
RECENT_SHARE: Final = 16
"""Ended runs that are cached in memory take at most this fraction of the memory for recordings: a sixteenth."""
RECENT_RUNS: Final = 512
"""Number of ended runs that are cached in memory."""
WHOLE_BYTES: Final = 32 * 1024 * 1024
"""Size of the steps that replays have recorded whole and that are kept in memory, for all runs together."""
LIVE_BYTES: Final = 4 * 1024 * 1024
"""Size of a live run's events above which stored events are dropped from memory."""

log = logging.getLogger(__name__)


class Archive:
    """All stored runs. Create and use an instance on one event loop; the store itself is used in threads."""

    def __init__(self, store: Store, limits: model.Limits, memory_bytes: int = 512 * 1024 * 1024) -> None:
        self._store = store
        self.memory_bytes = memory_bytes
        """Size that live and recent runs may take in memory together."""
        self._limits = limits
        self._recent: OrderedDict[str, RecordedRun] = OrderedDict()
        self._recent_bytes = 0
        self._whole_steps = WholeStepCache(WHOLE_BYTES, largest=2 * WHOLE_BYTES)
        self._writer = ThreadPoolExecutor(1, "store-write")
        self._readers = ThreadPoolExecutor(2, "store-read")
        self._sweeping: asyncio.Task[None] | None = None
        self.clock = ExpiryClock(store.latest())
        """The time that decides whether a run has expired."""

    @property
    def recent_bytes(self) -> int:
        """Size of the ended runs that are cached in memory, in bytes."""
        return self._recent_bytes

    @property
    def bytes(self) -> int:
        """Size of all recordings in the store, in bytes."""
        return self._store.bytes

    async def start(self) -> None:
        """Mark the runs that the server's stop interrupted, prepare the readers, and start to delete expired runs."""
        if interrupted := await self._write(self._store.interrupt):
            log.info("The last stop interrupted %d runs.", interrupted)
        await self.beside(self._store.prepare)
        self._sweeping = asyncio.get_running_loop().create_task(self._sweep())

    async def close(self) -> None:
        """Finish pending writes and close the store."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        self._writer.shutdown()
        self._readers.shutdown()
        self._store.close()

    async def probe(self) -> str | None:
        """Return why a run cannot be stored at the moment, or ``None``."""
        return await self._write(self._store.probe, self._limits.recording_bytes)

    async def find(self, id: str) -> RecordedRun | None:
        """Return the run with an id, or ``None`` if it is not stored."""
        if (recent := self._recent.get(id)) is not None:
            if self._expired(recent.new.expires):
                return None
            self._recent.move_to_end(id)
            return recent
        stored = await self.beside(self._store.get, id) if len(id) == 32 else None
        return None if stored is None or self._expired(stored.expires) else self._from_store(stored)

    async def by_idempotency(self, key: str) -> RecordedRun | None:
        """Return the run that was started with an idempotency key, or ``None``."""
        stored = await self.beside(self._store.by_idempotency, key)
        if stored is not None and self._expired(stored.expires):
            await self.delete(stored.id)  # another run may use the key now
            return None
        return None if stored is None else self._from_store(stored)

    async def of_owner(self, owner: str, count: int, before: tuple[float, int] | None = None) -> list[StoredRun]:
        """Return up to ``count`` runs of an owner, newest first.

        ``before`` is the time of creation and the number of a run; only older runs are returned.
        """
        found: Sequence[RunRow] = await self.beside(self._store.of_owner, owner, count, before)
        return [StoredRun(run, self._store.log(run), self._limits) for run in found if not self._expired(run.expires)]

    def pack(self, recorded: LiveRun) -> None:
        """Begin to pack the events of a run that gets no further ones. :meth:`save` uses the result."""
        if recorded.kept:
            first = recorded.sealed
            run = recorded.new if recorded.number is None else recorded.number
            batch = recorded.events[first - recorded.forgotten :]
            recorded.packing = self._writer.submit(self._store.pack, run, batch, first)

    async def save(self, recorded: LiveRun, status: model.Status) -> None:
        """Write the status of a run, and its events, except those that the store already has in full blocks.

        The caller must have acquired ``recorded.writing``. Raises :class:`StoreFull`.
        """
        first = recorded.sealed
        batch = recorded.events[first - recorded.forgotten :]
        run = recorded.new if recorded.number is None else recorded.number
        overview = recorded.overview if status in model.FINAL else None
        packing, recorded.packing = recorded.packing, None

        def write() -> Written:  # in the thread that has packed the events before
            packed = None if packing is None else packing.result()
            return self._store.write(run, batch, first, outcome, overview, packed)

        outcome = recorded.outcome(status)
        writing = asyncio.ensure_future(self._write(write))
        try:
            await asyncio.shield(writing)
        finally:  # a thread cannot be cancelled: wait for its result even if this task is cancelled
            written = await writing
            recorded.number, recorded.sealed, recorded.written = written.number, written.sealed, first + len(batch)
        if recorded.size > LIVE_BYTES:
            recorded.forget(lambda counts, end: self._store.log_of(written.number, counts, end))

    def whole_steps_of(self, recorded: RecordedRun) -> WholeSteps:
        """Return the steps of an ended run that replays have recorded whole."""
        stored = None
        if isinstance(recorded, StoredRun):
            stored = self._store.whole_steps(recorded.stored.number, recorded.stored.events)
        elif isinstance(recorded, LiveRun) and recorded.number is not None:
            stored = self._store.whole_steps(recorded.number, recorded.count)
        return self._whole_steps.of_run(recorded.id, stored)

    async def replay(self, run: str, id: str) -> Json | None:
        """Return the stored result of a replay, or ``None``."""
        return await self.beside(self._store.replay, run, id)

    async def keep_replay(self, run: str, id: str, result: Json) -> bool:
        """Store the result of a replay with its run, if there is room for it. Return whether it is stored."""
        if self.bytes + len(result) > self._limits.store_bytes:
            return False
        return await self._write(self._store.keep_replay, run, id, result)

    async def flush(self, recorded: RecordedRun) -> None:
        """Write the events of a live run that the store does not have yet, so that they survive this process."""
        if isinstance(recorded, LiveRun) and recorded.kept and not recorded.ended:
            async with recorded.writing:
                if not recorded.ended and (recorded.number is None or recorded.written < recorded.count):
                    await self.save(recorded, recorded.status)

    async def make_room(self) -> bool:
        """Delete runs of the owners who use most of the store, until it has room. Return whether it has room.

        See :mod:`tapedeck.store.shares`. The recordings of examples and lessons stay.
        """
        if self.bytes >= self._limits.store_bytes:
            most = self._limits.store_bytes - self._limits.store_bytes // ROOM_SHARE
            deleted = await self._write(self._store.make_room, most, (OURS,))
            for id in deleted:
                self.forget(id)
            log.info("Deleted %d runs, because the store was full.", len(deleted))
        return self.bytes < self._limits.store_bytes

    async def mark(self, recorded: RecordedRun, *, title: str | None, pinned: bool) -> None:
        """Set the title of a run, and whether it is pinned. Raises :class:`StoreFull`."""
        await self._write(partial(self._store.mark, recorded.id, title=title, pinned=pinned))
        recorded.new = structs.replace(recorded.new, title=title, pinned=pinned)

    async def delete(self, id: str) -> None:
        """Delete a run and its recording."""
        await self._write(self._store.delete, id)
        self.forget(id)

    async def prepare(self, recorded: LiveRun) -> None:
        """Store the curves of a long run that has ended, so that its first reader does not wait for them."""
        steps = recorded.counts[2]
        if recorded.number is not None and steps >= MANY_STEPS:
            keys = usual_keys([parameter.shape for parameter in recorded.recording.parameters()])
            stored = self._store.log_of(recorded.number, recorded.counts, recorded.count)
            try:
                await self.beside(stored.series, keys, 0, steps)
            except Exception:
                log.exception("The curves of run %s could not be stored.", recorded.id)

    def remember(self, recorded: RecordedRun) -> None:
        """Add an ended run to the cache, and drop the least recently used runs that no longer fit.

        A long run is read from the store, which has its curves and its overview.
        """
        most = self.memory_bytes // RECENT_SHARE
        if recorded.kept and recorded.size <= most // 4 and recorded.counts[2] < MANY_STEPS:
            self.forget(recorded.id)
            self._recent[recorded.id] = recorded
            self._recent_bytes += recorded.size
        self.release(most)

    def release(self, most: int) -> None:
        """Drop the least recently used runs from the cache until it has at most ``most`` bytes."""
        while self._recent and (self._recent_bytes > most or len(self._recent) > RECENT_RUNS):
            self.forget(next(iter(self._recent)))

    def forget(self, id: str) -> None:
        """Drop a run from the cache."""
        if (recorded := self._recent.pop(id, None)) is not None:
            self._recent_bytes -= recorded.size

    async def beside(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run work in a thread, because it is slow or reads the store."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, work, *arguments)

    async def _write(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work, *arguments)

    def _from_store(self, stored: RunRow) -> RecordedRun:
        recorded = StoredRun(stored, self._store.log(stored), self._limits)
        recorded.recording.read_whole(self.whole_steps_of(recorded))
        if recorded.ended:
            self.remember(recorded)
        return recorded

    def _expired(self, expires: float | None) -> bool:
        return expires is not None and expires <= self.clock.now()

    async def _sweep(self) -> None:
        while True:
            try:
                if self.clock.certain and (count := await self._write(self._store.sweep, self.clock.now())):
                    log.info("Deleted %d expired runs.", count)
                for id in [id for id, recorded in self._recent.items() if self._expired(recorded.new.expires)]:
                    self.forget(id)
            except Exception:
                log.exception("Expired runs could not be deleted.")
            await asyncio.sleep(SWEEP_SECONDS)

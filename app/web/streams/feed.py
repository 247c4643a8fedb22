"""Encode the events of a run once for all of its listeners, and announce new ones a few times a second."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Final

from ... import model, wire
from ...byte_cache import ByteCache
from ...changes import Changes
from ...errors import RecordingDamaged
from ...runs.archive import Archive
from ...runs.run import LiveRun, RecordedRun, StoredRun
from .stream import COMMENT, Chunk, encode, encode_end, is_heavy, sse

QUIET_SECONDS: Final = 15.0
"""Seconds without an event after which a comment is sent, so that proxies keep the connection open."""
MOST_COMMENTS: Final = 20
"""Comments in a row after which a stream is closed. A browser then opens it again, and resumes after the last event."""
CHUNK: Final = 64
"""Events that are encoded together. A chunk starts at a multiple of this number."""
CACHE_BYTES: Final = 16 * 1024 * 1024
"""Total size of the encoded events that are cached for all runs."""
INTERVAL: Final = 0.2
"""Shortest time in seconds between two announcements of new events."""
LISTENER_SECONDS: Final = 0.001
"""Seconds that each listener adds to ``INTERVAL``: waking many listeners takes long, so it is done less often."""


class Feeds:
    """The feeds of all runs that have listeners. Create and use an instance on one event loop."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._cache = ByteCache[tuple[str, int], Chunk](CACHE_BYTES)
        self._feeds: dict[tuple[str, str], Feed] = {}

    async def follow(self, recorded: RecordedRun, after: int, root: str) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a run's stream: all events after the one with id ``after`` (-1 for all events)."""
        with self._listen(recorded, root) as feed:
            position, comments, shown = after + 1, 0, None
            while comments < MOST_COMMENTS:
                if (queue := feed.queue()) is not None and queue != shown:
                    shown = queue
                    yield sse("queue", queue)
                try:
                    read = await feed.read(position)
                except RecordingDamaged as error:  # without an end, the client would try again
                    yield sse("end", {"status": recorded.status, "reason": str(error)})
                    break
                if read is None:
                    break
                data, position = read
                comments = comments + 1 if data is COMMENT else 0
                if data:
                    yield data

    @contextlib.contextmanager
    def _listen(self, recorded: RecordedRun, root: str) -> Iterator[Feed]:
        key = (recorded.id, root)
        if (feed := self._feeds.get(key)) is None:
            feed = self._feeds[key] = Feed(self._archive, recorded, root, self._cache)
        feed.listeners += 1
        try:
            yield feed
        finally:
            feed.listeners -= 1
            if not feed.listeners:
                del self._feeds[key]
                feed.close()


class Feed:
    """The encoded events of one run. One task waits for changes of the run, however many listeners there are."""

    def __init__(self, archive: Archive, recorded: RecordedRun, root: str, cache: ByteCache[tuple[str, int], Chunk]) -> None:
        self.listeners = 0
        self._archive = archive
        self._recorded = recorded
        self._root = root
        self._cache = cache
        self._published = 0
        """Number of events that listeners can read."""
        self._ending: Chunk | None = None
        """Findings and status, once the run has ended."""
        self._comments = 0
        self._changes = Changes()
        self._tail: Chunk | None = None
        """The encoded part of the last chunk, which is not full yet."""
        self._loading: dict[int, asyncio.Task[Chunk | None]] = {}
        self._publish()
        self._following = None if self._ending else asyncio.get_running_loop().create_task(self._follow())

    def close(self) -> None:
        """Stop following the run."""
        for task in filter(None, (self._following, *self._loading.values())):
            task.cancel()

    def queue(self) -> model.QueuePosition | None:
        """Return the position of the run in the queue, or ``None`` if it does not wait for its turn."""
        queue = self._recorded.queue()
        return queue if isinstance(queue, model.QueuePosition) else None

    async def read(self, position: int) -> tuple[bytes, int] | None:
        """Return the bytes of some events from ``position`` on, and the position after them. Wait if there are none yet.

        After ``QUIET_SECONDS`` without an event, return ``COMMENT`` and ``position``. If only the run's position in the queue
        has changed, return no bytes and ``position``. Return ``None`` after the last event, or once the run has been deleted.
        """
        while position >= self._published:
            if self._ending is not None:
                return None if position >= self._ending.stop else (self._ending.since(position), self._ending.stop)
            comments, queue = self._comments, self.queue()
            await self._changes.next.wait()
            if self._comments > comments:
                return COMMENT, position
            if self.queue() != queue:
                return b"", position
        while (chunk := await self._chunk(position // CHUNK)) is not None:
            if position < chunk.stop:
                return chunk.since(position), chunk.stop
        return None

    # -- follow the run

    async def _follow(self) -> None:
        recorded, loop = self._recorded, asyncio.get_running_loop()
        assert isinstance(recorded, LiveRun)
        while self._ending is None:
            if recorded.count == self._published and not _over(recorded):
                if not await set_within(QUIET_SECONDS, recorded.changes.next):
                    self._comments += 1
                    self._changes.announce()
                elif recorded.status == "queued":  # its position may have changed
                    self._changes.announce()
                continue
            self._publish()
            due = loop.time() + INTERVAL + LISTENER_SECONDS * self.listeners
            while not _over(recorded) and (left := due - loop.time()) > 0:
                await set_within(left, recorded.changes.next)

    def _publish(self) -> None:
        """Let listeners read all events so far, and the end if the run is over."""
        recorded = self._recorded
        self._published = event_count(recorded)
        if _over(recorded):
            self._ending = encode_end(recorded, self._published, self._root)
            if self._tail is not None and self._tail.stop == self._published:
                self._keep(self._tail.first // CHUNK, self._tail)
        self._changes.announce()

    # -- encode

    async def _chunk(self, number: int) -> Chunk | None:
        """Return a chunk, as far as it is published; ``None`` if the run has been deleted."""
        if (cached := self._cache.get((self._recorded.id, number))) is not None:
            return cached
        if (loading := self._loading.get(number)) is None:
            first, stop = number * CHUNK, min((number + 1) * CHUNK, self._published)
            begun = self._tail if self._tail is not None and self._tail.first == first else None
            if begun is not None and begun.stop >= stop:
                return begun
            start = begun.stop if begun is not None else first
            earlier, events = self._events(start, stop)
            if not earlier and not is_heavy(events):
                return self._keep(number, _joined(begun, encode(events, start)))
            work = functools.partial(encode, chain(earlier or (), events), start)
            loading = self._loading[number] = asyncio.get_running_loop().create_task(self._load(number, begun, stop, work))
        return await asyncio.shield(loading)

    async def _load(self, number: int, begun: Chunk | None, stop: int, work: Callable[[], Chunk]) -> Chunk | None:
        try:
            chunk = await self._archive.beside(work)
        finally:
            del self._loading[number]
        return self._keep(number, _joined(begun, chunk)) if chunk.stop == stop else None

    def _keep(self, number: int, chunk: Chunk) -> Chunk:
        """Keep a chunk for other listeners. A chunk that may still grow is kept as the tail."""
        if len(chunk.ends) == CHUNK or (self._ending is not None and chunk.stop == self._published):
            self._cache.put((self._recorded.id, number), chunk, _size(chunk))
        elif self._tail is None or self._tail.first <= chunk.first:
            self._tail = chunk
        return chunk

    def _events(self, start: int, stop: int) -> tuple[Iterator[wire.AnyEvent] | None, Sequence[wire.AnyEvent]]:
        """Return the events in the store, which a thread must read, and the later events in memory."""
        recorded = self._recorded
        if isinstance(recorded, StoredRun):
            return (event for _, event in islice(recorded.stored_log.all(start), stop - start)), ()
        assert isinstance(recorded, LiveRun)
        first = recorded.forgotten
        events = recorded.events[max(0, start - first) : max(0, stop - first)]
        if start >= first or recorded.earlier is None:
            return None, events
        return (event for _, event in islice(recorded.earlier.all(start), min(first, stop) - start)), events


def _joined(begun: Chunk | None, following: Chunk) -> Chunk:
    return following if begun is None else begun.joined(following)


def _size(chunk: Chunk) -> int:
    return len(chunk.data) + 40 * len(chunk.ends) + 200


def event_count(recorded: RecordedRun) -> int:
    """Return the number of events of a run so far."""
    if isinstance(recorded, StoredRun):
        return recorded.stored.events
    assert isinstance(recorded, LiveRun)
    return recorded.count


def last_id(recorded: RecordedRun) -> int | None:
    """Return the id of the last event in a run's stream, or ``None`` while the run is in progress."""
    return event_count(recorded) + len(recorded.findings) if recorded.ended else None


def _over(recorded: RecordedRun) -> bool:
    """Return whether the run will have no further events."""
    return recorded.ended or isinstance(recorded, StoredRun) or (isinstance(recorded, LiveRun) and recorded.failure is not None)


async def set_within(seconds: float, changed: asyncio.Event) -> bool:
    """Wait at most ``seconds`` for a change. Return whether there was one."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await changed.wait()
    return changed.is_set()

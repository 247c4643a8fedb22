"""Manage the life of a run: admit it, execute it, record its events, store it, and find it again.

A live run is in memory, and its events are written to the store as they arrive. A short run is written once, at its end.
A run that has just ended stays in memory for a while, so that the store is not read to draw it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Coroutine
from typing import Any, Final, Protocol

from .. import model, wire
from ..errors import Busy, NotAllowed, NotFound, SandboxError, StoreFull
from ..executor import Executor, cancelled_before_start, job_for
from ..inputs.request import Request
from ..settings import Settings
from ..store import NewRun
from .archive import Archive
from .run import LiveRun, RecordedRun, StoredRun
from .slots import Slots
from .titles import cleaned
from .turns import Client

HEAVY_BYTES: Final = 16 * 1024 * 1024
"""Size of a live run's events in memory above which they are written to the store before further events are read."""
FLUSH_SECONDS: Final = 0.5
"""Seconds after which the events of a live run are written to the store."""
DISPLACED: Final = (
    "The program was stopped because the recordings in this server's memory became too large. Record fewer steps, or fewer "
    "elements of each tensor with the option `values`."
)
POSITION_SECONDS: Final = 1.0
"""Seconds between two wake-ups of the listeners of queued runs, so that they see how the positions change."""
STOPPING: Final = "This server is stopping: try again in a moment."
STOPPING_SECONDS: Final = 5.0
"""Seconds after which a client may try again if a stopping server refused its request."""

log = logging.getLogger(__name__)


class FindingsOfRun(Protocol):
    """The findings of a run, and the codes of the rules that did not finish."""

    @property
    def findings(self) -> list[model.Finding]: ...
    @property
    def omitted(self) -> list[str]: ...


class Finder(Protocol):
    """Makes the findings of runs in bounded time, and not on the event loop."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...
    async def find(self, recorded: LiveRun) -> FindingsOfRun:
        """Return the findings of a run that has no further events."""


class Runs:
    """All runs of this server. Create and use an instance on one event loop."""

    def __init__(self, settings: Settings, archive: Archive, executor: Executor, finder: Finder, concurrent: int) -> None:
        self._settings = settings
        self._limits = settings.limits
        self._archive = archive
        self._executor = executor
        self._finder = finder
        self.slots = Slots(concurrent, settings.queue, settings.queue_per_session, settings.limits.wall_seconds)
        self._live: dict[str, LiveRun] = {}
        self._by_key: dict[str, LiveRun] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._executing: set[asyncio.Task[Any]] = set()
        self._background: set[asyncio.Task[Any]] = set()
        self._announcing: asyncio.Task[Any] | None = None
        self._closing = False
        self.ended: dict[model.Status, int] = {}
        """Number of runs that ended with each status since the server started."""

    def drain(self) -> None:
        """Refuse new runs and those that wait for a slot. The runs that are executing continue."""
        self._closing = True
        for recorded in self._live.values():
            if recorded.status == "queued":
                recorded.cancelled.set()

    async def close(self) -> None:
        """Stop every run and store it as ``interrupted``, with its recording so far."""
        self.drain()
        for task in [*self._executing, *self._background]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._background, return_exceptions=True)

    @property
    def running(self) -> int:
        """Number of runs that are executing."""
        return len(self._executing)

    @property
    def waiting(self) -> int:
        """Number of runs and replays that wait for a slot."""
        return self.slots.waiting

    # -- admit

    def check_room(self, client: Client) -> None:
        """Raise the :class:`TooMany` or :class:`Busy` that :meth:`submit` would raise. Call this before work for a new run."""
        if self._closing:
            raise Busy(STOPPING, retry_after=STOPPING_SECONDS)
        self.slots.check_room(client)

    async def submit(
        self,
        request: Request,
        owner: str,
        *,
        client: Client | None = None,
        key: str | None = None,
        fingerprint: str | None = None,
        address: str | None = None,
        replaced: str | None = None,
        lasting: bool = False,
    ) -> RecordedRun:
        """Start a run, or return the run that was started with the same idempotency key.

        ``client`` takes turns with the other clients; by default, it is the owner. ``address`` is a digest of the client's
        address, which is stored with the run. The run has the id ``replaced`` instead of a random one; a stored run with this
        id is deleted. A ``lasting`` run never expires.

        Raises :class:`TooMany` if the client has too many runs in the queue, :class:`Busy` if the queue is full or the server
        is stopping, and :class:`StoreFull` if the store is full.
        """
        has_room = not request.store or await self._archive.make_room()
        if key is not None and (earlier := await self._earlier(key)) is not None:
            return earlier
        self.check_room(client or Client(owner, ""))
        if not has_room:
            raise StoreFull('There is no room for another recording: delete old runs, or send "store": false.')
        if replaced is not None:
            await self._archive.delete(replaced)
        ticket = self.slots.admit(client or Client(owner, ""), len(request.program.text))
        now = time.time()
        days = 0 if lasting else self._settings.keep_days
        new = NewRun(
            id=replaced or secrets.token_hex(16),
            owner=owner,
            program=request.program,
            options=request.options,
            created=now,
            expires=self._archive.clock.now() + days * 86_400 if days else None,
            idempotency=key if request.store else None,
            fingerprint=fingerprint,
            address=address,
            title=cleaned(request.title or "") or None,
        )
        recorded = LiveRun(new, self._limits, kept=request.store)
        recorded.ticket = ticket
        self._live[new.id] = recorded
        if key is not None:
            self._by_key[key] = recorded
        self._spawn(self._manage(recorded, key), self._tasks)
        if self._announcing is None or self._announcing.done():
            self._announcing = self._spawn(self._announce_positions(), self._background)
        return recorded

    async def _earlier(self, key: str) -> RecordedRun | None:
        if (live := self._by_key.get(key)) is not None:
            return live
        stored = await self._archive.by_idempotency(key)
        if (live := self._by_key.get(key)) is not None:  # started during the lookup
            return live
        return stored

    # -- execute, record, publish

    async def _manage(self, recorded: LiveRun, key: str | None) -> None:
        """Execute and store a run."""
        flush = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush_later, recorded)
        status: model.Status = "interrupted"
        try:
            try:
                await self._execute(recorded)
            except asyncio.CancelledError:  # the server is stopping
                pass
            except Exception as error:
                recorded.failure = error
            if recorded.end is not None:
                status = recorded.end.status  # type: ignore[assignment]  # an executor's end has a status
            if recorded.failure is None or recorded.number is not None:
                await self._finish(recorded, status)
        except Exception as error:
            recorded.failure = error
            if not isinstance(error, StoreFull):
                log.exception("Run %s could not be stored.", recorded.id)
        finally:
            flush.cancel()
            self._live.pop(recorded.id, None)
            if key is not None and self._by_key.get(key) is recorded:
                del self._by_key[key]  # from now on, the run is found in the store
            recorded.changes.announce()

    async def _execute(self, recorded: LiveRun) -> None:
        task, ticket = asyncio.current_task(), recorded.ticket
        assert task is not None
        assert ticket is not None
        try:
            has_slot = await self.slots.acquire(ticket, recorded.cancelled)
            if self._closing:
                raise Busy(STOPPING, retry_after=STOPPING_SECONDS)
            if not has_slot:
                recorded.append([cancelled_before_start()])
                return
            self._executing.add(task)
            recorded.status = "running"
            recorded.changes.announce()
            job = job_for(recorded.new.program, recorded.new.options, self._limits)
            events = self._executor.run(job, limits=self._limits, cancelled=recorded.cancelled, client=ticket.client.key)
            async with contextlib.aclosing(events) as batches:  # type: ignore[type-var]
                async for batch in batches:
                    recorded.append(_displaced(batch) if recorded.displaced else batch)
                    await self._make_room(recorded)  # during this time, nobody reads the pipe, so the program waits
            if recorded.end is not None:  # the run still has its slot, so that clients share this time too
                self._archive.pack(recorded)
                found = await self._finder.find(recorded)
                recorded.findings, recorded.findings_omitted = found.findings, found.omitted
        finally:
            self._executing.discard(task)
            self.slots.release(ticket)

    async def _make_room(self, recorded: LiveRun) -> None:
        """Write the events of a run that has become large, and stop the largest run if live runs take too much memory."""
        if recorded.kept and recorded.events_bytes > HEAVY_BYTES and recorded.end is None:
            await self._archive.flush(recorded)
        live = sum(each.size for each in self._live.values())
        if live + self._archive.recent_bytes > self._archive.memory_bytes:
            self._archive.release(max(0, self._archive.memory_bytes - live))
        if live > self._archive.memory_bytes:
            max(self._live.values(), key=lambda each: each.size).displace()

    async def _finish(self, recorded: LiveRun, status: model.Status) -> None:
        """Store a run, and set its final status."""
        if recorded.kept:
            async with recorded.writing:
                await self._archive.save(recorded, status)
        recorded.status = status
        self.ended[status] = self.ended.get(status, 0) + 1
        self._archive.remember(recorded)
        self._spawn(self._archive.prepare(recorded), self._background)

    def _flush_later(self, recorded: LiveRun) -> None:
        self._spawn(self._keep_flushing(recorded), self._background)

    async def _keep_flushing(self, recorded: LiveRun) -> None:
        while recorded.kept and not recorded.ended and recorded.id in self._live:
            with contextlib.suppress(StoreFull):  # the run ends with this error when it is stored at its end
                await self._archive.flush(recorded)
            await asyncio.sleep(FLUSH_SECONDS)

    async def _announce_positions(self) -> None:
        """Wake the listeners of the runs in the queue every ``POSITION_SECONDS``, while there are any."""
        while waiting := [recorded for recorded in self._live.values() if recorded.status == "queued"]:
            for recorded in waiting:
                recorded.changes.announce()
            await asyncio.sleep(POSITION_SECONDS)

    # -- find again

    async def find(self, id: str) -> RecordedRun:
        """Return the run with an id. Raises :class:`NotFound` if there is none."""
        if (live := self._live.get(id)) is not None and live.kept:
            return live
        found = await self._archive.find(id)
        if found is None:
            raise NotFound("There is no such run: it was deleted, it has expired, or the address is wrong.")
        return self._live.get(id) or found

    async def of_owner(self, owner: str, count: int, before: tuple[float, int] | None = None) -> list[StoredRun]:
        """Return up to ``count`` runs of an owner, newest first, older than ``before``. Live runs are stored first."""
        for recorded in [recorded for recorded in self._live.values() if recorded.new.owner == owner]:
            await self._archive.flush(recorded)
        return await self._archive.of_owner(owner, count, before)

    # -- stop, delete

    async def cancel(self, id: str, owner: str | None) -> RecordedRun:
        """Stop a run and keep its recording. An ended run does not change. Raises :class:`NotFound` or :class:`NotAllowed`."""
        recorded = await self.own(id, owner, "stop")
        if isinstance(recorded, LiveRun) and not recorded.ended:
            recorded.cancelled.set()
            await recorded.until_ended()
        return recorded

    def abandon(self, recorded: LiveRun) -> None:
        """Stop a run that nobody can read any more, and do not store it."""
        if recorded.number is None and not recorded.writing.locked():
            recorded.kept = False
        recorded.cancelled.set()

    async def mark(self, id: str, owner: str | None, *, title: str | None = None, pinned: bool | None = None) -> RecordedRun:
        """Give a run a title, pin it, or unpin it. An empty title restores the title from its program.

        Raises :class:`NotFound`, :class:`NotAllowed` or :class:`StoreFull`.
        """
        recorded = await self.own(id, owner, "rename or pin")
        await self._archive.flush(recorded)  # a live run that is not stored yet
        new = recorded.new
        title = new.title if title is None else cleaned(title) or None
        await self._archive.mark(recorded, title=title, pinned=new.pinned if pinned is None else pinned)
        return recorded

    async def delete(self, id: str, owner: str | None) -> None:
        """Delete a run, and stop it first if it is live. Raises :class:`NotFound` or :class:`NotAllowed`."""
        recorded = await self.own(id, owner, "delete")
        if isinstance(recorded, LiveRun) and not recorded.ended:
            recorded.cancelled.set()
            with contextlib.suppress(SandboxError, StoreFull):
                await recorded.until_ended()
        await self._archive.delete(id)

    async def own(self, id: str, owner: str | None, action: str) -> RecordedRun:
        """Return a run of ``owner``. Raises :class:`NotFound`, or :class:`NotAllowed` with a message that names the action."""
        recorded = await self.find(id)
        if owner is None or recorded.new.owner != owner:
            raise NotAllowed(f"Only the owner of this run may {action} it: send the owner's cookie or `owner_key`.")
        return recorded

    @staticmethod
    def _spawn(work: Coroutine[Any, Any, None], among: set[asyncio.Task[Any]]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        among.add(task)
        task.add_done_callback(among.discard)
        return task


def _displaced(batch: list[wire.AnyEvent]) -> list[wire.AnyEvent]:
    """Return a batch with an end event that says that the run took too much memory."""
    last = batch[-1]
    if not isinstance(last, wire.EndEvent) or last.status != "cancelled":
        return batch
    failure = wire.ProgramFailure("output_limit", DISPLACED, None, -1, "")
    return [*batch[:-1], wire.EndEvent("output_limit", failure, last.duration_ms)]

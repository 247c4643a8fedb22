"""Tell the story of a run: admit it, execute it, record what it tells, publish it, and find it again.

A run that goes on lives in memory and is written to the store as it comes; a quick one is written once, at its end. One
that has just ended stays in memory for a while, so that its picture needs no reading.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from .. import model, wire
from ..errors import Busy, NotAllowed, NotFound, SandboxError, StoreFull
from ..executor import Executor, job_for
from ..inputs.request import Request
from ..recording import Recording
from ..settings import Settings
from ..store import NewRun
from .archive import Archive
from .run import LiveTake, StoredTake, Take
from .slots import Places

Find = Callable[[Recording, model.Program], list[model.Finding]]

FLUSH_SECONDS: Final = 0.5
"""How long events of a run that goes on may wait to be written."""
HEAVY_NODES: Final = 2_000
"""Recordings of more nodes and passes than this are worked on beside the event loop."""
HEAVY_TEXT: Final = 20_000
"""So are programs of more characters."""

log = logging.getLogger(__name__)


class Runs:
    """All runs of this server. Made and used on one event loop."""

    def __init__(self, settings: Settings, archive: Archive, executor: Executor, find: Find, concurrent: int) -> None:
        self._settings = settings
        self._limits = settings.limits
        self._archive = archive
        self._executor = executor
        self._find = find
        self.places = Places(concurrent, settings.queue)
        self._live: dict[str, LiveTake] = {}
        self._by_key: dict[str, LiveTake] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._executing: set[asyncio.Task[Any]] = set()
        self._background: set[asyncio.Task[Any]] = set()
        self._closing = False
        self.ended: dict[model.Status, int] = {}
        """How many runs ended how since the start."""

    async def close(self) -> None:
        """Stop every run; each is kept as interrupted, with what was recorded."""
        self._closing = True
        for task in [*self._executing, *self._background]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._background, return_exceptions=True)

    @property
    def running(self) -> int:
        """Runs that execute just now."""
        return len(self._executing)

    @property
    def waiting(self) -> int:
        """Runs and replays that wait for a place."""
        return self.places.waiting

    # -- admit

    async def submit(self, request: Request, owner: str, *, key: str | None = None, fingerprint: str | None = None) -> Take:
        """Begin a run, or find the one that was begun with the same idempotency key.

        Raises :class:`Busy` when too many wait, :class:`StoreFull`.
        """
        if key is not None and (earlier := await self._earlier(key)) is not None:
            return earlier
        if self._closing:
            raise Busy("This server is stopping: try again in a moment.", retry_after=5)
        if request.store and self._archive.bytes >= self._limits.store_bytes:
            raise StoreFull('There is no room for another recording: delete some, or send "store": false.')
        self.places.admit()
        now = time.time()
        days = self._settings.keep_days
        new = NewRun(
            id=secrets.token_hex(16),
            owner=owner,
            program=request.program,
            options=request.options,
            created=now,
            expires=now + days * 86_400 if days else None,
            idempotency=key if request.store else None,
            fingerprint=fingerprint,
        )
        take = LiveTake(new, self._limits, kept=request.store)
        self._live[new.id] = take
        if key is not None:
            self._by_key[key] = take
        self._spawn(self._tell(take, key), self._tasks)
        return take

    async def _earlier(self, key: str) -> Take | None:
        if (live := self._by_key.get(key)) is not None:
            return live
        stored = await self._archive.by_idempotency(key)
        if (live := self._by_key.get(key)) is not None:  # begun while we looked
            return live
        return stored

    # -- execute, record, publish

    async def _tell(self, take: LiveTake, key: str | None) -> None:
        """Take a run from its beginning to its end."""
        flush = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush_later, take)
        status: model.Status = "interrupted"
        try:
            try:
                await self._execute(take)
            except asyncio.CancelledError:  # the server stops
                pass
            except Exception as error:
                take.failure = error
            if take.end is not None:
                status = take.end.status  # type: ignore[assignment]  # an executor's end has a status
            if take.failure is None or take.number is not None:
                await self._finish(take, status)
        except Exception as error:
            take.failure = error
            if not isinstance(error, StoreFull):
                log.exception("run %s could not be kept", take.id)
        finally:
            flush.cancel()
            self._live.pop(take.id, None)
            if key is not None and self._by_key.get(key) is take:
                del self._by_key[key]  # from now on the store knows it
            take.wake()

    async def _execute(self, take: LiveTake) -> None:
        if not await self.places.take(take.cancelled):
            take.append(
                [wire.End("cancelled", wire.Failure("cancelled", "It was cancelled before it began.", None, -1, ""), 0.0)]
            )
            return
        task = asyncio.current_task()
        assert task is not None
        self._executing.add(task)
        try:
            if self._closing:
                return
            take.status = "running"
            take.wake()
            job = job_for(take.new.program, take.new.options, self._limits)
            async with contextlib.aclosing(
                self._executor.run(job, limits=self._limits, cancelled=take.cancelled)  # type: ignore[type-var]
            ) as batches:
                async for batch in batches:
                    take.append(batch)
        finally:
            self._executing.discard(task)
            self.places.give_back()

    async def _finish(self, take: LiveTake, status: model.Status) -> None:
        """Find what is worth telling, write the rest, and let everybody know."""
        if status in ("done", "failed", "timed_out", "out_of_memory", "output_limit", "killed", "cancelled"):
            take.findings = await self._findings(take)
        if take.kept:
            async with take.writing:
                await self._archive.save(take, status)
        take.status = status
        self.ended[status] = self.ended.get(status, 0) + 1
        self._archive.remember(take)

    async def _findings(self, take: LiveTake) -> list[model.Finding]:
        heavy = take.size > 100 * HEAVY_NODES or len(take.new.program.text) > HEAVY_TEXT
        try:
            if heavy:
                return await self._archive.beside(self._find, take.recording, take.new.program)
            return self._find(take.recording, take.new.program)
        except Exception:
            log.exception("the findings of run %s could not be made", take.id)
            return []

    def _flush_later(self, take: LiveTake) -> None:
        self._spawn(self._keep_flushing(take), self._background)

    async def _keep_flushing(self, take: LiveTake) -> None:
        while take.kept and not take.ended and take.id in self._live:
            await self._archive.flush(take)
            await asyncio.sleep(FLUSH_SECONDS)

    # -- find again

    async def find(self, id: str) -> Take:
        """The run with an id, wherever it is; raises :class:`NotFound`."""
        if (live := self._live.get(id)) is not None and live.kept:
            return live
        found = await self._archive.find(id)
        if found is None:
            raise NotFound("There is no such run: it was deleted, its time has passed, or the address is wrong.")
        return self._live.get(id) or found

    async def of_owner(self, owner: str, count: int, before: tuple[float, int] | None = None) -> list[StoredTake]:
        """An owner's runs, newest first. Those that go on are there as far as they were written."""
        for take in [take for take in self._live.values() if take.new.owner == owner]:
            await self._archive.flush(take)
        return await self._archive.of_owner(owner, count, before)

    # -- stop, delete

    async def cancel(self, id: str, owner: str | None) -> Take:
        """Stop a run, keeping what was recorded; one that has ended stays as it is. Raises :class:`NotAllowed`."""
        take = await self.own(id, owner, "stop")
        if isinstance(take, LiveTake) and not take.ended:
            take.cancelled.set()
            await take.until_ended()
        return take

    async def delete(self, id: str, owner: str | None) -> None:
        """Delete a run, stopping it if it goes on. Raises :class:`NotAllowed`."""
        take = await self.own(id, owner, "delete")
        if isinstance(take, LiveTake) and not take.ended:
            take.cancelled.set()
            with contextlib.suppress(SandboxError, StoreFull):
                await take.until_ended()
        await self._archive.delete(id)

    async def own(self, id: str, owner: str | None, what: str) -> Take:
        """A run of the caller's own, who wants to do something to it. Raises :class:`NotAllowed`."""
        take = await self.find(id)
        if owner is None or take.new.owner != owner:
            raise NotAllowed(f"This run belongs to somebody else: only its owner may {what} it, with the cookie or owner_key.")
        return take

    @staticmethod
    def _spawn(story: Coroutine[Any, Any, None], among: set[asyncio.Task[Any]]) -> None:
        task = asyncio.get_running_loop().create_task(story)
        among.add(task)
        task.add_done_callback(among.discard)

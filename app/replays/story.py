"""Tell the story of a replay: find it made, else run the program again, hold it to the recording, and keep the answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from typing import Any, Final

import msgspec

from .. import model
from ..errors import Busy, NotAllowed, NotEnded, NotFound
from ..executor import Executor, job_for
from ..runs.archive import Archive
from ..runs.run import RecordedRun
from ..runs.slots import Slots
from .answer import Replay, answered, path
from .asked import Asked, Target, read
from .proof import Proof

log = logging.getLogger(__name__)

REMEMBERED: Final = 64
"""Replays that ended last and are not kept, such as those that ran out of time or failed."""
CANCELLED: Final = "The replay was cancelled."
CHECK_PART: Final = 0.5
"""Part of the time of a run after which a check tells what it has."""


class Replaying:
    """A replay, as far as it is. ``result`` is there once it is done."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.id = asked.id
        self.result: Replay | None = None
        self.failure: Exception | None = None
        self.wanted: dict[str, bool] = {}
        """Who has asked for it, and whether they still want it."""
        self.cancelled = asyncio.Event()
        self.running = False
        self.done = 0
        """Steps that came to the recorded numbers so far."""
        self._changed = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self.result is not None or self.failure is not None

    @property
    def changed(self) -> asyncio.Event:
        """Is set when there is something newer than now."""
        return self._changed

    def wake(self) -> None:
        """Tell all who wait that there is something new."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def until_ended(self) -> None:
        """Wait for the end."""
        while not self.ended:
            await self._changed.wait()

    def told(self) -> Replay:
        """What is known of it now; raises our own failure, if it was one."""
        if self.failure is not None:
            raise self.failure
        if self.result is not None:
            return self.result
        status: Any = "running" if self.running else "queued"
        return Replay(**_common(self.asked), status=status)


class Replays:
    """All replays of this server. Made and used on one event loop; programs execute in the same places as runs."""

    def __init__(self, limits: model.Limits, archive: Archive, executor: Executor, slots: Slots) -> None:
        self._limits = limits
        self._archive = archive
        self._executor = executor
        self._slots = slots
        self._live: dict[tuple[str, str], Replaying] = {}
        self._recent: OrderedDict[tuple[str, str], Replaying] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def close(self) -> None:
        """Stop every replay."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def submit(self, recorded: RecordedRun, body: bytes, caller: str) -> Replaying:
        """Begin a replay of a run, or find the one that was asked for before; one that was cancelled or failed begins anew.

        Raises :class:`NotEnded` while the run goes on, :class:`Busy`, and what :func:`~tapedeck.replays.asked.read` does.
        """
        if not recorded.ended:
            raise NotEnded("The run still goes on: it can be replayed once it has ended.")
        asked = await self._archive.beside(_read, body, recorded)
        key = (recorded.id, asked.id)
        while (found := await self._known(*key)) is not None:
            if not found.cancelled.is_set() and found.failure is None:
                if not found.ended:
                    found.wanted[caller] = True
                return found
            await found.until_ended()
            self._recent.pop(key, None)
        if self._closing:
            raise Busy("This server is stopping: try again in a moment.", retry_after=5)
        self._slots.admit()
        replaying = self._live[key] = Replaying(asked)
        replaying.wanted[caller] = True
        task = asyncio.get_running_loop().create_task(self._tell(recorded, replaying))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return replaying

    async def find(self, recorded: RecordedRun, id: str) -> Replaying:
        """The replay of a run with an id; raises :class:`NotFound`."""
        found = await self._known(recorded.id, id)
        if found is None:
            raise NotFound("There is no such replay of this run: POST to …/replays makes one.")
        return found

    async def cancel(self, recorded: RecordedRun, id: str, caller: str | None) -> Replaying:
        """Take back that a caller asked for a replay: it stops, and its process with it, once nobody wants it any more.

        One that has ended stays as it is. Raises :class:`NotFound` and :class:`NotAllowed`.
        """
        found = await self.find(recorded, id)
        if found.ended:
            return found
        if caller is None or caller not in found.wanted:
            raise NotAllowed("Somebody else asked for this replay: only who did may stop it, with the cookie or owner_key.")
        found.wanted[caller] = False
        if not any(found.wanted.values()):
            found.cancelled.set()
            await found.until_ended()
        return found

    def stop(self, run: str) -> None:
        """Stop all replays of a run: it was deleted, and nobody can ask for them any more."""
        for (of, _), replaying in self._live.items():
            if of == run:
                replaying.cancelled.set()

    async def _known(self, run: str, id: str) -> Replaying | None:
        key = (run, id)
        if (here := self._live.get(key) or self._recent.get(key)) is not None:
            return here
        kept = await self._archive.replay(run, id)
        if (begun := self._live.get(key)) is not None:  # while we looked
            return begun
        if kept is None:
            return None
        result = msgspec.json.decode(kept, type=Replay)
        found = Replaying(Asked(result.what, result.step, result.index))
        found.id, found.result = id, result
        return found

    async def _tell(self, recorded: RecordedRun, replaying: Replaying) -> None:
        """Take a replay from its beginning to its end."""
        key = (recorded.id, replaying.asked.id)
        try:
            result, lasting = await self._made(recorded, replaying)
            if not lasting or not await self._archive.keep_replay(*key, msgspec.json.encode(result)):
                self._remember(key, replaying)
            replaying.result = result
        except asyncio.CancelledError:  # the server stops
            replaying.failure = Busy("This server is stopping: try again in a moment.", retry_after=5)
        except Exception as error:
            replaying.failure = error
            self._remember(key, replaying)
            log.exception("run %s could not be replayed", recorded.id)
        finally:
            self._live.pop(key, None)
            replaying.wake()

    def _remember(self, key: tuple[str, str], replaying: Replaying) -> None:
        """Let one be found that has ended and is not kept: whoever was told of it asks for it by its id."""
        self._recent[key] = replaying
        while len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)

    async def _made(self, recorded: RecordedRun, replaying: Replaying) -> tuple[Replay, bool]:
        """The answer, and whether it will be the same the next time."""
        asked, cancelled = replaying.asked, replaying.cancelled
        if not await self._slots.acquire(cancelled):
            return Replay(**_common(asked), reason=CANCELLED), False
        try:
            replaying.running = True
            replaying.wake()
            job = job_for(recorded.new.program, recorded.new.options, self._limits)
            job = msgspec.structs.replace(job, replay=asked.job(self._limits.wall_seconds * CHECK_PART))
            proof: Proof = await self._archive.beside(Proof, recorded.recording, asked.step)
            async with contextlib.aclosing(
                self._executor.run(job, limits=self._limits, cancelled=cancelled)  # type: ignore[type-var]
            ) as batches:
                async for batch in batches:
                    await self._archive.beside(proof.feed, batch)
                    if proof.steps != replaying.done:
                        replaying.done = proof.steps
                        replaying.wake()
                    if proof.over:
                        break
        finally:
            self._slots.release()
        return await self._archive.beside(_concluded, recorded, asked, proof)


def _read(body: bytes, recorded: RecordedRun) -> Asked:
    asked = read(body, recorded.recording, recorded.new.options.capture)
    return _with_ranges(asked, recorded) if asked.what == "surface" else asked


def _with_ranges(asked: Asked, recorded: RecordedRun) -> Asked:
    """Let a range that was not asked for hold the whole path of the parameter, and half as much beside it."""
    if all(target.low is not None for target in asked.targets):
        return asked
    way = path(asked, recorded.recording)

    def ranged(target: Target) -> Target:
        values = [value for value in way[target.key] if isinstance(value, float)]
        if target.low is not None or len(set(values)) < 2:
            return target
        low, high = min(values), max(values)
        margin = (high - low) / 2
        return msgspec.structs.replace(target, low=low - margin, high=high + margin)

    return msgspec.structs.replace(asked, targets=tuple(ranged(target) for target in asked.targets))


def _common(asked: Asked) -> dict[str, Any]:
    return {"id": asked.id, "what": asked.what, "step": asked.step, "index": asked.index}


def _concluded(recorded: RecordedRun, asked: Asked, proof: Proof) -> tuple[Replay, bool]:
    common = _common(asked)
    if proof.complete:
        return answered(asked, recorded.recording, proof.answers), True
    if proof.difference is not None:
        return Replay(**common, repeatable=False, difference=proof.difference, reason=proof.difference.sentence), True
    end = proof.end
    if end is not None and end.status in ("done", "failed"):
        failure = f" ({end.failure.type}: {end.failure.message})" if end.failure is not None else ""
        reason = f"Not repeatable: the replay ended in step {proof.steps}, before the recording did{failure}."
        return Replay(**common, repeatable=False, reason=reason[:2_000]), True
    if end is not None and end.status == "cancelled":
        return Replay(**common, reason=CANCELLED), False
    why = end.failure.message if end is not None and end.failure is not None else "its process ended."
    return Replay(**common, reason=f"The replay did not come to an end: {why}"[:2_000]), False

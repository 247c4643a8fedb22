"""Manage replays: find a stored one, or run the program again, compare it with the recording, and store the result."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Final

import msgspec

from .. import model, wire
from ..byte_cache import ByteCache
from ..changes import Changes
from ..errors import Busy, NotAllowed, NotEnded, NotFound
from ..executor import Executor, job_for
from ..recording import WholeSteps
from ..runs.archive import Archive
from ..runs.manager import STOPPING, STOPPING_SECONDS
from ..runs.run import RecordedRun
from ..runs.slots import Slots, Ticket
from ..runs.turns import Client
from .counted import CountedProof, counted_order
from .proof import Proof
from .request import OF_A_PASS, ReplayRequest, ReplayTarget, read
from .result import Replay, path, result_of

log = logging.getLogger(__name__)

REMEMBERED_BYTES: Final = 4 * 1024 * 1024
"""Size of the answers of ended replays that are remembered without being stored, for example because they timed out."""
LEAST_BYTES: Final = 16 * 1024
"""Size that each answer counts as at least, because its replay takes memory too."""
CANCELLED: Final = "The replay was cancelled."
CHECK_PART: Final = 0.5
"""Fraction of a run's time limit after which a check ends with the elements checked so far."""


class LiveReplay:
    """A replay that is queued, running or has ended. ``result`` is set once it is done."""

    def __init__(self, request: ReplayRequest) -> None:
        self.request = request
        self.id = request.id
        self.result: Replay | None = None
        self.failure: Exception | None = None
        self.wanted: dict[str, bool] = {}
        """The callers that requested the replay, and whether each still wants it."""
        self.cancelled = asyncio.Event()
        self.running = False
        self.ticket: Ticket | None = None
        """The ticket for its slot; ``None`` for a replay that was read from the store."""
        self.done = 0
        """Number of steps that repeated the recorded numbers so far."""
        self.changes = Changes()

    @property
    def ended(self) -> bool:
        """True if the replay has a result or failed."""
        return self.result is not None or self.failure is not None

    async def until_ended(self) -> None:
        """Wait for the end of the replay."""
        await self.changes.until(lambda: self.ended)

    def queue(self) -> model.QueuePosition | None:
        """Return the position in the queue, or ``None`` if the replay does not wait for its turn."""
        return None if self.ended or self.running or self.ticket is None else self.ticket.position()

    def current(self) -> Replay:
        """Return the result, or the status so far. Raises :attr:`failure` if there is one."""
        if self.failure is not None:
            raise self.failure
        if self.result is not None:
            return self.result
        if self.running:
            return Replay(**_common(self.request), status="running")
        return Replay(**_common(self.request), status="queued", queue=self.queue() or msgspec.UNSET)


class Replays:
    """All replays of this server. Create and use an instance on one event loop.

    Replays share their slots with the runs.
    """

    def __init__(self, limits: model.Limits, archive: Archive, executor: Executor, slots: Slots) -> None:
        self._limits = limits
        self._archive = archive
        self._executor = executor
        self._slots = slots
        self._live: dict[tuple[str, str], LiveReplay] = {}
        self._recent = ByteCache[tuple[str, str], LiveReplay](REMEMBERED_BYTES, largest=8 * REMEMBERED_BYTES)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    def drain(self) -> None:
        """Refuse new replays and those that wait for a slot. The replays that are running continue."""
        self._closing = True
        for live in self._live.values():
            if not live.running:
                live.cancelled.set()

    async def close(self) -> None:
        """Stop every replay."""
        self.drain()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def submit(self, recorded: RecordedRun, body: bytes, caller: str, client: Client | None = None) -> LiveReplay:
        """Start a replay of a run, or return the existing one. A cancelled or failed replay starts again.

        ``client`` shares the slots with the other clients; by default, it is the caller. Raises :class:`NotEnded` if the run
        has not ended, :class:`TooMany` if the client has too many replays and runs in the queue, and :class:`Busy` if the queue
        is full or the server is stopping. Also raises the errors of :func:`~tapedeck.replays.request.read`.
        """
        if not recorded.ended:
            raise NotEnded("The run has not ended yet: it can be replayed after its end.")
        request = await self._archive.beside(_read, body, recorded)
        key = (recorded.id, request.id)
        while (found := await self._existing(*key)) is not None:
            if not found.cancelled.is_set() and found.failure is None and not self._is_forgotten(recorded, found):
                if not found.ended:
                    found.wanted[caller] = True
                return found
            await found.until_ended()
            self._recent.drop(lambda known: known == key)
        if self._closing:
            raise Busy(STOPPING, retry_after=STOPPING_SECONDS)
        ticket = self._slots.admit(client or Client(caller, ""))
        live = self._live[key] = LiveReplay(request)
        live.ticket = ticket
        live.wanted[caller] = True
        task = asyncio.get_running_loop().create_task(self._manage(recorded, live))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return live

    def _is_forgotten(self, recorded: RecordedRun, found: LiveReplay) -> bool:
        """Return whether the step that a replay recorded again is no longer available."""
        what, step = found.request.what, found.request.step
        if what not in ("step", "elements") or found.result is None or found.result.repeatable is not True:
            return False
        if what == "elements":
            return not recorded.recording.enlarged(step)
        return recorded.recording.log.step(step).summary

    async def find(self, recorded: RecordedRun, id: str) -> LiveReplay:
        """Return the replay of a run with an id. Raises :class:`NotFound` if there is none."""
        found = await self._existing(recorded.id, id)
        if found is None:
            raise NotFound("This run has no such replay: start one with POST to …/replays.")
        return found

    def leave(self, live: LiveReplay, caller: str) -> None:
        """Withdraw the request of a caller who has left. A replay that nobody else has requested stops."""
        live.wanted[caller] = False
        if not any(live.wanted.values()):
            live.cancelled.set()

    async def cancel(self, recorded: RecordedRun, id: str, caller: str | None) -> LiveReplay:
        """Withdraw a caller's request for a replay. The replay stops when all callers have withdrawn their requests.

        A replay that has ended does not change. Raises :class:`NotFound` if there is no such replay, and :class:`NotAllowed`
        for a caller that did not request it.
        """
        found = await self.find(recorded, id)
        if found.ended:
            return found
        if caller is None or caller not in found.wanted:
            raise NotAllowed("Only a caller that requested this replay may stop it: send its cookie or `owner_key`.")
        self.leave(found, caller)
        if found.cancelled.is_set():
            await found.until_ended()
        return found

    def stop(self, run: str) -> None:
        """Stop all replays of a run that was deleted."""
        for (of, _), live in self._live.items():
            if of == run:
                live.cancelled.set()

    async def _existing(self, run: str, id: str) -> LiveReplay | None:
        key = (run, id)
        if (live := self._live.get(key) or self._recent.get(key)) is not None:
            return live
        stored = await self._archive.replay(run, id)
        if (live := self._live.get(key)) is not None:  # started during the lookup
            return live
        if stored is None:
            return None
        result = msgspec.json.decode(stored, type=Replay)
        found = LiveReplay(ReplayRequest(result.what, result.step, result.index or 0))
        found.id, found.result = id, result
        return found

    async def _manage(self, recorded: RecordedRun, live: LiveReplay) -> None:
        """Execute a replay and store its result."""
        key = (recorded.id, live.request.id)
        try:
            result, lasting = await self._execute(recorded, live)
            answer = msgspec.json.encode(result)
            if not lasting or not await self._archive.keep_replay(*key, answer):
                self._remember(key, live, len(answer))
            live.result = result
        except asyncio.CancelledError:  # the server is stopping
            live.failure = Busy(STOPPING, retry_after=STOPPING_SECONDS)
        except Busy as error:
            live.failure = error
        except Exception as error:
            live.failure = error
            self._remember(key, live, 0)
            log.exception("Run %s could not be replayed.", recorded.id)
        finally:
            self._live.pop(key, None)
            live.changes.announce()

    def _remember(self, key: tuple[str, str], live: LiveReplay, size: int) -> None:
        """Remember an ended replay that is not stored, so that its callers can still read it by its id."""
        self._recent.put(key, live, max(size, LEAST_BYTES))

    async def _execute(self, recorded: RecordedRun, live: LiveReplay) -> tuple[Replay, bool]:
        """Run a replay. Return its result, and whether another replay would give the same result."""
        request, cancelled, ticket = live.request, live.cancelled, live.ticket
        assert ticket is not None
        try:
            has_slot = await self._slots.acquire(ticket, cancelled)
            if self._closing:
                raise Busy(STOPPING, retry_after=STOPPING_SECONDS)
            if not has_slot:
                return Replay(**_common(request), reason=CANCELLED), False
            live.running = True
            live.changes.announce()
            job = job_for(recorded.new.program, recorded.new.options, self._limits)
            order = request.job(self._limits.wall_seconds * CHECK_PART)
            summarized = next((each.step for each in recorded.recording.signals(wire.StepsSummarized)), -1)
            job = msgspec.structs.replace(job, replay=order, budget=wire.DetailBudget(), summarized_from=summarized)
            proof: Proof | CountedProof
            counted = await self._archive.beside(counted_order, recorded.recording, order)
            if counted is not None:
                proof = counting = CountedProof(recorded.recording, request.step, seeks=request.what == "seek")
                await self._run(msgspec.structs.replace(job, replay=counted), proof, live, ticket)
            if counted is None or counting.lost:
                proof = await self._archive.beside(_proof, recorded, request)
                await self._run(job, proof, live, ticket)
        finally:
            self._slots.release(ticket)
        return await self._archive.beside(_conclude, recorded, request, proof, self._archive.whole_steps_of(recorded))

    async def _run(self, job: wire.Job, proof: Proof | CountedProof, live: LiveReplay, ticket: Ticket) -> None:
        """Run a job, and compare its events with the recording until the proof needs no more."""
        events = self._executor.run(job, limits=self._limits, cancelled=live.cancelled, client=ticket.client.key)
        async with contextlib.aclosing(events) as batches:  # type: ignore[type-var]
            async for batch in batches:
                await self._archive.beside(proof.feed, batch)
                if proof.steps != live.done:
                    live.done = proof.steps
                    live.changes.announce()
                if proof.over:
                    break


def _read(body: bytes, recorded: RecordedRun) -> ReplayRequest:
    lines = max(len(model.program_lines(recorded.new.program.text)), 1)
    request = read(body, recorded.recording, recorded.new.options.capture, lines)
    return _with_ranges(request, recorded) if request.what == "surface" else request


def _with_ranges(request: ReplayRequest, recorded: RecordedRun) -> ReplayRequest:
    """Set each missing range to the range of the parameter over the steps, widened on both sides by half its width."""
    if all(target.low is not None for target in request.targets):
        return request
    values_by_key = path(request, recorded.recording)

    def ranged(target: ReplayTarget) -> ReplayTarget:
        values = [value for value in values_by_key[target.key] if isinstance(value, float)]
        if target.low is not None or len(set(values)) < 2:
            return target
        low, high = min(values), max(values)
        margin = (high - low) / 2
        return msgspec.structs.replace(target, low=low - margin, high=high + margin)

    return msgspec.structs.replace(request, targets=tuple(ranged(target) for target in request.targets))


def _common(request: ReplayRequest) -> dict[str, Any]:
    index = request.index if request.what in OF_A_PASS else None
    return {"id": request.id, "what": request.what, "step": request.step, "index": index}


def _proof(recorded: RecordedRun, request: ReplayRequest) -> Proof:
    what = request.what
    return Proof(recorded.recording, request.step, seeks=what == "seek", enlarges=what == "elements")


def _conclude(
    recorded: RecordedRun, request: ReplayRequest, proof: Proof | CountedProof, whole: WholeSteps
) -> tuple[Replay, bool]:
    common = _common(request)
    if proof.complete and proof.whole is not None:
        whole.add(proof.whole, enlarged=request.what == "elements")
        recorded.recording.read_whole(whole)
    if proof.complete:
        return result_of(request, recorded.recording, proof.answers), request.what not in ("step", "elements")
    if proof.unreadable is not None:
        return Replay(**common, reason=proof.unreadable), False
    if proof.difference is not None:
        return Replay(**common, repeatable=False, difference=proof.difference, reason=proof.difference.sentence), True
    end = proof.end
    if end is not None and end.status in ("done", "failed"):
        failure = f" ({end.failure.type}: {end.failure.message})" if end.failure is not None else ""
        reason = f"Not repeatable: the replay ended in step {proof.steps}, earlier than the recording{failure}."
        return Replay(**common, repeatable=False, reason=reason[:2_000]), True
    if end is not None and end.status == "cancelled":
        return Replay(**common, reason=CANCELLED), False
    why = end.failure.message if end is not None and end.failure is not None else "its process exited."
    return Replay(**common, reason=f"The replay was not completed: {why}"[:2_000]), False

"""Make the findings of a run in a worker process, within a budget.

The rules read a stranger's program and recording. They never run in the server's process: a process that exceeds the budget is
killed, and the findings that it made until then are kept. A small run gets the findings of an earlier one that recorded the
same: many people run the same example.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterator
from typing import Final

import msgspec
from msgspec import Struct

from . import model, wire
from .byte_cache import ByteCache
from .errors import Busy, OverBudget
from .explain.findings import Findings, RuleFindings, arranged, of_rules
from .recording import MemoryLog, Recording
from .runs.run import LiveRun
from .store import BlocksInStore, blocks_of, pack_overview, reading, unpack_overview
from .workers import Budget, Workers

SECONDS: Final = 2.0
"""Processor time for all findings of one run, in seconds."""
BUDGET: Final = Budget(cpu_seconds=SECONDS, wall_seconds=4 * SECONDS, answer_bytes=4 * 1024 * 1024)
QUICK: Final = Budget(cpu_seconds=0.1, wall_seconds=0.5, answer_bytes=BUDGET.answer_bytes)
"""Budget of a small run for its findings in one message. Beyond it, they are made again, with a message for each rule."""
QUEUE: Final = 1_000
"""Number of runs that may wait for a process. A waiting run keeps its slot, so the slots limit this number too."""
LIGHT_BYTES: Final = 200_000
"""Size in memory up to which a run is encoded on the event loop. For a small run, that is faster than switching to a thread."""
REMEMBERED_BYTES: Final = 16 * 1024 * 1024
"""Size of the findings that are remembered, encoded as JSON, with their keys."""
TOGETHER: Final = 256
"""Number of events that are encoded in one call. No other thread runs during a call."""

log = logging.getLogger(__name__)


class Evidence(Struct, frozen=True):
    """The recording of an ended run, as it is sent to a process.

    ``events`` are packed lists of events. If earlier events are only in the store, ``earlier`` refers to them, and ``overview``
    is the packed overview of all events.
    """

    program: model.Program
    limits: model.Limits
    events: list[bytes]
    count: int
    """Number of all events."""
    earlier: BlocksInStore | None
    overview: bytes


class WorkerFinder:
    """Makes findings in ``count`` processes. Create and use an instance on one event loop."""

    def __init__(self, count: int) -> None:
        self._workers = Workers(count, modules=(__name__,), queue=QUEUE)
        self._remembered = ByteCache[bytes, list[RuleFindings]](REMEMBERED_BYTES)

    async def start(self) -> None:
        """Start the processes in the background."""
        await self._workers.start()

    async def close(self) -> None:
        """Kill the processes."""
        await self._workers.close()

    async def find(self, recorded: LiveRun) -> Findings:
        """Return the findings of a run, or those that were made within the budget. If cancelled, kill the process."""
        found: list[RuleFindings] = []
        try:
            light = recorded.size <= LIGHT_BYTES
            evidence = evidence_of(recorded) if light else await asyncio.to_thread(evidence_of, recorded)
            if light and (quick := await self._quickly(evidence)) is not None:
                return arranged(quick)
            async for each in self._workers.stream(findings_of, evidence, budget=BUDGET):
                found.append(each)  # noqa: PERF401 (kept if a later one raises)
        except (OverBudget, Busy) as error:
            log.info("The findings of run %s are incomplete: %s", recorded.id, error)
        except Exception:
            log.exception("The findings of run %s could not be made.", recorded.id)
        return arranged(found)

    async def _quickly(self, evidence: Evidence) -> list[RuleFindings] | None:
        """Return all findings of a small run in one message, which is faster. Return ``None`` if they exceed :data:`QUICK`."""
        key = hashlib.sha256(msgspec.msgpack.encode(evidence)).digest()
        if (remembered := self._remembered.get(key)) is not None:
            return remembered
        try:
            found = await self._workers.run(all_of, findings_of, evidence, budget=QUICK)
        except OverBudget:
            return None
        self._remembered.put(key, found, len(msgspec.json.encode(found)) + len(key))
        return found


def all_of(make: Callable[[Evidence], Iterator[RuleFindings]], evidence: Evidence) -> list[RuleFindings]:
    """Return the findings of all rules. A worker process calls this function."""
    return list(make(evidence))


def evidence_of(recorded: LiveRun) -> Evidence:
    """Return the recording of a run that gets no further events. It is equal for runs that recorded the same."""
    events = [_without_duration(event) for event in recorded.events]
    parts = [msgspec.msgpack.encode(events[start : start + TOGETHER]) for start in range(0, len(events), TOGETHER)]
    earlier = blocks_of(recorded.earlier) if recorded.earlier is not None else None
    overview = pack_overview(recorded.overview, recorded.count) if earlier is not None else b""
    return Evidence(recorded.new.program, recorded.limits, parts, recorded.count, earlier, overview)


def _without_duration(event: wire.AnyEvent) -> wire.AnyEvent:
    return msgspec.structs.replace(event, duration_ms=0.0) if isinstance(event, wire.EndEvent) else event


def findings_of(evidence: Evidence) -> Iterator[RuleFindings]:
    """Yield the findings of each rule. A worker process calls this function."""
    events = (event for part in evidence.events for event in _events.decode(part))
    if evidence.earlier is None:
        yield from of_rules(_recording(evidence, MemoryLog(events)), evidence.program)
        return
    overview = unpack_overview(evidence.overview, evidence.count)
    assert overview is not None, "packed by this version"
    with reading(evidence.earlier) as earlier:
        yield from of_rules(_recording(evidence, MemoryLog.after(earlier, events, overview)), evidence.program)


def _recording(evidence: Evidence, log: MemoryLog) -> Recording:
    return Recording(log, evidence.program.text, evidence.limits)


_events: Final = msgspec.msgpack.Decoder(list[wire.AnyEvent])

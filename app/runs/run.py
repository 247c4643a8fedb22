"""Represent one run and its recording, in memory or in the store."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Final

import msgspec

from .. import model, wire
from ..changes import Changes
from ..recording import (
    Log,
    MemoryLog,
    Overview,
    Recording,
    first,
    is_unfinished,
    lists,
    omitted,
    size,
    unfinished_step,
)
from ..store import NewRun, Outcome, PackedEvents, RunRow, StoredLog
from .footprint import Footprint
from .opening import opening
from .outcome import headline
from .slots import Ticket
from .titles import title_of

OURS: Final = "tapedeck"
"""Owner of the recordings of examples and lessons. No caller's key or cookie contains this owner."""
MOST_ITEMS: Final = 2_000
"""Largest number of lines, of parameters and of graphs in the answer for a run.

It is also the largest total size of the lines, and of the parameters, in the unit of :mod:`~tapedeck.recording.room`.
"""


class RecordedRun:
    """A run: its request, its outcome, and its recording, which can be read while the run is live.

    ``log`` reads the events from memory, for a live run or one that has just ended, or from the store.
    ``kept`` is false for a run that is never stored.
    """

    def __init__(self, new: NewRun, log: Log, limits: model.Limits, *, kept: bool = True) -> None:
        self.new = new
        self.kept = kept
        self.limits = limits
        self.recording = Recording(log, new.program.text, limits)
        self.status: model.Status = "queued"
        self.duration_ms: float | None = None
        self.torch: str | None = None
        self.error: model.ProgramError | None = None
        self.findings: list[model.Finding] = []
        self.findings_omitted: list[str] = []
        self.truncated = False
        self._program_bytes = sys.getsizeof(new.program.text)
        self.size = self._program_bytes
        """Approximate size of its program and its events in memory, in bytes."""

    @property
    def id(self) -> str:
        return self.new.id

    @property
    def ended(self) -> bool:
        """True if the run has a final status."""
        return self.status in model.FINAL

    @property
    def renewed(self) -> bool:
        """True for an example or a lesson: a server with another version of PyTorch records it again, under the same id."""
        return self.new.owner == OURS

    @property
    def counts(self) -> tuple[int, int, int]:
        """Number of graphs, passes and steps so far."""
        return self.recording.log.counts()

    @property
    def title(self) -> str:
        """The title that the owner chose, else one from the program."""
        program = self.new.program
        markdown = [str(note["text"]) for note in program.notes if note.get("code") == "markdown"]
        return self.new.title or title_of(program.text, markdown)

    @property
    def unfinished(self) -> bool:
        """True if the program failed or was stopped after its last complete step, and something was recorded since."""
        return self.ended and self.error is not None and is_unfinished(self.recording)

    def step(self, index: int) -> model.Step:
        """Return a step, or the unfinished one after the last. Raise :class:`NotFound` if there is none."""
        if index == self.counts[2] and self.unfinished:
            return unfinished_step(self.recording)
        return self.recording.step(index)

    def run(self, links: Mapping[str, str]) -> model.Run:
        """Return the run as the API sends it."""
        new, recording = self.new, self.recording
        graphs, passes, steps = self.counts
        lines = [
            *first(((line, size(line.tensor, text=line.text)) for line in recording.some_lines(0, MOST_ITEMS)), MOST_ITEMS)
        ]
        known = recording.parameters()
        parameters = [*first(((each, size(text="".join(each.names))) for each in known), MOST_ITEMS)]
        sizes = [*lists.graph_sizes(recording, 0, MOST_ITEMS)]
        unfinished = self.unfinished
        return model.Run(
            id=new.id,
            status=self.status,
            kind=new.program.kind,
            program=new.program.text,
            seed=new.options.seed,
            capture=new.options.capture,
            created=moment(new.created),
            expires=None if new.expires is None else moment(new.expires),
            duration_ms=None if self.duration_ms is None else round(self.duration_ms, 3),
            torch=self.torch,
            cells=recording.cells(new.program),
            stdout=recording.stdout(),
            truncated=self.truncated,
            lines=lines,
            error=self.error,
            graphs=sizes,
            passes=passes,
            steps=steps,
            parameters=parameters,
            findings=self.findings,
            findings_omitted=self.findings_omitted,
            links=dict(links),
            stderr=recording.stderr(),
            output=recording.output(),
            outcome=headline(self.status, self.error),
            queue=self.queue(),
            omitted=omitted(
                lines=lists.line_count(recording) - len(lines),
                parameters=len(known) - len(parameters),
                graphs=graphs - len(sizes),
            ),
            title=self.title,
            unfinished=unfinished,
            opens_at=opening(recording, self.findings, failed=self.status == "failed", last=steps - 1 + unfinished),
        )

    def queue(self) -> model.QueuePosition | msgspec.UnsetType:
        """Return the run's position in the queue, if it waits for its turn."""
        return msgspec.UNSET

    def heading(self, links: Mapping[str, str]) -> model.RunHeading:
        """Return the run as an entry in a list of runs."""
        new = self.new
        duration_ms = None if self.duration_ms is None else round(self.duration_ms, 3)
        return model.RunHeading(
            new.id,
            self.status,
            new.program.kind,
            self.title,
            moment(new.created),
            duration_ms,
            self.counts[2],
            dict(links),
            new.pinned,
        )

    def outcome(self, status: model.Status) -> Outcome:
        """Return the run's progress and result as the store saves them, with ``status`` as its status."""
        graphs, passes, steps = self.counts
        return Outcome(
            status=status,
            duration_ms=self.duration_ms,
            torch=self.torch,
            error=self.error,
            findings=self.findings,
            findings_omitted=self.findings_omitted,
            truncated=self.truncated,
            graphs=graphs,
            passes=passes,
            steps=steps,
        )


class StoredRun(RecordedRun):
    """A run that was read from the store."""

    def __init__(self, stored: RunRow, log: StoredLog, limits: model.Limits) -> None:
        new = NewRun(
            id=stored.id,
            owner=stored.owner,
            program=stored.program,
            options=stored.options,
            created=stored.created,
            expires=stored.expires,
            fingerprint=stored.fingerprint,
            title=stored.title,
            pinned=stored.pinned,
        )
        super().__init__(new, log, limits)
        self.stored = stored
        self.stored_log = log
        self.status = stored.status
        self.duration_ms = stored.duration_ms
        self.torch = stored.torch
        self.error = stored.error
        self.findings = stored.findings
        self.findings_omitted = stored.findings_omitted
        self.truncated = stored.truncated
        self.size += 4 * stored.recording_bytes


class LiveRun(RecordedRun):
    """A run whose events arrive in memory. It wakes its listeners on each change."""

    def __init__(self, new: NewRun, limits: model.Limits, *, kept: bool = True) -> None:
        self._log = MemoryLog()
        super().__init__(new, self._log, limits, kept=kept)
        self.events: list[wire.AnyEvent] = []
        """The events in memory, which are the last ones of the run."""
        self.forgotten = 0
        """Number of earlier events, which are in the store only."""
        self.earlier: StoredLog | None = None
        """The store's log of the dropped events."""
        self.written = 0
        """Number of events in the store."""
        self.sealed = 0
        """Number of stored events that the store will not rewrite."""
        self.number: int | None = None
        """Number of the run in the store, once it is stored."""
        self.packing: Future[PackedEvents] | None = None
        """The events that the store does not have, once a thread has packed them."""
        self.cancelled = asyncio.Event()
        self.writing = asyncio.Lock()
        self.failure: Exception | None = None
        """Error of Tapedeck itself that prevented or ended the run."""
        self.end: wire.EndEvent | None = None
        self.ticket: Ticket | None = None
        """The ticket for its slot."""
        self.readers = 0
        """Number of requests that wait for its end."""
        self.displaced = False
        """True if the run is stopped because its events take too much of the server's memory."""
        self._footprint = Footprint()
        self._printed = 0
        self.changes = Changes()

    def queue(self) -> model.QueuePosition | msgspec.UnsetType:
        return (self.ticket.position() if self.ticket is not None else None) or msgspec.UNSET

    def append(self, batch: list[wire.AnyEvent]) -> None:
        """Append events. Printed text beyond the limit is cut."""
        for event in batch:
            match event:
                case wire.StartedEvent():
                    self.torch = event.torch
                case wire.OutputEvent():
                    cut = self._cut(event)
                    if cut is None:
                        continue
                    event = cut
                case wire.StdoutTruncated():
                    self.truncated = True
                case wire.EndEvent():
                    self.end = event
                    self.duration_ms = event.duration_ms
                    self.error = program_error(event.failure, self.recording)
                case _:
                    pass
            self.events.append(event)
            self._log.append(event)
            self._footprint.add(event)
        self.size = self._program_bytes + self._footprint.bytes(self.overview)
        self.changes.announce()

    @property
    def overview(self) -> Overview:
        """The overview of all events so far."""
        return self._log.overview

    @property
    def count(self) -> int:
        """Number of events so far."""
        return self.forgotten + len(self.events)

    @property
    def events_bytes(self) -> int:
        """Size of :attr:`events` in memory, in bytes, without the overview of dropped events."""
        return self._footprint.events

    def displace(self) -> None:
        """Stop the run, because its events take too much of the server's memory."""
        self.displaced = True
        self.cancelled.set()

    def forget(self, stored: Callable[[tuple[int, int, int], int], StoredLog]) -> None:
        """Drop from memory the events that the store will not rewrite.

        ``stored`` returns the store's log of the dropped events. It takes their number of graphs, passes and steps, and their
        total number.
        """
        dropped = self.sealed - self.forgotten
        if dropped <= 0:
            return
        gone, kept = self.events[:dropped], self.events[dropped:]
        counts = self.counts
        graphs, passes, steps = (
            count - sum(isinstance(event, kind) for event in kept)
            for count, kind in zip(counts, (wire.GraphEvent, wire.PassEvent, wire.StepEvent), strict=True)
        )
        self.earlier = stored((graphs, passes, steps), self.sealed)
        self.events, self.forgotten = kept, self.sealed
        self._log = self.recording.log = self._log.without(self.earlier)
        self._footprint.drop(gone)
        self.size = self._program_bytes + self._footprint.bytes(self.overview)

    async def until_ended(self) -> None:
        """Wait for the end of the run. Raises :attr:`failure` if there is one."""
        await self.changes.until(lambda: self.ended or self.failure is not None)
        if self.failure is not None:
            raise self.failure

    def _cut(self, event: wire.OutputEvent) -> wire.OutputEvent | None:
        room = self.limits.stdout_bytes - self._printed
        size = len(event.text.encode())
        self._printed += size
        if size <= room:
            return event
        self.truncated = True
        if room <= 0:
            return None
        return msgspec.structs.replace(event, text=event.text.encode()[:room].decode(errors="ignore"))


def program_error(failure: wire.ProgramFailure | None, recording: Recording) -> model.ProgramError | None:
    """Return a failure as the API sends it."""
    if failure is None:
        return None
    line = failure.line if failure.line >= 0 else None
    return model.ProgramError(
        type=failure.type,
        message=failure.message,
        file=failure.file,
        line=line,
        traceback=failure.traceback,
        columns=failure.columns,
        origin=recording.origin(failure.origin),
    )


def moment(seconds: float) -> str:
    """Return a Unix time in seconds as the API writes it: ISO 8601, UTC, with milliseconds.

    >>> moment(0.0)
    '1970-01-01T00:00:00.000Z'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

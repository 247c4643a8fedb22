"""Hold one run and all that is recorded of it so far, wherever its events are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec

from .. import model, wire
from ..recording import Log, MemoryLog, Recording
from ..store import NewRun, Outcome, RunRow, StoredLog


class RecordedRun:
    """A run: what was asked for, what has come of it, and its recording, which can be read while it still goes on.

    ``log`` holds the events in memory (a run that goes on, or has just ended) or finds them in the store.
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
        self.truncated = False
        self.size = 0
        """Roughly how many bytes of memory its events take."""

    @property
    def id(self) -> str:
        return self.new.id

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self.status in model.FINAL

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many graphs, passes and steps there are so far."""
        return self.recording.log.counts()

    def run(self, links: Mapping[str, str]) -> model.Run:
        """The run as the API tells it."""
        new, recording = self.new, self.recording
        _, passes, steps = self.counts
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
            lines=recording.lines(),
            error=self.error,
            graphs=recording.graphs(),
            passes=passes,
            steps=steps,
            parameters=recording.parameters(),
            findings=self.findings,
            links=dict(links),
        )

    def heading(self, links: Mapping[str, str]) -> model.RunHeading:
        """The run as a list of runs tells it."""
        new = self.new
        shown = None if self.duration_ms is None else round(self.duration_ms, 3)
        return model.RunHeading(
            new.id,
            self.status,
            new.program.kind,
            title(new.program.text),
            moment(new.created),
            shown,
            self.counts[2],
            dict(links),
        )

    def outcome(self, status: model.Status) -> Outcome:
        """How far it is, for the store, with the status that it is about to have."""
        graphs, passes, steps = self.counts
        return Outcome(
            status=status,
            duration_ms=self.duration_ms,
            torch=self.torch,
            error=self.error,
            findings=self.findings,
            truncated=self.truncated,
            graphs=graphs,
            passes=passes,
            steps=steps,
        )


class StoredRun(RecordedRun):
    """A run that the store has."""

    def __init__(self, stored: RunRow, log: StoredLog, limits: model.Limits) -> None:
        new = NewRun(
            id=stored.id,
            owner=stored.owner,
            program=stored.program,
            options=stored.options,
            created=stored.created,
            expires=stored.expires,
            fingerprint=stored.fingerprint,
        )
        super().__init__(new, log, limits)
        self.stored = stored
        self.stored_log = log
        self.status = stored.status
        self.duration_ms = stored.duration_ms
        self.torch = stored.torch
        self.error = stored.error
        self.findings = stored.findings
        self.truncated = stored.truncated
        self.size = 4 * stored.recording_bytes


class LiveRun(RecordedRun):
    """A run whose events are in memory: it takes in what comes, and wakes those who listen."""

    def __init__(self, new: NewRun, limits: model.Limits, *, kept: bool = True) -> None:
        self._log = MemoryLog()
        super().__init__(new, self._log, limits, kept=kept)
        self.events: list[wire.AnyEvent] = []
        """Those at hand: the last ones."""
        self.forgotten = 0
        """How many came before them, which only the store has."""
        self.earlier: StoredLog | None = None
        """Where these are."""
        self.written = 0
        """How many events of the run the store has."""
        self.sealed = 0
        """How many of these are as they will stay there."""
        self.number: int | None = None
        """The store's number of the run, once it has it."""
        self.cancelled = asyncio.Event()
        self.writing = asyncio.Lock()
        self.failure: Exception | None = None
        """Our own failure to run it at all."""
        self.end: wire.EndEvent | None = None
        self._printed = 0
        self._changed = asyncio.Event()

    def append(self, batch: list[wire.AnyEvent]) -> None:
        """Take in the next events. Printed text past the limit is cut."""
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
                    self.error = program_error(event.failure)
                case _:
                    pass
            self.events.append(event)
            self._log.append(event)
            self.size += _size(event)
        self.wake()

    @property
    def count(self) -> int:
        """How many events there are so far."""
        return self.forgotten + len(self.events)

    def forget(self, stored: Callable[[tuple[int, int, int], int], StoredLog]) -> None:
        """Leave to the store what it has for good; ``stored`` gives the log of what is before a place, with its counts."""
        gone, kept = self.events[: self.sealed - self.forgotten], self.events[self.sealed - self.forgotten :]
        if not gone:
            return
        counts = self.counts
        graphs, passes, steps = (
            count - sum(isinstance(event, kind) for event in kept)
            for count, kind in zip(counts, (wire.GraphEvent, wire.PassEvent, wire.StepEvent), strict=True)
        )
        self.earlier = stored((graphs, passes, steps), self.sealed)
        self.events, self.forgotten = kept, self.sealed
        self._log = self.recording.log = MemoryLog(kept, self.earlier, self._log.nonfinite())
        self.size = sum(map(_size, kept))

    @property
    def changed(self) -> asyncio.Event:
        """Is set when there is something newer than now."""
        return self._changed

    def wake(self) -> None:
        """Tell all who wait that there is something new."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def until_ended(self) -> None:
        """Wait for the end; raises our own failure, if it was one."""
        while not (self.ended or self.failure):
            await self._changed.wait()
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


def program_error(failure: wire.ProgramFailure | None) -> model.ProgramError | None:
    """A failure as the API tells it."""
    if failure is None:
        return None
    line = failure.line if failure.line >= 0 else None
    return model.ProgramError(failure.type, failure.message, failure.file, line, failure.traceback, failure.columns)


def moment(seconds: float) -> str:
    """A time as the API writes it.

    >>> moment(0.0)
    '1970-01-01T00:00:00.000Z'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def title(program: str) -> str:
    """What to call a program in a list: its first line that says something.

    >>> title("import torch\\n\\n# Fit a line\\nx = 1")
    'Fit a line'
    """
    lines = [line.strip() for line in program.splitlines() if line.strip()]
    telling = next((line for line in lines if not line.startswith(("import ", "from ", "pass  #"))), lines[0] if lines else "")
    telling = telling.lstrip("# ") or telling
    return telling if len(telling) <= 80 else f"{telling[:79]}…"


def _size(event: wire.AnyEvent) -> int:
    match event:
        case wire.GraphEvent():
            return 100 * len(event.kind) + 30 * len(event.gradient)
        case wire.PassEvent() | wire.StepEvent() | wire.LinesEvent():
            return 500 + 100 * len(event.tensors.dtype) + len(event.tensors.values)
        case wire.OutputEvent():
            return 100 + len(event.text)
        case _:
            return 200

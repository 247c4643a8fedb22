"""Record the programs that pages show, of examples and of lessons, once for all visitors."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable
from functools import cache
from typing import Final

from msgspec import Struct

from .. import model
from ..assets import PACKAGE
from ..errors import NotFound, TapedeckError
from ..examples import Example
from ..executor import Executor
from ..inputs.request import Request
from ..runs.archive import OURS
from ..runs.manager import Runs
from ..runs.run import LiveRun, RecordedRun

VISIT_SECONDS: Final = 3.0
"""Seconds that a page waits for the recording of its example. A later page shows it without waiting."""
QUEUE_SECONDS: Final = 0.5
"""Seconds that a page waits while the example is in the queue. On a busy server, the page then has no recording."""

log = logging.getLogger(__name__)


class SharedProgram(Struct, frozen=True):
    """A program that is recorded once. Its ``slug`` differs from those of all others, and from those of examples."""

    slug: str
    program: model.Program
    seed: int | None = 0


class ExampleRuns:
    """The recordings of examples and lessons, each made on first use. ``torch`` is the version of PyTorch."""

    def __init__(self, runs: Runs, executor: Executor, torch: str | None) -> None:
        self._runs = runs
        self._executor = executor
        self._torch = torch
        self._recorded: dict[str, str] = {}
        """Id of the run of each example."""
        self._live: dict[str, RecordedRun] = {}
        """The runs that are in the queue or running."""
        self._recording: dict[str, asyncio.Task[RecordedRun | None]] = {}

    async def prepare(self, examples: Iterable[Example | SharedProgram]) -> None:
        """Record examples one after another, as soon as programs can be run and before anybody visits their pages.

        Examples that the store has are not recorded again. A visitor's program never waits for more than one example.
        """
        await self._executor.settled()
        for example in examples:
            await self.find(example, seconds=None)

    async def find(self, example: Example | SharedProgram, *, seconds: float | None = VISIT_SECONDS) -> RecordedRun | None:
        """Return the recording of an example; ``None`` if programs cannot be run, or if recording takes over ``seconds``.

        All callers share one recording of an example, and never wait for the recording of another example.
        """
        if (id := self._recorded.get(example.slug)) is not None:
            try:
                return await self._runs.find(id)
            except NotFound:  # the run has expired
                self._recorded.pop(example.slug, None)
        if (recording := self._recording.get(example.slug)) is None:
            if not self._executor.ready:
                return None
            recording = self._recording[example.slug] = asyncio.get_running_loop().create_task(self._record(example))
            recording.add_done_callback(lambda done: self._recording.pop(example.slug, None))
        if seconds is not None and not await _done_within(min(seconds, QUEUE_SECONDS), recording):
            live = self._live.get(example.slug)
            seconds = 0 if live is None or live.status == "queued" else seconds - QUEUE_SECONDS
        await _done_within(seconds, recording)
        return recording.result() if recording.done() and not recording.cancelled() else None

    async def close(self) -> None:
        """Stop waiting for recordings."""
        for recording in (tasks := list(self._recording.values())):
            recording.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _record(self, example: Example | SharedProgram) -> RecordedRun | None:
        prepared = example if isinstance(example, SharedProgram) else _prepared(example)
        request = Request(prepared.program, model.Options(seed=prepared.seed))
        try:
            recorded = await self._runs.submit(request, OURS, key=f"{OURS}:{_edition(prepared, self._torch)}")
            if isinstance(recorded, LiveRun):
                self._live[example.slug] = recorded
                await recorded.until_ended()
        except TapedeckError as error:
            log.info("The example %s could not be recorded: %s", example.slug, error)
            return None
        except Exception:
            log.exception("The example %s could not be recorded.", example.slug)
            return None
        finally:
            self._live.pop(example.slug, None)
        self._recorded[example.slug] = recorded.id
        return recorded


async def _done_within(seconds: float | None, task: asyncio.Task[RecordedRun | None]) -> bool:
    """Wait at most ``seconds`` for the end of a task, without cancelling it. Return whether it has ended."""
    done, _ = await asyncio.wait((task,), timeout=None if seconds is None else max(0.0, seconds))
    return bool(done)


def _prepared(example: Example) -> SharedProgram:
    cells = [(1, max(1, len(model.program_lines(example.program))))]
    return SharedProgram(example.slug, model.Program(example.program, "program", cells))


def _edition(prepared: SharedProgram, torch: str | None) -> str:
    """Return a digest of the program, the version of torch, and the code of ``tracer`` and ``explain``."""
    program = prepared.program
    parts = [program.text] if program.kind == "program" else [program.text, str(program.cells), str(prepared.seed)]
    return hashlib.blake2b("\n".join([str(torch), _code_digest(), *parts]).encode(), digest_size=16).hexdigest()


@cache
def _code_digest() -> str:
    digest = hashlib.blake2b(digest_size=16)
    for source in sorted(path for folder in ("tracer", "explain") for path in (PACKAGE / folder).rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()

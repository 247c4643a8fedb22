"""Record the programs of examples and lessons, which pages show, once for all visitors.

The id of such a recording is derived from its program. So a link or an embed in a course page stays valid across restarts,
updates of PyTorch or Tapedeck, and the loss of the store.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable
from functools import cache
from typing import Final

import msgspec
from msgspec import Struct

from .. import model
from ..assets import PACKAGE
from ..errors import NotFound, TapedeckError
from ..examples import Example
from ..executor import Executor
from ..inputs.request import Request
from ..runs.manager import Runs
from ..runs.run import OURS, LiveRun, RecordedRun
from ..runs.turns import Client

PASSING: Final = f"{OURS}:passing"
"""Owner of the recordings that expire, and that a full store deletes. Those of :data:`OURS` do not expire."""
VISIT_SECONDS: Final = 3.0
"""Seconds that a page waits for the recording of its example. A later page shows it without waiting."""
QUEUE_SECONDS: Final = 0.5
"""Seconds that a page waits while the example is in the queue. On a busy server, the page then has no recording."""

RETRIED: Final[frozenset[model.Status]] = frozenset(
    {"interrupted", "cancelled", "killed", "timed_out", "out_of_memory", "output_limit"}
)
"""States of a stored recording that the server caused, not the program. A new server makes such a recording again."""

log = logging.getLogger(__name__)


class SharedProgram(Struct, frozen=True):
    """A program that is recorded once. ``name`` is its name in the server's log. A ``lasting`` recording never expires."""

    name: str
    program: model.Program
    seed: int | None = 0
    lasting: bool = True

    @property
    def id(self) -> str:
        """The id of the recording: a digest of the program and its seed."""
        program = self.program
        parts = msgspec.json.encode((program.kind, program.text, program.cells, program.notes, self.seed))
        return hashlib.blake2b(parts, digest_size=16).hexdigest()


class ExampleRuns:
    """The recordings of examples and lessons, each made on first use. ``torch`` is the version of PyTorch."""

    def __init__(self, runs: Runs, executor: Executor, torch: str | None) -> None:
        self._runs = runs
        self._executor = executor
        self._torch = torch
        self._edition = _edition(torch)
        self._known: dict[str, SharedProgram] = {}
        """The programs whose recordings are made again if the store loses them, by the recording's id."""
        self._recorded: set[str] = set()
        """Ids of the recordings that this server has made or found."""
        self._live: dict[str, RecordedRun] = {}
        """The runs that are in the queue or running, by id."""
        self._recording: dict[str, asyncio.Task[RecordedRun | None]] = {}

    def know(self, examples: Iterable[Example | SharedProgram]) -> None:
        """Register programs whose recordings :meth:`again` makes again if a request names their ids."""
        self._known |= {program.id: program for program in map(_shared, examples)}

    def knows(self, id: str) -> bool:
        """Return whether a registered program has the id."""
        return id in self._known

    def id_of(self, example: Example | SharedProgram) -> str:
        """Return the id that the recording of an example has, whether or not it is made already."""
        return _shared(example).id

    async def prepare(self, examples: Iterable[Example | SharedProgram]) -> None:
        """Record examples one after another, as soon as programs can be run and before anybody visits their pages.

        Examples that the store has are not recorded again. A visitor's program never waits for more than one example.
        """
        await self._executor.settled()
        for example in examples:
            await self.find(example, seconds=None)

    async def find(
        self, example: Example | SharedProgram, *, seconds: float | None = VISIT_SECONDS, client: Client | None = None
    ) -> RecordedRun | None:
        """Return the recording of an example; ``None`` if programs cannot be run, or if recording takes over ``seconds``.

        All callers share one recording of an example, and never wait for the recording of another example. If the example is
        recorded now, it runs in turn with the programs of ``client``; by default, with the other examples.
        """
        program = _shared(example)
        id = program.id
        if id in self._recorded:
            try:
                return await self._runs.find(id)
            except NotFound:  # the run has expired
                self._recorded.discard(id)
        if (recording := self._recording.get(id)) is None:
            if not self._executor.ready:
                return None
            recording = self._recording[id] = asyncio.get_running_loop().create_task(self._record(program, client))
            recording.add_done_callback(lambda done: self._recording.pop(id, None))
        if seconds is not None and not await _done_within(min(seconds, QUEUE_SECONDS), recording):
            live = self._live.get(id)
            seconds = 0 if live is None or live.status == "queued" else seconds - QUEUE_SECONDS
        await _done_within(seconds, recording)
        return recording.result() if recording.done() and not recording.cancelled() else None

    async def again(self, id: str) -> RecordedRun | None:
        """Make and return the recording with an id that the store lacks; ``None`` if no registered program has the id."""
        program = self._known.get(id)
        return None if program is None else await self.find(program) or self._live.get(id)

    async def close(self) -> None:
        """Stop waiting for recordings."""
        for recording in (tasks := list(self._recording.values())):
            recording.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _record(self, program: SharedProgram, client: Client | None) -> RecordedRun | None:
        id = program.id
        try:
            recorded = await self._current(id)
            if recorded is None:
                request = Request(program.program, model.Options(seed=program.seed))
                owner = OURS if program.lasting else PASSING
                recorded = await self._runs.submit(
                    request, owner, client=client, fingerprint=self._edition, replaced=id, lasting=program.lasting
                )
            if isinstance(recorded, LiveRun):
                self._live[id] = recorded
                await recorded.until_ended()
        except TapedeckError as error:
            log.info("The example %s could not be recorded: %s", program.name, error)
            return None
        except Exception:
            log.exception("The example %s could not be recorded.", program.name)
            return None
        finally:
            self._live.pop(id, None)
        self._recorded.add(id)
        return recorded

    async def _current(self, id: str) -> RecordedRun | None:
        """Return the stored recording with an id; ``None`` if there is none or if it must be made again."""
        try:
            found = await self._runs.find(id)
        except NotFound:
            return None
        return found if found.new.fingerprint == self._edition and found.status not in RETRIED else None


async def _done_within(seconds: float | None, task: asyncio.Task[RecordedRun | None]) -> bool:
    """Wait at most ``seconds`` for the end of a task, without cancelling it. Return whether it has ended."""
    done, _ = await asyncio.wait((task,), timeout=None if seconds is None else max(0.0, seconds))
    return bool(done)


def _shared(example: Example | SharedProgram) -> SharedProgram:
    if isinstance(example, SharedProgram):
        return example
    cells = [(1, max(1, len(model.program_lines(example.program))))]
    return SharedProgram(example.slug, model.Program(example.program, "program", cells))


def _edition(torch: str | None) -> str:
    """Return a digest of the version of torch, and of the code of ``tracer`` and ``explain``."""
    return hashlib.blake2b(f"{torch}\n{_code_digest()}".encode(), digest_size=16).hexdigest()


@cache
def _code_digest() -> str:
    digest = hashlib.blake2b(digest_size=16)
    for source in sorted(path for folder in ("tracer", "explain") for path in (PACKAGE / folder).rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()

"""Collect the parts of a running server that requests need."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from importlib import metadata
from typing import Any, Final, Literal, ParamSpec, TypeVar, cast

from fastapi import Request
from starlette.requests import HTTPConnection

from .. import model
from ..assets import PACKAGE
from ..byte_cache import ByteCache
from ..drawing.conversion import Converter
from ..drawing.engine import LayoutEngine
from ..errors import NotFound, OverBudget, TapedeckError
from ..examples import Example
from ..executor import Executor
from ..inputs import request as requests
from ..replays import Replays
from ..runs.archive import Archive
from ..runs.manager import Finder, Runs
from ..runs.run import LiveRun, RecordedRun
from ..settings import Settings
from ..workers import Budget, Workers
from .event_stream import Listeners
from .feed import Feeds
from .owner import Owners
from .readiness import ReadinessChecks
from .responses import CachedAnswer

P = ParamSpec("P")
T = TypeVar("T")

Mode = Literal["full", "nofiles", "unconfined", "refused", "starting"]

OURS: Final = "tapedeck"
"""Owner of the example recordings that the playground opens with. No caller's key or cookie contains this owner."""
EXAMPLE_SECONDS: Final = 3.0
"""Seconds that a page waits for the recording of its example."""
READING: Final = Budget(cpu_seconds=1.5, wall_seconds=15.0)
"""What reading one request may take. The largest notebook that is valid takes about a third of a second of processor time."""
LIGHT_BYTES: Final = 200_000
"""Largest recording in memory, in bytes, that is read on the event loop: reading it is faster than a thread switch."""


ANSWER_BYTES: Final = 32 * 1024 * 1024
"""Size of the encoded answers about ended runs that are cached in memory."""


class Service:
    """The parts of a running server. An app creates one when it starts."""

    def __init__(
        self,
        settings: Settings,
        archive: Archive,
        runs: Runs,
        replays: Replays,
        executor: Executor,
        workers: Workers,
        finder: Finder,
        owners: Owners,
        engine: LayoutEngine,
        converter: Converter,
        examples: list[Example],
    ) -> None:
        self.settings = settings
        self.archive = archive
        self.runs = runs
        self.replays = replays
        self.executor = executor
        self.workers = workers
        self.finder = finder
        self.owners = owners
        self.engine = engine
        self.converter = converter
        self.examples = examples
        self.readiness = ReadinessChecks(executor, archive)
        self.feeds = Feeds(archive)
        self.listeners = Listeners(settings.streams, settings.streams_of_run, settings.streams_of_address)
        self.answers = ByteCache[tuple[str, str], CachedAnswer](ANSWER_BYTES)
        """Encoded answers about ended runs, by run and address."""
        self.torch = version_of("torch")
        self.numpy = version_of("numpy")
        self._example_runs: dict[str, str] = {}
        self._example_lock = asyncio.Lock()

    @property
    def limits(self) -> model.Limits:
        return self.settings.limits

    @property
    def mode(self) -> Mode:
        """How programs are confined, or why no programs are run."""
        if not self.executor.ready:
            return "starting" if self.executor.failure is None else "refused"
        mode = self.executor.mode
        return "unconfined" if mode == "none" else mode

    async def parse(self, posted: requests.Posted) -> requests.Request:
        """Return the request for a run that a body contains. One that could take long to read is read by a worker.

        Raises the errors of :func:`requests.parse`, and :class:`OverBudget`.
        """
        if posted.kind == "training":
            await self.executor.settled()  # the optimizers are known then
        optimizers = self.executor.optimizers if posted.kind == "training" else None
        if posted.light:
            return requests.parse(posted, self.limits, optimizers)
        try:
            return await self.workers.run(requests.parse, posted, self.limits, optimizers, budget=READING)
        except OverBudget as error:
            remedy = "Send less code, or simpler code, as one program."
            raise OverBudget(f"The {posted.kind} cannot be read. {error} {remedy}", where=posted.kind) from error

    def drain(self) -> None:
        """Refuse new runs and replays, and those that wait for a slot. What runs continues."""
        self.runs.drain()
        self.replays.drain()

    async def read(self, recorded: RecordedRun, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Read from a recording: on the event loop if it is small and in memory, otherwise in a thread."""
        if isinstance(recorded, LiveRun) and recorded.size <= LIGHT_BYTES and not recorded.forgotten:
            return work(*args, **kwargs)
        return await self.archive.beside(lambda: work(*args, **kwargs))

    async def example_run(self, example: Example) -> RecordedRun | None:
        """Return the recording of an example, which is made on first use, or ``None`` while programs cannot be run."""
        async with self._example_lock:
            if (id := self._example_runs.get(example.slug)) is not None:
                try:
                    return await self.runs.find(id)
                except NotFound:  # the run has expired
                    del self._example_runs[example.slug]
            if not self.executor.ready:
                return None
            cells = [(1, max(1, len(example.program.splitlines())))]
            request = requests.Request(model.Program(example.program, "program", cells), model.Options())
            try:
                recorded = await self.runs.submit(request, OURS, key=f"{OURS}:{_edition(example.program, self.torch)}")
                if isinstance(recorded, LiveRun):
                    async with asyncio.timeout(EXAMPLE_SECONDS):
                        await recorded.until_ended()
            except (TapedeckError, TimeoutError):
                return None
            self._example_runs[example.slug] = recorded.id
            return recorded


def version_of(package: str) -> str | None:
    """Return the installed version of a package without importing it, or ``None`` if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _edition(program: str, torch: str | None) -> str:
    """Return a digest of the program, the version of torch, and the code of ``tracer`` and ``explain``."""
    digest = hashlib.blake2b(f"{torch}\n{program}".encode(), digest_size=16)
    for source in sorted(path for folder in ("tracer", "explain") for path in (PACKAGE / folder).rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def service_of(request: Request | HTTPConnection) -> Service:
    """Return the service of the app that handles a request."""
    return cast(Service, request.app.state.service)


def root_of(request: Request | HTTPConnection) -> str:
    """Return the path under which a proxy serves the app, without a slash at its end."""
    scope = request.scope
    root: Any = scope.get("app_root_path", scope.get("root_path", ""))  # a mount changes the latter
    return str(root).rstrip("/")

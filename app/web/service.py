"""Collect the parts of a running server that requests need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any, Final, Literal, ParamSpec, TypeVar, cast

from fastapi import Request
from starlette.requests import HTTPConnection

from .. import model
from ..byte_cache import ByteCache
from ..drawing.conversion import Converter
from ..drawing.engine import LayoutEngine
from ..drawing.picture import Tools
from ..errors import Busy, NotFound, OverBudget
from ..examples import FIRST_VISIT, Example
from ..executor import Executor
from ..inputs import request as requests
from ..lessons.shelf import Shelf
from ..replays import Replays
from ..runs.archive import Archive
from ..runs.manager import Finder, Runs
from ..runs.run import LiveRun, RecordedRun
from ..settings import Settings
from ..workers import Budget, FairGate, Workers
from .example_runs import ExampleRuns
from .pictures import RunReader
from .protection.clients import sender_of
from .protection.owner import Owners
from .readiness import ReadinessChecks
from .responses import CachedAnswer
from .streams.classrooms import Classrooms
from .streams.event_stream import Listeners
from .streams.feed import Feeds

P = ParamSpec("P")
T = TypeVar("T")

Mode = Literal["full", "nofiles", "unconfined", "refused", "starting"]

SPLIT_BYTES: Final = 1_000_000
"""Largest body in bytes that is split into its parts on the event loop, which takes some milliseconds."""
READING: Final = Budget(cpu_seconds=1.5, wall_seconds=15.0)
"""Limits on reading one request. The largest valid notebook takes about a third of a second of processor time."""
LIGHT_BYTES: Final = 200_000
"""Largest recording in memory, in bytes, that is read on the event loop: reading it is faster than a thread switch."""
RECORDED_AFTER: Final = 3.0
"""Seconds after which a recording that a starting server has not made yet is requested again."""
ANSWER_BYTES: Final = 16 * 1024 * 1024
"""Size of the encoded answers about ended runs that are cached in memory."""


def being_recorded() -> Busy:
    """Return the error for a recording of an example or a lesson that is not made yet."""
    return Busy("This program is being recorded. Load this page again in a moment.", retry_after=RECORDED_AFTER)


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
        lessons: Shelf,
    ) -> None:
        self.settings = settings
        self.archive = archive
        self.runs = runs
        self.replays = replays
        self.executor = executor
        self.workers = workers
        self._reading = FairGate(workers.count)
        self.comparing = FairGate(1, queue=4)
        """Limits comparisons of two runs to one at a time."""
        self.explaining = FairGate(2)
        """Limits explanations of numbers to two at a time."""
        self.making = FairGate(2, queue=8)
        """Limits animations, notebooks and QR codes to two at a time."""
        self.exporting = FairGate(1, queue=8)
        """Limits HTML files of runs to one at a time."""
        self.finder = finder
        self.owners = owners
        self.engine = engine
        self.converter = converter
        self.examples = examples
        self.lessons = lessons
        self.readiness = ReadinessChecks(executor, archive)
        self.feeds = Feeds(archive)
        self.listeners = Listeners(settings.streams, settings.streams_of_run, settings.streams_of_address)
        self.classrooms = Classrooms()
        self.answers = ByteCache[tuple[str, str], CachedAnswer](ANSWER_BYTES)
        """Encoded answers about ended runs, by run and address."""
        self.torch = version_of("torch")
        self.numpy = version_of("numpy")
        self.example_runs = ExampleRuns(runs, executor, self.torch)
        self.example_runs.know(examples)

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

    @property
    def first_example(self) -> Example:
        """The example that the playground opens with."""
        return next(each for each in self.examples if each.slug == FIRST_VISIT)

    async def find(self, id: str) -> RecordedRun:
        """Return the run with an id. Raises :class:`NotFound` if there is none.

        A recording of an example or a lesson that the store has lost is made again. Raises :class:`Busy` while it cannot be
        made, because the server is starting or many programs wait.
        """
        try:
            return await self.runs.find(id)
        except NotFound:
            if (recorded := await self.example_runs.again(id)) is not None:
                return recorded
            if self.example_runs.knows(id) and self.mode != "refused":
                raise being_recorded() from None
            raise

    async def parse(self, body: bytes, media_type: str, query: Mapping[str, str], sender: str) -> requests.Request:
        """Return the request for a run that a body contains. A body that could take long to read is read by a worker.

        Senders share the workers in turn. Raises the errors of :func:`requests.read`, :class:`OverBudget` and :class:`Busy`.
        """
        optimizers = None
        if requests.may_be_training(body):
            await self.executor.settled()
            optimizers = self.executor.optimizers
        if len(body) <= SPLIT_BYTES:
            posted = requests.split(body, media_type, query, self.limits)
            if posted.light:
                return requests.parse(posted, self.limits, optimizers)
        try:
            async with self._reading.entered(sender):
                return await self.workers.run(
                    requests.read, body, media_type, dict(query), self.limits, optimizers, budget=READING
                )
        except OverBudget as error:
            raise OverBudget(f"The body cannot be read. {error} Send less code, or simpler code, as one program.") from error

    def drain(self) -> None:
        """Refuse new runs and replays, and those that wait for a slot. Programs that are executing continue."""
        self.runs.drain()
        self.replays.drain()

    async def read(self, recorded: RecordedRun, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Read from a recording: on the event loop if it is small and in memory, otherwise in a thread."""
        if isinstance(recorded, LiveRun) and recorded.size <= LIGHT_BYTES and not recorded.forgotten:
            return work(*args, **kwargs)
        return await self.archive.beside(lambda: work(*args, **kwargs))


def version_of(package: str) -> str | None:
    """Return the installed version of a package without importing it, or ``None`` if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def service_of(request: Request | HTTPConnection) -> Service:
    """Return the service of the app that handles a request."""
    return cast(Service, request.app.state.service)


def reader_of(request: Request) -> RunReader:
    """Return the reader of recordings for the sender of a request. It also draws pictures."""
    service = service_of(request)
    return RunReader(service.read, Tools(service.engine, service.converter, sender_of(request.scope)))


def root_of(request: Request | HTTPConnection) -> str:
    """Return the path under which a proxy serves the app, without a slash at its end."""
    scope = request.scope
    root: Any = scope.get("app_root_path", scope.get("root_path", ""))  # a mount changes root_path
    return str(root).rstrip("/")

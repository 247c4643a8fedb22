"""Hold what every request may need: one value, made when the app starts."""

from __future__ import annotations

import asyncio
import hashlib
from importlib import metadata
from typing import Any, Final, Literal, cast

from fastapi import Request
from starlette.requests import HTTPConnection

from .. import model
from ..assets import PACKAGE
from ..drawing.engine import LayoutEngine
from ..errors import NotFound, TapedeckError
from ..examples import Example
from ..executor import Executor
from ..inputs.request import Request as Asked
from ..replays import Replays
from ..runs.archive import Archive
from ..runs.manager import Runs
from ..runs.run import LiveRun, RecordedRun
from ..settings import Settings
from .owner import Owners

Mode = Literal["full", "nofiles", "unconfined", "refused", "starting"]

OURS: Final = "tapedeck"
"""Owner of the recordings that the pages open with; no key or cookie of anybody's says this."""
OPENING_SECONDS: Final = 3.0


class Service:
    """The parts of a running server."""

    def __init__(
        self,
        settings: Settings,
        archive: Archive,
        runs: Runs,
        replays: Replays,
        executor: Executor,
        owners: Owners,
        engine: LayoutEngine,
        examples: list[Example],
    ) -> None:
        self.settings = settings
        self.archive = archive
        self.runs = runs
        self.replays = replays
        self.executor = executor
        self.owners = owners
        self.engine = engine
        self.examples = examples
        self.torch = version_of("torch")
        self.numpy = version_of("numpy")
        self._opened: dict[str, str] = {}
        self._opening = asyncio.Lock()

    @property
    def limits(self) -> model.Limits:
        return self.settings.limits

    @property
    def mode(self) -> Mode:
        """How programs are confined, or why none is run."""
        if not self.executor.ready:
            return "starting" if self.executor.failure is None else "refused"
        mode = self.executor.mode
        return "unconfined" if mode == "none" else mode

    async def recorded(self, example: Example) -> RecordedRun | None:
        """The recording of an example, made when it is first looked at; ``None`` while no program can be run."""
        async with self._opening:
            if (id := self._opened.get(example.slug)) is not None:
                try:
                    return await self.runs.find(id)
                except NotFound:  # its time had come
                    del self._opened[example.slug]
            if not self.executor.ready:
                return None
            cells = [(1, max(1, len(example.program.splitlines())))]
            asked = Asked(model.Program(example.program, "program", cells), model.Options())
            try:
                recorded = await self.runs.submit(asked, OURS, key=f"{OURS}:{_edition(example.program, self.torch)}")
                if isinstance(recorded, LiveRun):
                    async with asyncio.timeout(OPENING_SECONDS):
                        await recorded.until_ended()
            except (TapedeckError, TimeoutError):
                return None
            self._opened[example.slug] = recorded.id
            return recorded


def version_of(package: str) -> str | None:
    """The installed version of a package, which need not be imported for that."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _edition(program: str, torch: str | None) -> str:
    """Changes whenever a recording of the program would: with its text, torch, or what records it."""
    digest = hashlib.blake2b(f"{torch}\n{program}".encode(), digest_size=16)
    for source in sorted(path for folder in ("tracer", "explain") for path in (PACKAGE / folder).rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def service_of(request: Request | HTTPConnection) -> Service:
    """The service of the app that answers a request."""
    return cast(Service, request.app.state.service)


def root_of(request: Request | HTTPConnection) -> str:
    """The path under which a proxy serves us, without a slash at its end."""
    scope = request.scope
    root: Any = scope.get("app_root_path", scope.get("root_path", ""))  # a mount changes the latter
    return str(root).rstrip("/")

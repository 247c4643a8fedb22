"""Create the server's app from settings."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import mimetypes
import os
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

from fastapi import Depends, FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from . import __version__, assets
from . import settings as settings_module
from .drawing import picture
from .drawing.conversion import WorkerConverter
from .executor import Executor, LocalExecutor
from .finder import WorkerFinder
from .lessons import library
from .lessons.running.bench import Bench
from .lessons.shelf import Shelf
from .replays import Replays
from .runs.archive import Archive
from .runs.manager import Finder, Runs
from .settings import Settings, SettingsError
from .store import Store, locked
from .web import responses
from .web.api import classroom, divergence, explanations, health, lists, problems, qr, recordings, reference, replays, runs
from .web.lessons import drags as lesson_drags
from .web.lessons import pages as lesson_pages
from .web.lessons import tasks as lesson_tasks
from .web.pages import gallery, guide, pages, teach
from .web.pages.warming import warm
from .web.protection.access import AccessCheck
from .web.protection.bodies import BodiesInFlight
from .web.protection.owner import Owners, secret_in
from .web.protection.security import CrossOriginApi, SecurityHeaders
from .web.request_parts import reject_unknown_parameters
from .web.service import Service, root_of
from .web.sharing import animations, embed, export, program_files
from .web.stopping import AnswersWhenStopped
from .workers import Workers

ONE_PROCESS: Final = (
    "Tapedeck serves from one process, because live runs and their listeners are in that process's memory. "
    "Leave --workers and WEB_CONCURRENCY at 1. To serve more, start another instance with a different TAPEDECK_DATA."
)
READERS: Final = 2
"""Number of worker processes that read notebooks, trainings and expressions."""
log = logging.getLogger(__name__)


def create_app(settings: Settings | None = None, *, executor: Executor | None = None, finder: Finder | None = None) -> FastAPI:
    """Return an app with the given settings, or with the settings of the environment. Tests pass an executor and a finder.

    The data folder is locked when the app starts, not before. Raises :class:`SettingsError` for invalid settings.
    """
    chosen = settings if settings is not None else settings_module.read()
    if os.environ.get("WEB_CONCURRENCY", "1").strip() not in ("", "0", "1"):
        raise SettingsError(ONE_PROCESS)
    root = "/" + chosen.root_path.strip("/") if chosen.root_path.strip("/") else ""
    if not re.fullmatch(r"(/[\w.~-]+)*", root):
        raise SettingsError(f"TAPEDECK_ROOT_PATH={chosen.root_path!r} is not a path such as /tapedeck.")
    embed.frame_ancestors(chosen.embed_in)  # raises SettingsError

    token = chosen.token or (secrets.token_urlsafe(24) if chosen.unconfined else "")
    if token and not chosen.token:
        log.warning("Programs run as you. Requests need the token %s, for example as /?token=…", token)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        folder = None if chosen.data == ":memory:" else Path(chosen.data)
        with _locked(folder):
            workers = Workers(READERS, modules=(f"{__package__}.inputs.request",))
            app.state.service = service = _service(
                chosen, folder, executor or LocalExecutor(chosen), workers, finder or WorkerFinder(_slots(chosen))
            )
            if chosen.lessons or executor is None:  # a problem is reported before the server starts
                await run_in_threadpool(service.lessons.load)
            app.state.metrics = health.registry_of(service)
            await service.archive.start()
            await service.executor.start()
            await service.finder.start()
            preparing: asyncio.Future[Any] | None = None
            if (
                executor is None
            ):  # in tests, the first call starts the workers and compiles templates, and the first visit records the example
                await workers.start()
                service.engine.prepare()
                preparing = asyncio.create_task(_prepare(service))
                await run_in_threadpool(warm, app)
            await run_in_threadpool(int)  # starts the thread pool, so that the first response does not wait for it
            try:
                yield
            finally:
                if preparing is not None:
                    preparing.cancel()
                await service.example_runs.close()
                service.lessons.close()
                await service.runs.close()
                await service.replays.close()
                await service.finder.close()
                await service.engine.close()
                await service.converter.close()
                await service.executor.close()
                await service.archive.close()
                await workers.close()

    app = FastAPI(
        title="Tapedeck",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # a redirect would contain the host name that the caller sent
        middleware=[
            Middleware(AnswersWhenStopped),
            Middleware(ProxyHeadersMiddleware, trusted_hosts=_listed(chosen.trusted_proxies)),
            Middleware(SecurityHeaders, root_path=root, private=bool(token)),
            Middleware(AccessCheck, token=token, hosts=_listed(chosen.allowed_hosts), loopback=chosen.unconfined),
            *([] if token else [Middleware(CrossOriginApi)]),
            Middleware(GZipMiddleware, minimum_size=1_000, compresslevel=5),
            Middleware(BodiesInFlight, limits=chosen.connections),
        ],
    )
    problems.install(app, embed.failure)
    api = (
        runs, divergence, export, recordings, animations, program_files, explanations, lists, replays, lesson_tasks,
        lesson_drags, classroom,
    )  # fmt: skip
    for router in (*(module.router for module in api), health.api):
        app.include_router(router, dependencies=[Depends(reject_unknown_parameters)])
    for module in (health, pages, gallery, qr, embed, guide, teach, lesson_pages):
        app.include_router(module.router)

    @app.get("/openapi.json", include_in_schema=False)
    async def describe(request: Request) -> Response:
        running: Service | None = getattr(app.state, "service", None)
        description = reference.describe(app, root_of(request), running.executor.optimizers if running else None)
        return responses.json(description, headers={"Cache-Control": "no-cache"})

    app.mount("/static", Bundle(directory=assets.static_path()), "static")
    return app


async def _prepare(service: Service) -> None:
    """Record the first example and then, if the setting allows it, the other examples and the programs of the lessons."""
    await service.example_runs.prepare([service.first_example])
    in_lessons = [each for lesson in service.lessons.lessons for each in lesson_pages.prepared_runs(lesson).values()]
    service.example_runs.know(in_lessons)
    if service.settings.record_examples:
        await service.example_runs.prepare([*service.examples, *in_lessons])
        for lesson in service.lessons.lessons:
            await lesson_pages.stated(service, lesson, seconds=None)


def _service(settings: Settings, folder: Path | None, executor: Executor, workers: Workers, finder: Finder) -> Service:
    archive = Archive(Store(folder, durable=settings.durable), settings.limits, settings.memory_mb << 20)
    secret = settings.secret or (secret_in(folder) if folder else os.urandom(16).hex())
    runs = Runs(settings, archive, executor, finder, _slots(settings))
    replayed = Replays(settings.limits, archive, executor, runs.slots)
    engine = picture.shared_engine(settings.dot, folder)
    examples, owners = gallery.all_examples(), Owners(secret)
    shelf = Shelf(lambda: library.with_folder(settings.lessons), Bench(runs, replayed, settings.limits))
    return Service(
        settings, archive, runs, replayed, executor, workers, finder, owners, engine, WorkerConverter(), examples, shelf
    )


def _slots(settings: Settings) -> int:
    """Return how many programs of one session run at once."""
    return settings.concurrent or settings_module.cores()


def _listed(text: str) -> list[str]:
    """Return the parts of a setting that are separated by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


@contextlib.contextmanager
def _locked(folder: Path | None) -> Iterator[None]:
    """Lock the data folder for this process. Raises :class:`SettingsError` if another process has locked it."""
    if folder is None:
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(folder))
        except BlockingIOError as error:
            raise SettingsError(f"Another Tapedeck already uses {folder}. {ONE_PROCESS}") from error
        yield


PACKED: Final = {"br": ".br", "gzip": ".gz"}
"""The ending of a file that was compressed at build time, by its encoding, the smallest first."""


class Bundle(StaticFiles):
    """Serve the bundled front end. Clients that accept Brotli or gzip get the files that were compressed at build time.

    A file whose name contains a hash of its content may be cached forever.
    """

    async def get_response(self, path: str, scope: Scope) -> Response:
        accepted = {each.partition(";")[0].strip() for each in Headers(scope=scope).get("accept-encoding", "").split(",")}
        encodings = [name for name in PACKED if name in accepted and self.lookup_path(path + PACKED[name])[1] is not None]
        if encodings:
            response = await super().get_response(path + PACKED[encodings[0]], scope)
            response.headers["Content-Type"] = _content_type(path)
            response.headers["Content-Encoding"] = encodings[0]
            response.headers.add_vary_header("Accept-Encoding")
        else:
            response = await super().get_response(path, scope)
        if re.search(r"-[A-Z0-9]{8}\.\w+$", path):
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def _content_type(path: str) -> str:
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def __getattr__(name: str) -> Any:
    """Create an app when ``tapedeck.main:app`` is read, for servers that import an app by name."""
    if name == "app":
        return create_app()
    raise AttributeError(name)

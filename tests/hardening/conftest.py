"""Provide a server in this process that answers hostile requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from tapedeck.explain.findings import Findings
from tapedeck.main import create_app
from tapedeck.runs.run import LiveRun
from tapedeck.settings import Settings

from ..fake_executor import FakeExecutor, InlineFinder
from ..handmade_events import fit
from ..web.conftest import client_of

Ask = Callable[..., httpx.Response]


class NoFinder:
    """Makes no findings, for tests of the requests alone."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...

    async def find(self, recorded: LiveRun) -> Findings:
        return Findings([], [])


@pytest.fixture(scope="module")
def ask(request: pytest.FixtureRequest) -> Iterator[Ask]:
    """Send a request to one app, on which every program is the same small training loop.

    A test module may have a class ``Finder`` of its own.
    """
    finder = getattr(request.module, "Finder", InlineFinder)()
    with start_blocking_portal() as portal:
        app = create_app(Settings(data=":memory:"), executor=FakeExecutor(fit()), finder=finder)
        with portal.wrap_async_context_manager(app.router.lifespan_context(app)):
            client = client_of(app)
            yield lambda method, path, **options: portal.call(partial(client.request, method, path, **options))
            portal.call(client.aclose)

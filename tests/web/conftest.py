"""Provide each test with its own app and database, called in process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from tapedeck.main import create_app
from tapedeck.model import Limits
from tapedeck.settings import Settings

from ..fake_executor import FakeExecutor, InlineFinder
from ..handmade_events import fit

Serve = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Start an app whose programs emit the given batches of events. The app stops when the block ends."""

    @asynccontextmanager
    async def started(
        *batches: Any,
        limits: Limits | None = None,
        executor: Any = None,
        finder: Any = None,
        folder: Path | None = None,
        **settings: Any,
    ) -> AsyncIterator[httpx.AsyncClient]:
        chosen = Settings(data=str(folder or tmp_path), limits=limits or Limits(), **settings)
        app = create_app(chosen, executor=executor or FakeExecutor(*(batches or (fit(),))), finder=finder or InlineFinder())
        async with app.router.lifespan_context(app), client_of(app) as client:
            yield client

    return started


def client_of(app: FastAPI) -> httpx.AsyncClient:
    """Return a client of an app, with its own cookies."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://testserver")


@pytest.fixture
async def client(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an app on which every program is the same small training loop."""
    async with serve() as caller:
        yield caller

"""Tests of the work that a server does before its first visitor."""

from __future__ import annotations

import linecache

import fastapi.routing
import httpx
import jinja2
import pytest
from tapedeck.web.api import classroom, runs
from tapedeck.web.lessons import drags
from tapedeck.web.pages import pages, templates
from tapedeck.web.pages.warming import warm

from ..conftest import Serve

pytestmark = pytest.mark.anyio


async def test_a_warm_server_builds_no_route_and_compiles_no_template(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    templates._environment.cache_clear()
    built: list[str] = []

    def count(owner: object, name: str) -> None:
        original = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *args, **named: (built.append(name), original(*args, **named))[1])

    async with serve() as client:
        count(fastapi.routing, "get_dependant")
        count(jinja2.Environment, "compile")
        warm(client._transport.app)  # type: ignore[attr-defined]
        assert set(built) == {"get_dependant", "compile"}
        built.clear()
        for path in ("/", "/examples", "/findings", "/docs", "/nowhere", "/api/v1/runs", "/healthz"):
            await client.get(path)
        assert built == []


async def test_a_warm_server_knows_the_files_of_all_modules_with_routes(client: httpx.AsyncClient) -> None:
    linecache.clearcache()
    warm(client._transport.app)  # type: ignore[attr-defined]
    for module in (pages, runs, drags, classroom):
        assert module.__file__ in linecache.cache

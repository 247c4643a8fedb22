"""A real nginx with the configuration in deploy/ serves pages, runs, event streams and the reference under a path."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path

import httpx
import pytest
from tapedeck.model import Limits
from tapedeck.settings import Settings

from ..conftest import nginx_path
from ..fake_executor import FakeExecutor, gate
from ..handmade_events import FIT, fit
from .real_server import LIVENESS, RealServer, listening, until

pytestmark = [pytest.mark.anyio, pytest.mark.nginx]

SNIPPET = (Path(__file__).parent.parent.parent / "deploy" / "nginx.conf").read_text()
API = "/tapedeck/api/v1"
HTML = {"Accept": "text/html"}


def configuration(port: int, upstream: int, folder: Path) -> str:
    """Return a complete configuration of nginx that includes the snippet in ``deploy/``, with another port of Tapedeck."""
    own = folder / "tapedeck.conf"
    own.write_text(SNIPPET.replace("127.0.0.1:8000", f"127.0.0.1:{upstream}"))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return f"""
        daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
        events {{ worker_connections 256; }}
        http {{
            access_log off;
            {" ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)}
            server {{ listen 127.0.0.1:{port}; include {own}; }}
        }}
    """


@asynccontextmanager
async def nginx(server: RealServer, folder: Path) -> AsyncIterator[str]:
    """Start nginx in front of a server, and yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    main = folder / "nginx.conf"
    main.write_text(configuration(port, server.port, folder))
    executable = nginx_path()
    assert executable
    process = await asyncio.create_subprocess_exec(
        executable, "-p", str(folder), "-c", str(main), "-e", str(folder / "error.log")
    )
    try:
        await until(lambda: process.returncode is not None or accepts(port))
        assert process.returncode is None, (folder / "error.log").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@asynccontextmanager
async def serve(
    folder: Path, *batches: object, limits: Limits | None = None
) -> AsyncIterator[tuple[RealServer, Callable[..., httpx.AsyncClient]]]:
    """Serve behind nginx. Yield the server, and a function that returns a client of nginx."""
    settings = Settings(data=":memory:", root_path="/tapedeck", limits=limits or Limits())
    async with listening(FakeExecutor(*(batches or (fit(),))), settings) as server, nginx(server, folder) as address:

        def client(source: str = "127.0.0.1") -> httpx.AsyncClient:
            transport = httpx.AsyncHTTPTransport(local_address=source)
            return httpx.AsyncClient(transport=transport, base_url=address, timeout=LIVENESS)

        yield server, client


async def test_a_run_is_posted_and_read(tmp_path: Path) -> None:
    async with serve(tmp_path) as (_, client_from), client_from() as client:
        posted = await client.post(f"{API}/runs", json={"program": FIT})
        assert posted.status_code == 201, posted.text
        assert posted.headers["location"] == f"{API}/runs/{posted.json()['id']}"
        assert "Path=/tapedeck" in posted.headers["set-cookie"]
        read = await client.get(posted.headers["location"])
        assert read.json()["lines"] == posted.json()["lines"]
        drawn = await client.post(f"{API}/runs", json={"program": FIT}, headers={"Accept": "image/svg+xml"})
        assert drawn.headers["content-type"] == "image/svg+xml"
        assert [run["id"] for run in (await client.get(f"{API}/runs")).json()["runs"]][-1:] == [posted.json()["id"]]


async def test_pages_and_the_files_that_they_name_are_served_under_the_path(tmp_path: Path) -> None:
    async with serve(tmp_path) as (_, client_from), client_from() as client:
        run = (await client.post(f"{API}/runs", json={"program": FIT})).json()
        named = set()
        for path in ("/tapedeck/", run["links"]["page"], "/tapedeck/examples", "/tapedeck/findings", "/tapedeck/docs"):
            page = await client.get(path, headers=HTML)
            assert page.status_code == 200, path
            found = re.findall(r'(?:href|src|data-openapi)="(/[^"#]*)', unescape(page.text))
            assert all(link.startswith("/tapedeck/") for link in found), found
            named |= {link for link in found if "/static/" in link or "openapi" in link}
        assert len(named) > 5
        for link in named:
            assert (await client.get(link)).status_code == 200, link
        assert (await client.get("/tapedeck/openapi.json")).json()["servers"] == [{"url": "/tapedeck"}]


async def test_the_path_without_a_slash_leads_to_the_page(tmp_path: Path) -> None:
    async with serve(tmp_path) as (_, client_from), client_from() as client:
        redirect = await client.get("/tapedeck")
        assert (redirect.status_code, redirect.headers["location"]) == (308, "/tapedeck/")


async def test_events_arrive_while_the_run_is_in_progress(tmp_path: Path) -> None:
    go_on, waiting = gate()
    events = fit()
    async with serve(tmp_path, events[:3], waiting, events[3:]) as (_, client_from), client_from() as client:
        run = (await client.post(f"{API}/runs", json={"program": FIT}, headers={"Prefer": "wait=0"})).json()
        assert run["status"] in ("queued", "running")
        async with client.stream("GET", run["links"]["events"]) as stream:
            lines = stream.aiter_lines()
            seen = [await anext(lines)]
            while not seen[-1].startswith("data:"):
                seen.append(await anext(lines))
            assert "event: started" in seen  # nginx passed the event on although the response has not ended
            go_on.set()
            rest = [line async for line in lines]
        assert "event: end" in rest


async def test_clients_have_their_own_addresses(tmp_path: Path) -> None:
    async with serve(tmp_path, gate()[1]) as (server, client_from), client_from() as one, client_from("127.0.0.2") as other:
        addresses = set()
        for client in (one, other):
            await client.post(f"{API}/runs", json={"program": FIT}, headers={"Prefer": "wait=0"})
            addresses |= {ticket.client.address for ticket in server.service.runs.slots._running}
        assert addresses == {"127.0.0.1", "127.0.0.2"}


async def test_tapedeck_itself_refuses_a_body_that_is_too_large(tmp_path: Path) -> None:
    most = Limits().body_bytes
    async with serve(tmp_path) as (_, client_from), client_from() as client:
        start, end = json.dumps({"notebook": {"nbformat": 4, "cells": [], "metadata": "-"}}).encode().split(b"-")
        for size, status in ((most, 422), (most + 1, 413)):  # 422 because the notebook has no code
            body = start + b"x" * (size - len(start) - len(end)) + end
            answer = await client.post(f"{API}/runs", content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"

"""Test the server's health, metrics, security headers, start and single process."""

from __future__ import annotations

import asyncio
import gc
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from tapedeck.cli import serve as serving
from tapedeck.main import create_app
from tapedeck.settings import Settings, SettingsError

from ..fake_executor import FakeExecutor, InlineFinder
from ..handmade_events import FIT
from .conftest import Serve

pytestmark = pytest.mark.anyio


async def test_a_server_is_alive_before_it_is_ready(serve: Serve) -> None:
    executor = FakeExecutor()
    executor.ready = False
    async with serve(executor=executor) as client:
        assert (await client.get("/healthz")).status_code == 200
        starting = await client.get("/readyz")
        assert (starting.status_code, starting.json()["mode"]) == (503, "starting")
        executor.ready = True
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["ready"], ready.json()["mode"]) == (200, True, "full")
        executor.mode = "none"
        assert (await client.get("/readyz")).json()["mode"] == "unconfined"


async def test_readiness_lists_the_sandbox_its_self_test_and_the_store(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapedeck.web.readiness.FRESH_SECONDS", 0.0)
    monkeypatch.setattr("tapedeck.web.readiness.PROBE_SECONDS", 0.2)
    executor = FakeExecutor()
    async with serve(executor=executor) as client:

        async def failing() -> list[str]:
            answer = await client.get("/readyz")
            found = [check["name"] for check in answer.json()["checks"] if not check["ok"]]
            assert answer.status_code == (503 if found else 200)
            assert answer.json()["ready"] is not bool(found)
            return found

        assert await failing() == []
        executor.ready = False
        assert await failing() == ["sandbox"]
        executor.ready = True
        executor.selftest_age = 100_000.0
        assert await failing() == ["self-test"]
        executor.selftest_age = None
        assert await failing() == ["self-test"]
        executor.mode = "none"
        assert await failing() == []
        archive = client._transport.app.state.service.archive  # type: ignore[attr-defined]
        with archive._store._writing:  # the store is stuck
            assert await failing() == ["store"]
            assert await failing() == ["store"]
            assert archive._writer._work_queue.qsize() == 0  # the second request waited for the check of the first


async def test_a_disk_without_room_for_a_recording_is_not_ready(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapedeck.web.readiness.FRESH_SECONDS", 0.0)
    async with serve() as client:
        assert (await client.get("/readyz")).status_code == 200
        monkeypatch.setattr("shutil.disk_usage", lambda folder, usage=shutil.disk_usage: usage(folder)._replace(free=1_000_000))
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert "1 MB left" in answer.text


async def test_metrics_are_available_for_prometheus(client: httpx.AsyncClient) -> None:
    await client.post("/api/v1/runs", json={"program": FIT})
    text = (await client.get("/metrics")).text
    assert 'tapedeck_runs_ended_total{status="done"} 1.0' in text
    assert "tapedeck_waiting 0.0" in text
    assert "tapedeck_ready 1.0" in text


async def test_limits_and_examples_can_be_read(client: httpx.AsyncClient) -> None:
    offer = (await client.get("/api/v1/limits")).json()
    assert offer["limits"]["source_bytes"] == 262_144
    assert offer["packages"]["numpy"]
    assert offer["torch"].startswith("2.")
    examples = (await client.get("/api/v1/examples")).json()["examples"]
    assert len(examples) >= 10
    assert {"slug", "title", "summary", "program"} <= set(examples[0])


async def test_other_origins_can_use_the_api_but_not_the_pages(client: httpx.AsyncClient) -> None:
    origin = {"Origin": "https://course.example"}
    answer = await client.get("/api/v1/limits", headers=origin)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    preflight_headers = origin | {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,prefer",
    }
    preflight = await client.options("/api/v1/runs", headers=preflight_headers)
    assert preflight.status_code == 200
    assert "POST" in preflight.headers["access-control-allow-methods"]
    refused = await client.post("/api/v1/runs", json={"program": ""}, headers=origin)
    assert refused.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-origin" not in (await client.get("/", headers=origin)).headers


async def test_responses_other_than_pages_can_load_and_run_nothing(client: httpx.AsyncClient) -> None:
    run = (await client.post("/api/v1/runs", json={"program": FIT})).json()
    answer = await client.get(f"{run['links']['self']}/passes/0/graph.svg")
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/v1/limits", "/static/manifest.json", "/api/v1/runs/x"])
async def test_head_returns_the_headers_of_get(client: httpx.AsyncClient, path: str) -> None:
    head, get = await client.head(path), await client.get(path)
    assert head.status_code == get.status_code
    assert head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]


async def test_responses_are_compressed_if_gzip_is_accepted(client: httpx.AsyncClient) -> None:
    answer = await client.get("/openapi.json", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json()["openapi"]


LOADING = """\
import asyncio
import sys
from tapedeck.main import create_app
from tapedeck.settings import Settings
from tests.fake_executor import FakeExecutor, InlineFinder
from tests.handmade_events import FIT, fit
from tests.web.conftest import client_of

async def story():
    app = create_app(Settings(data=":memory:"), executor=FakeExecutor(fit(100)), finder=InlineFinder())
    async with app.router.lifespan_context(app), client_of(app) as client:
        await client.get("/healthz")  # loads the modules of the client
        before = set(sys.modules)
        run = (await client.post("/api/v1/runs", json={"program": FIT})).json()["links"]["self"]
        app.state.service.archive.forget(run.rpartition("/")[2])  # forces reads from the store
        for path in ("", "/series", "/steps/0", "/frames", "/graphs/g0", "/passes/0/nodes/n0"):
            assert (await client.get(run + path)).status_code == 200
        large = await client.get(run + "/steps?count=100")
        assert large.headers["content-encoding"] == "gzip" and len(large.content) > 128 * 1024
        print(*sorted(set(sys.modules) - before))

asyncio.run(story())
"""


def test_the_first_responses_import_no_further_modules() -> None:
    root = Path(__file__).parent.parent.parent
    done = subprocess.run([sys.executable, "-c", LOADING], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_objects_loaded_at_the_start_are_frozen_for_the_garbage_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = []

    def run(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        app: Any = server.config.app

        async def story() -> None:
            async with app.router.lifespan_context(app):
                frozen.append(gc.get_freeze_count())

        asyncio.run(story())
        sockets[0].close()

    monkeypatch.setattr(uvicorn.Server, "run", run)
    monkeypatch.setattr(
        serving, "create_app", lambda settings: create_app(settings, executor=FakeExecutor(), finder=InlineFinder())
    )
    gc.unfreeze()  # the objects of the suite, which are frozen too
    serving.serve(Settings(data=":memory:"), "127.0.0.1", 0)
    assert frozen[0] > 10_000


async def test_a_second_process_on_the_same_data_is_refused(serve: Serve, tmp_path: Path) -> None:
    async with serve():
        second = create_app(Settings(data=str(tmp_path)), executor=FakeExecutor(), finder=InlineFinder())
        with pytest.raises(SettingsError, match="one process"):
            async with second.router.lifespan_context(second):
                pass
    async with serve() as client:  # the folder is free again
        assert (await client.get("/healthz")).status_code == 200


def test_several_workers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    with pytest.raises(SettingsError, match="WEB_CONCURRENCY at 1"):
        create_app(Settings(data=":memory:"), executor=FakeExecutor(), finder=InlineFinder())


def test_an_invalid_root_path_is_refused() -> None:
    with pytest.raises(SettingsError, match="TAPEDECK_ROOT_PATH"):
        create_app(Settings(data=":memory:", root_path='/"><script>'), executor=FakeExecutor(), finder=InlineFinder())


async def test_the_secret_is_stored_so_that_owner_keys_stay_valid(serve: Serve, tmp_path: Path) -> None:
    async with serve() as client:
        run = (await client.post("/api/v1/runs", json={"program": FIT})).json()
    assert (tmp_path / "secret").stat().st_mode & 0o077 == 0
    bearer = {"Authorization": f"Bearer {run['owner_key']}"}
    async with serve() as client:
        assert (await client.delete(run["links"]["self"], headers=bearer)).status_code == 204
    async with serve(secret="another") as client:
        assert (await client.get("/api/v1/runs", headers=bearer)).status_code == 403


async def test_data_in_memory_leaves_no_files(serve: Serve, tmp_path: Path) -> None:
    async with serve(folder=Path(":memory:")) as client:
        assert (await client.post("/api/v1/runs", json={"program": FIT})).status_code == 201
    assert not list(tmp_path.iterdir())

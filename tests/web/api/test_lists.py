"""Long lists are answered in pages, which are encoded outside of the event loop and cached for runs that have ended."""

from __future__ import annotations

import gzip
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from tapedeck import model, wire
from tapedeck.recording import MemoryLog, Recording
from tapedeck.runs.run import MOST_ITEMS
from tapedeck.web.api import answers, lists

from ...fake_executor import forever
from ...handmade_events import FIT, GRAPH, fit, pass_, step, table
from ..conftest import Serve
from .test_recordings import END, start

pytestmark = pytest.mark.anyio

LONG = MOST_ITEMS + 100
SMALL = model.Limits(answer_nodes=3)


def long() -> list[wire.AnyEvent]:
    """Return a run with many lines, parameters and graphs."""
    parameters = [wire.ParameterEvent(index, f"w{index}", [2], "float32", 4) for index in range(LONG)]
    graphs = [msgspec.structs.replace(GRAPH, index=index) for index in range(LONG)]
    rows = [wire.LineRow(line, None, None, 0 if line % 2 else 1) for line in range(1, LONG + 1)]
    return [wire.StartedEvent("2.13.0", "3.11"), *parameters, *graphs, wire.LinesEvent(rows, table(1.0, [1.0, 2.0])), *END]


async def everything(client: httpx.AsyncClient, address: str, name: str) -> list[Any]:
    """Return the items of all pages of a list."""
    found: list[Any] = []
    pages: AsyncIterator[dict[str, Any]] = read_pages(client, address)
    async for page in pages:
        items = page[name]
        found += items.items() if isinstance(items, dict) else items
        assert items
    return found


async def read_pages(client: httpx.AsyncClient, address: str | None) -> AsyncIterator[dict[str, Any]]:
    while address:
        page = (await client.get(address)).json()
        yield page
        address = page["next"]


def plain(value: Any) -> Any:
    """Return a value as JSON."""
    return msgspec.json.decode(msgspec.json.encode(value))


async def test_a_long_run_has_the_first_items_of_its_lists_and_links_to_the_rest(serve: Serve) -> None:
    recording = Recording(MemoryLog(long()), FIT)
    async with serve(long()) as client:
        run = (await client.get(await start(client))).json()
        assert run["omitted"] == dict.fromkeys(("lines", "parameters", "graphs"), LONG - MOST_ITEMS)
        for name, expected in (
            ("lines", recording.lines()),
            ("parameters", recording.parameters()),
            ("graphs", recording.graphs()),
        ):
            assert run[name] == plain(expected[:MOST_ITEMS])
            assert await everything(client, run["links"][name], name) == plain(expected)
            page = (await client.get(f"{run['links'][name]}?offset={LONG - 5}&limit=10")).json()
            assert (page[name], page["total"], page["next"]) == (plain(expected[-5:]), LONG, None)


async def test_the_page_of_a_long_run_lists_the_omitted_parts(serve: Serve) -> None:
    async with serve(long()) as client:
        address = await start(client)
        run = (await client.get(address)).json()
        page = (await client.get(run["links"]["page"], headers={"Accept": "text/html"})).text
    assert "This run is shown in part." in page
    for name, noun in (("lines", "line values"), ("parameters", "parameters"), ("graphs", "graphs")):
        assert f'<a class="to" href="{run["links"][name]}">{LONG - MOST_ITEMS:,} {noun}</a>' in page


async def test_the_answers_of_a_short_run_omit_nothing(client: httpx.AsyncClient) -> None:
    run = await start(client)
    for part in ("", "/steps/0", "/graphs/g0", "/passes/0"):
        answer = (await client.get(run + part)).json()
        assert "omitted" not in answer
    assert sorted((await client.get(run)).json()["links"]) == ["events", "notebook", "page", "program", "self", "steps"]


async def test_a_large_graph_and_its_pass_are_read_in_pages(serve: Serve) -> None:
    recording = Recording(MemoryLog(fit()), FIT)
    numbers = recording.numbers(1)
    async with serve(limits=SMALL) as client:
        run = await start(client)
        graph = (await client.get(f"{run}/graphs/g0")).json()
        assert graph["omitted"] == {"nodes": 2}
        assert graph["nodes"] == plain(recording.graph(0).nodes[:3])
        passed = (await client.get(f"{run}/passes/1")).json()
        assert passed["order"] == ["n0", "n1", "n2"]
        assert (passed["omitted"], "nodes" in passed) == ({"order": 2}, False)
        for address, name, expected in (
            ("graphs/g0/nodes", "nodes", recording.graph(0).nodes),
            ("graphs/g0/edges", "edges", recording.graph(0).edges),
            ("passes/1/nodes", "nodes", [*numbers.nodes().items()]),
            ("passes/1/edges", "edges", [*numbers.edges().items()]),
        ):
            found = await everything(client, f"{run}/{address}?limit=2", name)
            assert plain(found) == plain(expected), address
        assert (await client.get(f"{run}/graphs/g7/nodes")).status_code == 404
        assert (await client.get(f"{run}/passes/7/nodes")).status_code == 404


async def test_a_page_ends_at_the_size_limit_with_at_least_one_item(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "PAGE_BYTES", 10)
    async with serve() as client:
        run = await start(client)
        sizes = [len(page["nodes"]) async for page in read_pages(client, f"{run}/graphs/g0/nodes")]
    assert sizes == [1] * 5


async def test_a_step_with_many_parameters_has_the_first_ones(serve: Serve) -> None:
    rows = [wire.ParameterRow(index, f"w{index}", 4, 4, -1, 4, 4) for index in range(LONG)]
    wide = msgspec.structs.replace(step(0, 1.0, 1.0), parameters=rows)
    declared = [wire.ParameterEvent(index, f"w{index}", [3], "float32", 4) for index in range(LONG)]
    events = [*declared, GRAPH, pass_(0, 1.0), wide, *END]
    recording = Recording(MemoryLog(events), FIT)
    async with serve(events) as client:
        run = await start(client)
        answer = (await client.get(f"{run}/steps/0")).json()
        assert answer["omitted"] == {"parameters": LONG - len(answer["parameters"])}
        assert 300 < len(answer["parameters"]) < 1_500
        found = await everything(client, f"{run}/steps/0/parameters", "parameters")
        assert found == plain([*recording.step_parameters(0, 0)])


async def test_a_step_with_many_passes_has_the_numbers_of_the_main_one(serve: Serve) -> None:
    passes = [msgspec.structs.replace(pass_(index, 1.0), step=0) for index in range(1_200)]
    crowded = msgspec.structs.replace(step(0, 1.0, 1.0), passes=list(range(1_200)), main=1_199)
    async with serve([*fit()[:3], *passes, crowded, *END], limits=model.Limits(answer_nodes=20)) as client:
        run = await start(client)
        answer = (await client.get(f"{run}/steps/0")).json()
        assert answer["omitted"] == {"passes": 200}
        assert [each["index"] for each in answer["passes"] if "nodes" in each] == [0, 1, 2, 3, 4, 5, 6, 1_199]
        packed = await client.get(f"{run}/steps", headers={"Accept": "application/msgpack"})
        span = msgspec.msgpack.decode(packed.content)["spans"][0]
        shown = [
            index for index, each in zip(span["steps"][0]["passes"], span["passes"], strict=True) if each["value"] is not None
        ]
        assert shown == [0, 1, 2, 3, 4, 5, 6, 1_199]


async def test_values_with_many_elements_leave_out_what_does_not_fit(serve: Serve) -> None:
    elements = [0.5] * 4_000
    rows = [wire.LineRow(line, None, None, 0) for line in range(1, LONG)]
    events = [*fit()[:-1], wire.LinesEvent(rows, table(elements)), *END]
    async with serve(events) as client:
        run = await client.get(await start(client))
        assert run.json()["omitted"]["lines"] > 1_900
        assert len(run.content) < 2_000_000


async def test_large_answers_are_encoded_outside_of_the_event_loop_and_only_once(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str] = []
    encode = answers._encode

    def watched(value: Any) -> bytes:
        encoded.append(threading.current_thread().name)
        return encode(value)

    monkeypatch.setattr(answers, "_encode", watched)
    async with serve(long()) as client:
        run = await start(client)
        address = f"{run}/lines?limit=2000"
        first = await client.get(address, headers={"Accept-Encoding": "identity"})
        again = await client.get(address, headers={"Accept-Encoding": "identity"})
        assert (first.content, first.headers["etag"]) == (again.content, again.headers["etag"])
        assert [name.startswith("store-read") for name in encoded] == [True]
        packed = await client.get(address, headers={"Accept-Encoding": "gzip"})
        assert packed.headers["content-encoding"] == "gzip"
        assert "Accept-Encoding" in packed.headers["vary"]
        assert packed.content == first.content
        assert packed.headers["etag"] == first.headers["etag"]
        assert len(gzip.compress(first.content)) < len(first.content) / 4
        unchanged = await client.get(address, headers={"If-None-Match": first.headers["etag"]})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert len(encoded) == 2
        assert (await client.delete(run)).status_code == 204
        assert (await client.get(address)).status_code == 404


async def test_the_answers_of_a_run_in_progress_are_not_cached(serve: Serve) -> None:
    async with serve(fit()[:8], forever) as client:
        run = (await client.post("/api/v1/runs", json={"program": FIT}, headers={"Prefer": "wait=0"})).json()
        for _ in range(2):
            answer = await client.get(f"/api/v1/runs/{run['id']}/lines")
            assert answer.headers["cache-control"] == "no-store"

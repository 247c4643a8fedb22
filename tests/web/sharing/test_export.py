"""Test the file of its own that a run is exported to."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import threading
from html import unescape
from typing import Any

import httpx
import msgspec
import pytest
from tapedeck import wire
from tapedeck.web.sharing import export, file_data, map_views, single_file

from ...fake_executor import forever
from ...handmade_events import FIT, fit
from ...in_process import InProcess
from ..conftest import Serve
from ..pages.test_pages import start

pytestmark = pytest.mark.anyio

CODE_BYTES = 400_000
"""Largest size of a file without its data."""
HOSTILE = "</script><script>alert(1)</script><!-- ]]> \u2028 </style> \" ' &amp;"


def data_of(page: str) -> dict[str, Any]:
    """Return the data in a file."""
    found = re.search(r'<script type="text/plain" id="data">([A-Za-z0-9+/=]*)</script>', page)
    assert found
    data: dict[str, Any] = msgspec.msgpack.decode(gzip.decompress(base64.b64decode(found[1])))
    return data


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


async def exported(client: httpx.AsyncClient, id: str, query: str = "") -> httpx.Response:
    return await client.get(f"/api/v1/runs/{id}/export.html{query}")


async def test_a_file_allows_its_own_scripts_and_style_and_no_request(client: httpx.AsyncClient) -> None:
    id = await start(client)
    answer = await exported(client, id, "?theme=dark")
    page = answer.text
    assert answer.headers["content-disposition"].startswith('attachment; filename="')
    policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    assert policy
    allowed = dict(part.split(" ", 1) for part in unescape(policy[1]).split("; "))
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert allowed == {
        "default-src": "'none'",
        "script-src": " ".join(digest(text) for text in scripts),
        "style-src": " ".join(digest(text) for text in re.findall(r"<style>(.*?)</style>", page, re.DOTALL)),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert len(scripts) == 2
    assert answer.headers["content-security-policy"].startswith(unescape(policy[1]))
    assert "sandbox allow-scripts" in answer.headers["content-security-policy"]
    assert '<html lang="en" data-theme="dark">' in page
    markup = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    assert not re.search(r"<link[^>]*stylesheet|<img|<iframe| src=| on\w+=| style=", markup)
    assert set(re.findall(r'href="([^"#][^"]*)"', markup)) <= {"data:,", f"http://testserver/r/{id}", *_helps(page)}
    assert "<svg" in markup  # readable without scripts
    assert len(page) - len(base64.b64encode(gzip.compress(b""))) - len(re.findall(r'id="data">([^<]*)<', page)[0]) < CODE_BYTES


def _helps(page: str) -> set[str]:
    return {finding["help"] for finding in json.loads(data_of(page)["given"])["run"]["findings"]}


async def test_a_file_has_the_answers_that_its_page_asks_for(client: httpx.AsyncClient) -> None:
    id = await start(client)
    data = data_of((await exported(client, id)).text)
    api = f"/api/v1/runs/{id}"
    assert json.loads(data["given"])["run"]["steps"] == 2
    for own, path in (
        (data["graphs"]["g0"], f"{api}/graphs/g0"),
        *((detail, f"{api}/passes/1/nodes/{node}") for node, detail in data["details"]["1"].items()),
        (data["pictures"][data["drawn"]["passes/1"]].encode(), f"{api}/passes/0/graph.svg?theme=inline"),
        (data["steps"][0], f"{api}/steps?count=256"),
    ):
        assert own == (await client.get(path, headers={"Accept": "application/msgpack, */*"})).content
    assert "n4" in data["details"]["1"]
    assert list(data["pictures"]) == ["passes/0"]  # two passes of the same form share a picture


async def test_a_strangers_text_is_never_markup_in_a_file(serve: Serve) -> None:
    events = [*fit()[:-1], wire.OutputEvent(f"{HOSTILE}\n"), wire.CellEvent(0, HOSTILE), fit()[-1]]
    async with serve(events) as client:
        program = f"# {HOSTILE.replace(chr(0x2028), '')}\n{FIT}"
        body = {"program": program, "title": HOSTILE}
        id = (await client.post("/api/v1/runs", json=body)).json()["id"]
        page = (await exported(client, id)).text
    assert HOSTILE not in page
    assert page.count("<script") == 3  # the theme, the data, the page
    assert len(re.findall(r"</script>", page)) == 3
    assert len(re.findall(r"</style>", page)) == 1
    assert "<!--" not in page
    assert unescape(page).count("alert(1)</script>") >= 2
    assert json.loads(data_of(page)["given"])["run"]["title"].startswith("</script>")


async def test_a_file_is_made_outside_of_the_event_loop_once_and_cached(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = await start(client)
    threads: list[threading.Thread] = []

    def noted(*arguments: Any) -> file_data.Contents:
        threads.append(threading.current_thread())
        return file_data.contents(*arguments)

    monkeypatch.setattr(single_file, "contents", noted)
    first = await exported(client, id)
    again = await client.get(f"/api/v1/runs/{id}/export.html", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()
    await client.patch(f"/api/v1/runs/{id}", json={"title": "Another title"})
    assert "Another title" in (await exported(client, id)).text
    assert (await exported(client, id, "?theme=pink")).status_code == 422


async def test_a_long_recording_is_cut_and_the_file_says_so(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_data, "MOST_STEPS", 3)
    monkeypatch.setattr(file_data, "DETAILS_BYTES", 100)
    async with serve(fit(7)) as client:
        page = (await exported(client, await start(client))).text
    data = data_of(page)
    assert "the first 3 steps; 4 more are not in this file" in page
    assert json.loads(data["given"])["run"]["steps"] == 3
    assert sum(len(own) for own in data["details"].values()) < 5
    monkeypatch.setattr(file_data, "DETAILS_BYTES", 1_000_000)
    monkeypatch.setattr(file_data, "DETAILS_SECONDS", -1.0)
    async with serve(fit(7)) as client:
        assert sum(map(len, data_of((await exported(client, await start(client))).text)["details"].values())) == 0
    monkeypatch.setattr(file_data, "DETAILED_NODES", 1)
    async with serve(fit(7)) as client:
        assert data_of((await exported(client, await start(client))).text)["details"] == {}


LARGE = """
import torch
from torch import nn
torch.manual_seed(0)
block = lambda: nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Tanh(), nn.Linear(2, 2)), nn.ReLU())
model = nn.Sequential(*[nn.Sequential(block(), block()) for _ in range(8)])
for _ in range(2):
    model(torch.ones(1, 2)).sum().backward()
"""


def buttons(svg: str) -> set[str]:
    """Return the addresses of the views to which a picture leads."""
    return {unescape(address) for address in re.findall(r'aria-expanded="(?:true|false)"[^>]* data-view="([^"]*)"', svg)}


async def test_the_groups_of_a_large_graph_open_in_a_file(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(executor=InProcess()) as client:
        id = (await client.post("/api/v1/runs", json={"program": LARGE})).json()["id"]
        page = (await exported(client, id)).text
        data = data_of(page)
        (views,) = data["views"].values()
        assert set().union(*map(buttons, views.values())) <= views.keys(), "every button leads to a view of the file"
        assert set(data["maps"]["g0"]) == set(views), "and each view has its numbers"
        assert "do not open in this file" not in page
        reached, waiting = set[str](), [map_views.address_of(data["pictures"]["passes/1"]) or ""]
        while waiting:
            if (address := waiting.pop()) not in reached:
                reached.add(address)
                waiting.extend(buttons(views[address]))
        shown = set().union(*(address.split(",") for address in reached))
        assert {f"m:model.{at}.{inner}.1" for at in range(8) for inner in range(2)} <= shown

    monkeypatch.setattr(single_file, "MOST_VIEWS", 3)
    async with serve(executor=InProcess()) as client:
        id = (await client.post("/api/v1/runs", json={"program": LARGE})).json()["id"]
        page = (await exported(client, id)).text
        (views,) = data_of(page)["views"].values()
        assert len(views) == 3
        assert "some groups of the graph do not open in this file" in page
        assert set().union(*map(buttons, [*views.values(), page])) <= views.keys()


async def test_a_graph_whose_groups_come_first_shows_every_node_in_a_file_too(serve: Serve) -> None:
    medium = LARGE.replace("range(8)", "range(2)")
    async with serve(executor=InProcess()) as client:
        id = (await client.post("/api/v1/runs", json={"program": medium})).json()["id"]
        data = data_of((await exported(client, id)).text)
    assert map_views.address_of(data["pictures"]["passes/1"]) is not None
    (whole,) = data["wholes"].values()
    assert map_views.address_of(whole) is None
    assert 'data-node="n0"' in whole


async def test_a_run_in_progress_cannot_be_exported_yet(serve: Serve) -> None:
    async with serve([wire.StartedEvent("2", "3")], forever) as client:
        started = await client.post("/api/v1/runs", json={"program": "…"}, headers={"Prefer": "wait=0"})
        id = started.json()["id"]
        assert (await exported(client, id)).status_code == 409
        await client.post(f"/api/v1/runs/{id}/cancel")


def test_the_name_of_a_file_is_made_of_letters_and_digits() -> None:
    class Titled:
        title = 'A "quoted"; title\r\n – x=2'

    assert export.file_name(Titled()) == "a-quoted-title-x-2.html"  # type: ignore[arg-type]

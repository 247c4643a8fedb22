"""A recording that the disk has changed is reported as such, and disturbs neither the server nor other runs."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import httpx
import pytest

from ..handmade_events import FIT, fit
from .conftest import Serve

pytestmark = pytest.mark.anyio

HTML = {"Accept": "text/html"}
FILE = "tapedeck.sqlite3"


async def two_runs(serve: Serve, folder: Path) -> tuple[str, str, str]:
    """Store two runs of one owner. Return their addresses, and the owner's key."""
    async with serve(fit(600), folder=folder) as client:
        first = (await client.post("/api/v1/runs", json={"program": FIT})).json()
        second = (await client.post("/api/v1/runs", json={"program": FIT})).json()
    return f"/api/v1/runs/{first['id']}", f"/api/v1/runs/{second['id']}", first["owner_key"]


def change(folder: Path, statement: str, address: str) -> None:
    with sqlite3.connect(folder / FILE) as connection:
        number = "(SELECT number FROM runs WHERE id = ?)"
        assert connection.execute(statement.replace("NUMBER", number), [address.rpartition("/")[2]]).rowcount
    connection.close()


def is_damaged(answer: httpx.Response) -> bool:
    if answer.status_code != 500:
        return False
    problem = answer.json()
    assert problem["type"] == "/docs#damaged"
    assert "Run the program again" in problem["detail"]
    return True


async def test_a_damaged_block_is_reported_and_leaves_the_rest_intact(serve: Serve, tmp_path: Path) -> None:
    broken, whole, key = await two_runs(serve, tmp_path)
    cut = "CAST(substr(payload, 1, length(payload) - 9) AS BLOB)"
    change(tmp_path, f"UPDATE blocks SET payload = {cut} WHERE run = NUMBER", broken)
    async with serve(folder=tmp_path) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        assert (await client.get(broken)).status_code == 200  # read from the overview
        for path in ("/steps/0", "/steps", "/graphs/g0", "/passes/1"):
            answer = await client.get(broken + path)
            assert is_damaged(answer), (path, answer.text)
            assert (await client.get(whole + path)).status_code == 200
        page = await client.get(f"/r/{broken.rpartition('/')[2]}", headers=HTML)
        assert page.status_code == 500
        assert "damaged" in page.text
        assert len((await client.get("/api/v1/runs")).json()["runs"]) == 2
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.post("/api/v1/runs", json={"program": FIT})).status_code == 201
        assert (await client.delete(broken)).status_code == 204
        assert (await client.get(whole)).status_code == 200


async def test_the_event_stream_of_a_damaged_run_ends_with_the_reason(serve: Serve, tmp_path: Path) -> None:
    broken, whole, _ = await two_runs(serve, tmp_path)
    change(tmp_path, "UPDATE blocks SET payload = x'00' WHERE run = NUMBER", broken)
    async with serve(folder=tmp_path) as client:
        *_, end = (await client.get(f"{broken}/events")).text.strip().split("\n\n")
        name, data = end.splitlines()
        assert name == "event: end"
        assert "damaged" in json.loads(data.removeprefix("data: "))["reason"]
        assert "event: step" in (await client.get(f"{whole}/events")).text


async def test_damaged_parts_are_computed_again_if_possible(serve: Serve, tmp_path: Path) -> None:
    address, _, _ = await two_runs(serve, tmp_path)
    async with serve(folder=tmp_path) as client:
        before = [(await client.get(address + path)).json() for path in ("", "/series?key=loss")]
    change(tmp_path, "UPDATE derived SET payload = x'00' WHERE run = NUMBER", address)
    for _ in range(2):  # the second time, the parts are read from the store again
        async with serve(folder=tmp_path) as client:
            after = [(await client.get(address + path)).json() for path in ("", "/series?key=loss")]
        assert after == before
        change(tmp_path, "UPDATE blocks SET payload = x'00' WHERE run = NUMBER", address)


async def test_a_run_whose_row_is_damaged_is_left_out_of_the_list(serve: Serve, tmp_path: Path) -> None:
    broken, whole, key = await two_runs(serve, tmp_path)
    change(tmp_path, "UPDATE runs SET options = x'c1' WHERE number = NUMBER", broken)
    async with serve(folder=tmp_path) as client:
        listed = (await client.get("/api/v1/runs", headers={"Authorization": f"Bearer {key}"})).json()["runs"]
        assert [run["id"] for run in listed] == [whole.rpartition("/")[2]]
        assert is_damaged(await client.get(broken))


async def test_pages_of_the_database_that_are_overwritten_are_reported(serve: Serve, tmp_path: Path) -> None:
    broken, _, _ = await two_runs(serve, tmp_path)
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (pages,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'blocks'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    data = bytearray((tmp_path / FILE).read_bytes())
    data[(pages - 1) * size : pages * size] = b"\xff" * size
    (tmp_path / FILE).write_bytes(data)
    async with serve(folder=tmp_path) as client:
        assert is_damaged(await client.get(f"{broken}/steps/0"))
        assert (await client.get("/healthz")).status_code == 200

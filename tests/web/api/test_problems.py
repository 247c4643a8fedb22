"""Test that every request that cannot be answered gets a clear problem, and that the server stays healthy."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from tapedeck.errors import TooLarge
from tapedeck.web.request_parts import read_body

from ...handmade_events import FIT

pytestmark = pytest.mark.anyio

RUNS = "/api/v1/runs"


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"].startswith("/docs#")
    assert body["title"]
    return body


@pytest.fixture(autouse=True)
async def still_healthy(client: httpx.AsyncClient) -> AsyncIterator[None]:
    """Check after each test that a harmless program still runs."""
    yield
    assert (await client.post(RUNS, json={"program": FIT})).json()["status"] == "done"
    assert (await client.get("/healthz")).status_code == 200


async def test_an_empty_program_is_rejected(client: httpx.AsyncClient) -> None:
    body = problem(await client.post(RUNS, json={"program": " \n"}), 422)
    assert body["where"] == "program"
    assert "write Python code" in body["detail"]


async def test_a_megabyte_of_source_is_rejected(client: httpx.AsyncClient) -> None:
    raw = await client.post(RUNS, content="#" * 1_000_000, headers={"Content-Type": "text/x-python"})
    assert "1,000,000 bytes" in problem(raw, 413)["detail"]
    assert "262,144" in problem(await client.post(RUNS, json={"program": "#" * 1_000_000}), 413)["detail"]


async def test_a_body_with_too_large_a_content_length_is_not_read(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "text/x-python", "Content-Length": str(10**12)}
    assert "larger than" in problem(await client.post(RUNS, content=b"x", headers=headers), 413)["detail"]


async def test_an_endless_body_is_read_only_up_to_the_limit() -> None:
    received = 0

    async def receive() -> dict[str, Any]:
        nonlocal received
        received += 1
        return {"type": "http.request", "body": b"#" * 1000, "more_body": True}

    request = Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)  # type: ignore[arg-type]
    with pytest.raises(TooLarge):
        await read_body(request, 10_000)
    assert received == 11


async def test_a_binary_file_sent_as_a_notebook_is_rejected(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/x-ipynb+json"}
    body = problem(await client.post(RUNS, content=b"\x89PNG\r\n\x1a\n\x00", headers=headers), 400)
    assert "not a notebook" in body["detail"]
    problem(await client.post(RUNS, content=b"\x00\xff", headers={"Content-Type": "text/x-python"}), 400)


async def test_a_notebook_without_code_cells_is_rejected(client: httpx.AsyncClient) -> None:
    notebook = {"nbformat": 4, "cells": [{"cell_type": "markdown", "source": "# Hi"}]}
    body = problem(await client.post(RUNS, json={"notebook": notebook}), 422)
    assert "no code" in body["detail"]


async def test_an_unknown_field_is_rejected_with_the_known_ones(client: httpx.AsyncClient) -> None:
    body = problem(await client.post(RUNS, json={"program": "x", "colour": "red"}), 422)
    assert body["where"] == "colour"
    assert (
        "the fields are program, expression, inputs, training, notebook, seed, capture, values, store, title" in body["detail"]
    )


async def test_a_statement_sent_as_an_expression_is_rejected(client: httpx.AsyncClient) -> None:
    body = problem(await client.post(RUNS, json={"expression": "y = x", "inputs": {"x": 1}}), 422)
    assert body["where"] == "expression"
    assert "statement" in body["detail"]


async def test_ragged_inputs_are_rejected(client: httpx.AsyncClient) -> None:
    body = problem(await client.post(RUNS, json={"expression": "x", "inputs": {"x": [[1, 2], [3]]}}), 422)
    assert body["where"] == "inputs.x[1]"
    assert "ragged" in body["detail"]


async def test_inputs_that_are_too_large_are_rejected(client: httpx.AsyncClient) -> None:
    body = problem(await client.post(RUNS, json={"expression": "x", "inputs": {"x": [0] * 20_000}}), 422)
    assert body["where"] == "inputs.x"
    assert "more than 10,000 numbers" in body["detail"]


@pytest.mark.parametrize("id", ["0" * 32, "x", "..", "%00", "é", "a" * 5000])
@pytest.mark.parametrize(
    "rest", ["", "/steps", "/steps/0", "/graphs/g0", "/passes/0/graph.svg", "/frames", "/series", "/events"]
)
async def test_an_unknown_run_is_not_found(client: httpx.AsyncClient, id: str, rest: str) -> None:
    problem(await client.get(f"{RUNS}/{id}{rest}"), 404)


@pytest.mark.parametrize(
    ("rest", "status", "sentence"),
    [
        ("/steps/2", 404, "There is no step 2: the last is 1."),
        ("/passes/7", 404, "There is no pass 7: the last is 1."),
        ("/passes/7/graph.svg", 404, "There is no pass 7"),
        ("/graphs/g1", 404, "There is no graph 1: the last is 0."),
        ("/graphs/7", 404, "ids are g0"),
        ("/passes/0/nodes/n9", 404, "no node 'n9'"),
        ("/passes/0/nodes/x", 404, "no node 'x'"),
        ("/passes/0/graph.gif", 404, "no picture format .gif: use .svg, .png, .pdf, .dot, .txt"),
        ("/passes/0/graph.svg?theme=pink", 422, "no theme 'pink'"),
        ("/passes/0/graph.svg?direction=up", 422, "no direction 'up'"),
        ("/steps/-1", 422, "index"),
        ("/steps/one", 422, "index"),
        ("/steps/99999999999999999999", 422, "index"),
        ("/steps?count=0", 422, "count"),
        ("/steps?start=x", 422, "start"),
        ("/series?key=colour", 422, "Unknown key 'colour'"),
        ("/series?points=1", 422, "points"),
        ("/frames?graph=g9", 404, "There is no graph 9"),
        ("/graphs/g0?view=foo", 422, "no parameter 'view': it has none"),
        ("/frames?graf=g9", 422, "no parameter 'graf': use column_count, column_start, count, fields, graph, start."),
        ("/series?key=p0.hue", 422, "p1 … value, value_after, grad, grad_before, grad_used, contribution, update, state.NAME"),
        ("/frames?fields=colour", 422, "Unknown field 'colour'"),
    ],
)
async def test_a_missing_part_of_a_run_is_a_problem(client: httpx.AsyncClient, rest: str, status: int, sentence: str) -> None:
    run = (await client.post(RUNS, json={"program": FIT})).json()
    body = problem(await client.get(f"{RUNS}/{run['id']}{rest}"), status)
    assert sentence in body["detail"] + str(body.get("where"))
    assert body["title"] == {404: "Not found", 422: "Cannot be shown"}[status]


async def test_a_body_of_an_unknown_media_type_is_rejected(client: httpx.AsyncClient) -> None:
    body = problem(await client.post(RUNS, data={"program": "x"}), 415)
    assert "text/x-python" in body["detail"]
    problem(await client.post(RUNS, content=b"x"), 415)


async def test_invalid_json_is_rejected(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    problem(await client.post(RUNS, content=b"{", headers=headers), 400)
    problem(await client.post(RUNS, content=b"[" * 100_000, headers=headers), 400)
    problem(await client.post(RUNS, content=json.dumps([]).encode(), headers=headers), 422)


async def test_an_unsupported_method_is_rejected_with_the_allowed_ones(client: httpx.AsyncClient) -> None:
    answer = await client.put(RUNS)
    problem(answer, 405)
    assert "POST" in answer.headers["allow"]


async def test_an_unknown_address_is_not_found(client: httpx.AsyncClient) -> None:
    problem(await client.get("/api/v2/runs"), 404)
    problem(await client.get("/nothing"), 404)
    problem(await client.get("/static/../app/main.py"), 404)
    problem(await client.get("/static/%2e%2e/manifest.json"), 404)

"""What cannot be run or found has its own clear answer, and the server is as healthy as before."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from tapedeck.errors import TooLarge
from tapedeck.web.request_parts import read_body

from ..handmade_events import FIT

pytestmark = pytest.mark.anyio

RUNS = "/api/v1/runs"


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told["status"] == status
    assert told["type"].startswith("/docs#")
    assert told["title"]
    return told


@pytest.fixture(autouse=True)
async def still_healthy(client: httpx.AsyncClient) -> AsyncIterator[None]:
    """After each, a harmless program still runs."""
    yield
    assert (await client.post(RUNS, json={"program": FIT})).json()["status"] == "done"
    assert (await client.get("/healthz")).status_code == 200


async def test_an_empty_program(client: httpx.AsyncClient) -> None:
    told = problem(await client.post(RUNS, json={"program": " \n"}), 422)
    assert told["where"] == "program"
    assert "send some Python" in told["detail"]


async def test_a_megabyte_of_source(client: httpx.AsyncClient) -> None:
    raw = await client.post(RUNS, content="#" * 1_000_000, headers={"Content-Type": "text/x-python"})
    assert "1,000,000 bytes" in problem(raw, 413)["detail"]
    assert "262,144" in problem(await client.post(RUNS, json={"program": "#" * 1_000_000}), 413)["detail"]


async def test_a_body_that_says_it_is_too_large_is_not_read(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "text/x-python", "Content-Length": str(10**12)}
    assert "larger than" in problem(await client.post(RUNS, content=b"x", headers=headers), 413)["detail"]


async def test_a_body_that_never_ends_is_read_no_further_than_the_limit() -> None:
    received = 0

    async def receive() -> dict[str, Any]:
        nonlocal received
        received += 1
        return {"type": "http.request", "body": b"#" * 1000, "more_body": True}

    request = Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)  # type: ignore[arg-type]
    with pytest.raises(TooLarge):
        await read_body(request, 10_000)
    assert received == 11


async def test_a_binary_file_as_a_notebook(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/x-ipynb+json"}
    told = problem(await client.post(RUNS, content=b"\x89PNG\r\n\x1a\n\x00", headers=headers), 400)
    assert "not a notebook" in told["detail"]
    problem(await client.post(RUNS, content=b"\x00\xff", headers={"Content-Type": "text/x-python"}), 400)


async def test_a_notebook_without_code_cells(client: httpx.AsyncClient) -> None:
    notebook = {"nbformat": 4, "cells": [{"cell_type": "markdown", "source": "# Hi"}]}
    told = problem(await client.post(RUNS, json={"notebook": notebook}), 422)
    assert "no code" in told["detail"]


async def test_an_unknown_field(client: httpx.AsyncClient) -> None:
    told = problem(await client.post(RUNS, json={"program": "x", "colour": "red"}), 422)
    assert told["where"] == "colour"
    assert "known are program, expression, inputs, training, notebook, seed, capture, values, store" in told["detail"]


async def test_an_expression_that_is_a_statement(client: httpx.AsyncClient) -> None:
    told = problem(await client.post(RUNS, json={"expression": "y = x", "inputs": {"x": 1}}), 422)
    assert told["where"] == "expression"
    assert "statement" in told["detail"]


async def test_inputs_that_are_ragged(client: httpx.AsyncClient) -> None:
    told = problem(await client.post(RUNS, json={"expression": "x", "inputs": {"x": [[1, 2], [3]]}}), 422)
    assert told["where"] == "inputs.x[1]"
    assert "ragged" in told["detail"]


async def test_inputs_that_are_too_large(client: httpx.AsyncClient) -> None:
    told = problem(await client.post(RUNS, json={"expression": "x", "inputs": {"x": [0] * 20_000}}), 422)
    assert told["where"] == "inputs.x"
    assert "more than 10,000 numbers" in told["detail"]


@pytest.mark.parametrize("id", ["0" * 32, "x", "..", "%00", "é", "a" * 5000])
@pytest.mark.parametrize(
    "rest", ["", "/steps", "/steps/0", "/graphs/g0", "/passes/0/graph.svg", "/frames", "/series", "/events"]
)
async def test_an_unknown_run(client: httpx.AsyncClient, id: str, rest: str) -> None:
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
        ("/passes/0/graph.gif", 404, "no picture as .gif: take one of .svg, .png, .pdf, .dot, .txt"),
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
        ("/frames?graf=g9", 422, "no parameter 'graf': take count, fields, graph, start."),
        ("/series?key=p0.hue", 422, "p1 … value, value_after, grad, grad_before, grad_used, contribution, update, state.NAME"),
        ("/frames?fields=colour", 422, "Unknown field 'colour'"),
    ],
)
async def test_what_a_run_does_not_have(client: httpx.AsyncClient, rest: str, status: int, sentence: str) -> None:
    run = (await client.post(RUNS, json={"program": FIT})).json()
    told = problem(await client.get(f"{RUNS}/{run['id']}{rest}"), status)
    assert sentence in told["detail"] + str(told.get("where"))
    assert told["title"] == {404: "Not found", 422: "Cannot be shown"}[status]


async def test_a_body_of_no_known_kind(client: httpx.AsyncClient) -> None:
    told = problem(await client.post(RUNS, data={"program": "x"}), 415)
    assert "text/x-python" in told["detail"]
    problem(await client.post(RUNS, content=b"x"), 415)


async def test_json_that_is_none(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    problem(await client.post(RUNS, content=b"{", headers=headers), 400)
    problem(await client.post(RUNS, content=b"[" * 100_000, headers=headers), 400)
    problem(await client.post(RUNS, content=json.dumps([]).encode(), headers=headers), 422)


async def test_a_method_that_an_address_is_not_for(client: httpx.AsyncClient) -> None:
    answer = await client.put(RUNS)
    problem(answer, 405)
    assert "POST" in answer.headers["allow"]


async def test_an_address_of_nothing(client: httpx.AsyncClient) -> None:
    problem(await client.get("/api/v2/runs"), 404)
    problem(await client.get("/nothing"), 404)
    problem(await client.get("/static/../app/main.py"), 404)
    problem(await client.get("/static/%2e%2e/manifest.json"), 404)

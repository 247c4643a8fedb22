"""Test that a server answers every hostile request with a clear problem or a finished run, and parses nothing large itself."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest
from tapedeck.inputs.body import LIGHT_BYTES

from ..handmade_events import FIT
from .conftest import Ask, NoFinder
from .hostile import RUNS, HostileRequest
from .hostile_sharing import REQUESTS

Finder = NoFinder  # findings have tests of their own
ANSWER_BYTES = 4_000
"""Largest answer to a request that is rejected. Messages quote only the beginning of what they reject."""


@pytest.fixture(scope="module")
def run(ask: Ask) -> str:
    """The id of a finished run."""
    id: str = ask("POST", RUNS, json={"program": FIT}).json()["id"]
    return id


@pytest.fixture(autouse=True)
def parsed_here(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the texts that were parsed in the server's process to read a request."""
    sizes: list[int] = []
    parse = ast.parse

    def counted(source: Any, *arguments: Any, **options: Any) -> ast.AST:
        if sys._getframe(1).f_globals["__name__"].startswith("tapedeck.inputs."):
            sizes.append(len(source))
        return parse(source, *arguments, **options)

    monkeypatch.setattr(ast, "parse", counted)
    return sizes


@pytest.mark.parametrize("request_", REQUESTS, ids=[request.name for request in REQUESTS])
def test_a_hostile_request_is_answered_clearly(ask: Ask, run: str, parsed_here: list[int], request_: HostileRequest) -> None:
    headers = {"Content-Type": request_.media_type, **request_.headers}
    answer = ask(request_.method, request_.path.format(run=run), content=request_.build(), headers=headers)
    if answer.status_code < 300:
        if answer.headers["content-type"] == "application/json":
            assert answer.json().get("status", "done") == "done"
    else:
        assert 400 <= answer.status_code < 500, answer.text
        problem = answer.json()
        assert len(problem["detail"]) > 20
        assert len(answer.content) <= ANSWER_BYTES
    assert max(parsed_here, default=0) <= LIGHT_BYTES


def test_the_names_of_hostile_requests_differ() -> None:
    names = [request.name for request in REQUESTS]
    assert len(names) == len(set(names)) >= 80


def test_a_hostile_notebook_leaves_the_server_able_to_read_another(ask: Ask) -> None:
    seed = Path(__file__).parents[1] / "seed" / "autograd_and_backpropagation.ipynb"
    answer = ask("POST", RUNS, content=seed.read_bytes(), headers={"Content-Type": "application/x-ipynb+json"})
    assert answer.json()["status"] == "done"

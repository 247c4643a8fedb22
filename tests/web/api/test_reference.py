"""Test that the API returns what ``/openapi.json`` describes."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import anyio.from_thread
import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, reject, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as conformance
from tapedeck.main import create_app
from tapedeck.settings import Settings
from tapedeck.web.api import reference

from ...fake_executor import FakeExecutor, InlineFinder
from ...handmade_events import FIT, fit

CHECKS = [
    checks.not_a_server_error,
    conformance.status_code_conformance,
    conformance.content_type_conformance,
    conformance.response_schema_conformance,
]


def test_every_route_is_described(description: dict[str, Any]) -> None:
    paths = set(description["paths"])
    base = "/api/v1/runs/{id}"
    assert paths == {
        "/api/v1/runs", base, f"{base}/divergence", f"{base}/why", f"{base}/export.html", f"{base}/cancel",
        f"{base}/events", f"{base}/steps", f"{base}/steps/{{index}}",
        f"{base}/graphs/{{graph}}", f"{base}/graphs/{{graph}}/graph.{{form}}", f"{base}/passes/{{index}}",
        f"{base}/passes/{{index}}/graph.{{form}}", f"{base}/passes/{{index}}/nodes/{{node}}", f"{base}/frames",
        f"{base}/series", f"{base}/lines", f"{base}/parameters", f"{base}/graphs", f"{base}/graphs/{{graph}}/nodes",
        f"{base}/models", f"{base}/graphs/{{graph}}/map", f"{base}/graphs/{{graph}}/map/numbers",
        f"{base}/graphs/{{graph}}/search", f"{base}/graphs/{{graph}}/edges",
            f"{base}/passes/{{index}}/nodes", f"{base}/passes/{{index}}/edges",
        f"{base}/steps/{{index}}/parameters",
        f"{base}/program.py", f"{base}/notebook.ipynb", f"{base}/animation.{{form}}",
        f"{base}/replays", f"{base}/replays/{{replay}}", f"{base}/replays/{{replay}}/events",
        f"{base}/replays/{{replay}}/cancel",
        "/api/v1/lessons", "/api/v1/lessons/{id}", "/api/v1/lessons/{id}/write/{name}", "/api/v1/lessons/{id}/fix/{name}",
        "/api/v1/lessons/{id}/drag/{name}",
        f"{base}/classrooms", "/api/v1/classrooms/{room}", "/api/v1/classrooms/{room}/position",
        "/api/v1/classrooms/{room}/events", "/api/v1/examples", "/api/v1/limits", "/healthz", "/readyz", "/metrics",
    }  # fmt: skip


def test_every_error_is_described_as_a_problem(description: dict[str, Any]) -> None:
    answers = [
        (path, status, answer)
        for path, operations in description["paths"].items()
        if path.startswith("/api/")
        for operation in operations.values()
        for status, answer in operation["responses"].items()
        if status >= "400"
    ]
    assert not [(path, status) for path, status, answer in answers if "application/problem+json" not in answer["content"]]


@pytest.fixture
def description(tmp_path: Path) -> dict[str, Any]:
    app = create_app(Settings(data=str(tmp_path)), executor=FakeExecutor(), finder=InlineFinder())

    async def ask() -> dict[str, Any]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://testserver") as client:
            body: dict[str, Any] = (await client.get("/openapi.json")).json()
            return body

    return asyncio.run(ask())


def test_each_description_has_its_own_optimizers_and_server(tmp_path: Path) -> None:
    app = create_app(Settings(data=str(tmp_path)), executor=FakeExecutor(), finder=InlineFinder())
    unknown = reference.describe(app, "", None)
    known = reference.describe(app, "/tapedeck", ["SGD"])
    assert _optimizers(unknown) == {"type": "string"}
    assert _optimizers(known) == {"enum": ["SGD"]}
    assert [each["servers"] for each in (unknown, known)] == [[{"url": "/"}], [{"url": "/tapedeck"}]]


def _optimizers(description: dict[str, Any]) -> Any:
    """Return the schema of the optimizer's name in a training."""
    body = description["paths"]["/api/v1/runs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    training = next(form for form in body["oneOf"] if form["title"] == "training")["properties"]["training"]
    return training["properties"]["optimizer"]["anyOf"][0]


@pytest.mark.parametrize("calls", [pytest.param(8, marks=pytest.mark.slow), pytest.param(150, marks=pytest.mark.ops)])
def test_generated_calls_are_answered_as_described(tmp_path: Path, calls: int) -> None:
    """Send generated calls to each operation, valid and invalid, and check each response against the description."""
    app = create_app(Settings(data=str(tmp_path)), executor=FakeExecutor(fit()), finder=InlineFinder())
    with (
        anyio.from_thread.start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(app.router.lifespan_context(app)),
    ):
        call = portal.call

        def ask(method: str, url: str, **more: Any) -> httpx.Response:
            async def send() -> httpx.Response:
                transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
                async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
                    return await client.request(method, url, **more)

            return call(send)

        run = ask("POST", "/api/v1/runs", json={"program": FIT}).json()["id"]
        schema = schemathesis.openapi.from_dict(ask("GET", "/openapi.json").json())
        schema.config.base_url = "http://testserver"
        for operation in schema.get_all_operations():
            for mode in GenerationMode:
                exercise(operation.ok(), mode, run, ask, calls)


def exercise(operation: Any, mode: GenerationMode, run: str, ask: Any, calls: int) -> None:
    @settings(max_examples=calls, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def try_out(case: Any) -> None:
        if "id" in case.path_parameters:
            case.path_parameters["id"] = run
        if case.operation.method.upper() == "DELETE":
            case.path_parameters["id"] = "0" * 32
        arguments = case.as_transport_kwargs(base_url="http://testserver")
        arguments.pop("cookies", None)
        if "data" in arguments:
            arguments["content"] = arguments.pop("data")
        try:
            response = ask(arguments.pop("method"), arguments.pop("url"), **arguments)
        except httpx.InvalidURL:  # httpx sends no URL of more than 64 kB
            reject()
        case.validate_response(response, checks=CHECKS)

    # no invalid call can be generated for an operation without parameters
    with contextlib.suppress(Unsatisfiable) if mode is GenerationMode.NEGATIVE else contextlib.nullcontext():
        try_out()

"""Test that senders share the processes that read their requests, and that light requests do not need one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tapedeck.errors import Busy
from tapedeck.inputs import request as requests

from .conftest import Serve

pytestmark = pytest.mark.anyio


def heavy(name: str) -> bytes:
    return f'{{"expression": "{name}{" " * 2_000}"}}'.encode()


async def test_a_sender_of_many_large_requests_does_not_delay_another(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[bytes] = []
    released = asyncio.Event()

    async def run(work: Any, *arguments: Any, budget: Any) -> requests.Request:
        order.append(arguments[0])
        await released.wait()
        request: requests.Request = work(*arguments)
        return request

    async with serve() as client:
        service = client._transport.app.state.service  # type: ignore[attr-defined]
        monkeypatch.setattr(service.workers, "run", run)
        many = [heavy(f"a{index}") for index in range(8)]
        reading = [asyncio.ensure_future(service.parse(body, "application/json", {}, "one")) for body in many]
        await asyncio.sleep(0)
        other = asyncio.ensure_future(service.parse(heavy("b"), "application/json", {}, "other"))
        await asyncio.sleep(0)
        assert order == many[: service.workers.count]
        released.set()
        assert (await other).program.text.endswith("result = b\nresult\n")
        await asyncio.gather(*reading)
    assert order.index(heavy("b")) <= service.workers.count + 1


async def test_a_sender_with_too_many_requests_is_asked_to_wait(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(*arguments: Any, budget: Any) -> None:
        await asyncio.Event().wait()

    async with serve() as client:
        service = client._transport.app.state.service  # type: ignore[attr-defined]
        monkeypatch.setattr(service.workers, "run", run)
        reading = [asyncio.ensure_future(service.parse(heavy("a"), "application/json", {}, "one")) for _ in range(34)]
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="try again"):
            await service.parse(heavy("a"), "application/json", {}, "one")
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)


async def test_a_program_and_small_input_are_read_without_a_process(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve() as client:
        service = client._transport.app.state.service  # type: ignore[attr-defined]
        monkeypatch.setattr(service.workers, "run", None)
        program = b'{"program": "' + b"x = 1\\n" * 30_000 + b'"}'
        assert len((await service.parse(program, "application/json", {}, "one")).program.text) == 180_000
        assert (await service.parse(b"x = 1\n" * 40_000, "text/x-python", {}, "one")).program.kind == "program"
        small = b'{"expression": "(x ** 2).sum()", "inputs": {"x": [1, 2, 3]}}'
        assert (await service.parse(small, "application/json", {}, "one")).program.kind == "expression"

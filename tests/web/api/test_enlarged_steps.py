"""A replay records the elements of larger tensors, of which the run has only statistics, so that `why` explains them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from ...in_process import InProcess
from ..conftest import Serve

pytestmark = pytest.mark.anyio

NETWORK = """\
import torch
torch.manual_seed(0)
x, y = torch.randn(8, 100), torch.randn(8, 12)
layer = torch.nn.Linear(100, 12)
optimizer = torch.optim.SGD(layer.parameters(), 0.1, momentum=0.9)
for step in range(3):
    optimizer.zero_grad()
    loss = (layer(x).tanh() - y).square().mean()
    loss.backward()
    optimizer.step()
"""
ELEMENTS = {"what": "elements", "step": 2}
PATIENT = {"Prefer": "wait=120"}


async def posted(client: httpx.AsyncClient, program: str) -> str:
    answer = await client.post("/api/v1/runs", json={"program": program}, headers=PATIENT)
    assert answer.status_code == 201, answer.text
    return f"/api/v1/runs/{answer.json()['id']}"


async def replayed(client: httpx.AsyncClient, run: str, step: int = 2) -> dict[str, Any]:
    answer = await client.post(f"{run}/replays", json={"what": "elements", "step": step}, headers=PATIENT)
    assert answer.status_code in (200, 201), answer.text
    body: dict[str, Any] = answer.json()
    return body


async def asked(client: httpx.AsyncClient, run: str, of: str) -> dict[str, Any]:
    answer = await client.get(f"{run}/why", params={"of": of, "step": 2})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_an_element_of_a_larger_tensor_is_explained_after_a_replay(serve: Serve) -> None:
    executor = InProcess()
    async with serve(executor=executor) as client:
        run = await posted(client, NETWORK)
        before = await asked(client, run, "layer.weight.grad[3,7]")
        assert before["kind"] == "unknown"
        assert before["replay"] == ELEMENTS
        assert "1,200 elements" in before["sentence"]
        step = (await client.get(f"{run}/steps/2")).json()

        assert (await replayed(client, run))["repeatable"] is True

        names: dict[str, Any] = {}
        exec(NETWORK, names)
        after = await asked(client, run, "layer.weight.grad[3,7]")
        assert after["kind"] == "sum"
        assert after["value"] == names["layer"].weight.grad[3, 7].item()
        assert len(after["terms"]) == 8
        parts = [*(term["value"] for term in after["terms"]), after["rounding"]]
        assert sum(parts) == pytest.approx(after["value"], rel=1e-12)
        assert {read["name"] for term in after["terms"] for read in term["reads"]} == {f"x[{row},7]" for row in range(8)}
        update = await asked(client, run, "layer.weight.update[3,7]")
        kinds = {term["source"]["of"].partition(".")[2].partition("[")[0] for term in update["terms"]}
        assert kinds == {"grad_used", "state.momentum_buffer"}
        assert {term["source"]["step"] for term in update["terms"]} == {1, 2}
        result = after["terms"][0]["source"]["of"].replace(".grad", "")
        product = await asked(client, run, result)
        assert (len(product["terms"]), product["omitted"]) == (100, 1)
        assert product["terms"][0]["source"]["name"].startswith("x[")
        assert abs(product["rounding"]) < 1e-5
        # everybody else still gets the step as it was recorded
        assert (await client.get(f"{run}/steps/2")).json() == step
        await replayed(client, run)
        assert len([job for job in executor.jobs if job.replay is not None]) == 1


async def test_a_program_that_differs_gives_no_elements(serve: Serve) -> None:
    again = "import builtins\nbuiltins._turns = getattr(builtins, '_turns', 0) + 1\n"
    program = again + NETWORK.replace("    optimizer.zero_grad()", "    optimizer.zero_grad()\n    x[0, 0] = builtins._turns")
    async with serve(executor=InProcess()) as client:
        run = await posted(client, program)
        result = await replayed(client, run)
        assert result["repeatable"] is False
        assert (await asked(client, run, "layer.weight.grad[0,0]"))["kind"] == "unknown"


async def test_a_tensor_beyond_every_limit_is_not_explained_and_says_so(serve: Serve) -> None:
    program = "import torch\nw = torch.ones(600, 600, requires_grad=True)\nloss = w.sum()\nloss.backward()\n"
    async with serve(executor=InProcess()) as client:
        run = await posted(client, program)
        answer = (await client.get(f"{run}/why", params={"of": "w.grad[0,0]"})).json()
        assert "at most 262,144" in answer["sentence"]
        assert answer["replay"] is None


@pytest.mark.parametrize("made", ["torch.randn(40, 40, dtype=torch.float64)", "torch.rand(9000)", "torch.eye(50)"])
async def test_a_replay_with_elements_agrees_with_the_statistics_of_the_recording(serve: Serve, made: str) -> None:
    text = f"import torch\nx = {made}\nw = torch.zeros_like(x).requires_grad_()\nloss = ((w - x) * x).sum()\nloss.backward()\n"
    async with serve(executor=InProcess()) as client:
        run = await posted(client, text)
        result = await replayed(client, run, 0)
        assert result["repeatable"] is True, result
        answer = (await client.get(f"{run}/why", params={"of": "w.grad", "step": 0})).json()
        assert answer["value"] is not None

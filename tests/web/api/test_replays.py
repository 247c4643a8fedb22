"""Test replays over the API: their results, their progress, and the requests that are refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import torch
from tapedeck import model, wire
from tapedeck.errors import SandboxError
from tapedeck.examples import gallery
from tapedeck.executor import LocalExecutor
from tapedeck.recording.divergence import Divergence
from tapedeck.settings import Settings
from tapedeck.web.api import divergence

from ...fake_executor import FakeExecutor, forever
from ...in_process import InProcess
from ...until import until
from ..conftest import Serve, client_of

pytestmark = pytest.mark.anyio


def fit(steps: int, rate: float) -> str:
    """Return a program that fits a slope in a number of steps of one learning rate."""
    return f"""\
import torch
x = torch.tensor([1., 2., 3.])
y = torch.tensor([2., 4., 6.])
m = torch.tensor(1., requires_grad=True)
for step in range({steps}):
    loss = ((m * x - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        m -= {rate} * m.grad
    m.grad = None
"""


FIT = fit(4, 0.05)
LINE = """\
import torch
w = torch.tensor([[1., 2.], [0.5, -1.]], requires_grad=True)
b = torch.tensor(0.5, requires_grad=True)
out = torch.relu(w @ torch.tensor([1., 3.]) + b)
loss = (out ** 2).sum()
loss.backward()
"""


async def posted(client: httpx.AsyncClient, program: str, **options: Any) -> str:
    answer = await client.post("/api/v1/runs", json={"program": program, **options})
    assert answer.status_code == 201, answer.text
    return f"/api/v1/runs/{answer.json()['id']}"


async def test_a_surface_has_the_recorded_point_the_tangent_and_the_path(serve: Serve) -> None:
    async with serve(executor=InProcess()) as client:
        run = await posted(client, FIT)
        answer = await client.post(f"{run}/replays", json={"what": "surface", "step": 1})
        assert answer.status_code == 201, answer.text
        result = answer.json()
        assert result["repeatable"] is True
        assert result["parameters"] == [{"key": "p0", "id": "p0", "name": "m", "element": None}]
        assert result["loss_name"] == "loss"
        step = (await client.get(f"{run}/steps/1")).json()
        (parameter,) = step["parameters"]
        assert result["at"] == {
            "p0": parameter["value"]["values"],
            "loss": step["loss"]["values"],
            "grad": parameter["contribution"]["values"],
        }
        x, y = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0, 6.0])
        assert result["loss"] == [((torch.tensor(m) * x - y) ** 2).mean().item() for m in result["grid"]["p0"]]
        series = (await client.get(f"{run}/series?key=loss&key=p0")).json()
        assert result["path"]["step"] == [0, 1, 2, 3]
        assert result["path"]["p0"] == series["series"]["p0"]
        assert result["path"]["loss"] == series["series"]["loss"]
        assert result["grid"]["p0"][0] < min(result["path"]["p0"]) < max(result["path"]["p0"]) < result["grid"]["p0"][-1]
        assert "step 1 stay fixed" in result["fixed"]


async def test_the_first_divergence_of_two_runs(serve: Serve) -> None:
    async with serve(executor=InProcess()) as client:
        run, other = await posted(client, FIT), await posted(client, FIT.replace("0.05", "0.1 if step == 1 else 0.05"))
        other_id = other.rpartition("/")[2]
        found = (await client.get(f"{run}/divergence", params={"other": other_id})).json()
        step, changed = [(await client.get(f"{each}/steps/1")).json()["parameters"][0] for each in (run, other)]
        assert (found["where"], found["step"], found["name"]) == ("parameter", 1, "m after the update")
        assert (found["first"], found["second"]) == (step["value_after"]["values"], changed["value_after"]["values"])
        same = (await client.get(f"{run}/divergence", params={"other": run.rpartition("/")[2]})).json()
        assert (same["where"], same["sentence"]) == (None, "All 4 steps are equal.")
        assert (await client.get(f"{run}/divergence", params={"other": "nobody"})).status_code == 404
        assert (await client.get(f"{run}/divergence", params={"other": other_id, "tolerance": "2"})).status_code == 422


async def test_comparisons_run_one_at_a_time_and_nobody_s_reads_wait_for_them(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, release, running = threading.Event(), threading.Event(), []

    def compare(*_: Any, **__: Any) -> Divergence:
        running.append(1)
        begun.set()
        release.wait(30)
        running.pop()
        return Divergence(None, f"{len(running)} others", 0, complete=True)

    monkeypatch.setattr(divergence, "first_divergence", compare)
    async with serve(executor=InProcess()) as client:
        run = await posted(client, FIT)
        address = f"{run}/divergence?other={run.rpartition('/')[2]}"
        asked = [asyncio.ensure_future(client.get(address)) for _ in range(8)]
        await asyncio.to_thread(begun.wait, 30)
        assert (await client.get(f"{run}/steps/0")).status_code == 200
        assert len(running) == 1
        release.set()
        answers = await asyncio.gather(*asked)
        assert sorted({answer.status_code for answer in answers}) == [200, 503]
        assert {answer.json()["sentence"] for answer in answers if answer.status_code == 200} == {"0 others"}


async def test_a_surface_over_two_elements_is_a_matrix(serve: Serve) -> None:
    async with serve(executor=InProcess()) as client:
        run = await posted(client, LINE)
        body = {"what": "surface", "step": 0, "parameters": ["w[1, 0]", "b"], "points": 3, "ranges": [[-1, 1], None]}
        result = (await client.post(f"{run}/replays", json=body)).json()
        assert list(result["grid"]) == ["p1[1,0]", "p0"]
        assert result["grid"]["p1[1,0]"] == [-1, 0, 1]
        for one, row in zip(result["grid"]["p1[1,0]"], result["loss"], strict=True):
            for other, loss in zip(result["grid"]["p0"], row, strict=True):
                w, b = torch.tensor([[1.0, 2.0], [one, -1.0]]), torch.tensor(other)
                assert loss == (torch.relu(w @ torch.tensor([1.0, 3.0]) + b) ** 2).sum().item()
        assert result["at"]["grad"] == {"p1[1,0]": 0.0, "p0": 15.0}


async def test_a_check_compares_each_leaf_and_factors_give_the_gradients_of_the_edges(serve: Serve) -> None:
    async with serve(executor=InProcess()) as client:
        run = await posted(client, LINE)
        result = (await client.post(f"{run}/replays", json={"what": "check", "step": 0})).json()
        assert result["right"] is True
        assert [(leaf["name"], leaf["verdict"], leaf["checked"], leaf["of"]) for leaf in result["leaves"]] == [
            ("b", "right", 1, 1),
            ("w", "right", 4, 4),
        ]
        only = (await client.post(f"{run}/replays", json={"what": "check", "step": 0, "parameters": ["b"]})).json()
        assert [leaf["name"] for leaf in only["leaves"]] == ["b"]
        graph = (await client.get(f"{run}/graphs/g0")).json()
        for node in graph["nodes"]:
            if node["kind"] == "op":
                result = (await client.post(f"{run}/replays", json={"what": "factors", "step": 0, "node": node["id"]})).json()
                assert result["edges"], result
                assert all(edge["equal"] for edge in result["edges"])
        power = next(node["id"] for node in graph["nodes"] if node["op"] == "PowBackward0")
        result = (await client.post(f"{run}/replays", json={"what": "factors", "step": 0, "node": power})).json()
        (edge,) = result["edges"]
        assert edge["factors"] == [{"output": 0, "of": [2], "by": [2], "diagonal": True, "values": [15.0, 0.0]}]


LARGE = """\
import torch
torch.manual_seed(0)
w = torch.randn(40, 30, requires_grad=True)
h = w.exp()
loss = (h[:, :29] ** 2).sum() + h[7, 29].log() * float("inf")
loss.backward()
"""


async def test_a_distribution_is_the_histogram_that_torch_computes_of_the_value_and_of_the_gradient(serve: Serve) -> None:
    torch.manual_seed(0)
    w = torch.randn(40, 30, requires_grad=True)
    h = w.exp()
    h.retain_grad()
    ((h[:, :29] ** 2).sum() + h[7, 29].log() * float("inf")).backward()  # type: ignore[no-untyped-call]
    async with serve(executor=InProcess()) as client:
        run = await posted(client, LARGE)
        nodes = (await client.get(f"{run}/graphs/g0")).json()["nodes"]
        for name, value, gradient in (("w", w, w.grad), ("h", h, h.grad)):
            node = next(node["id"] for node in nodes if node["name"] == name)
            result = (await client.post(f"{run}/replays", json={"what": "distribution", "step": 0, "node": node})).json()
            assert (result["repeatable"], result["reason"], result["node"]) == (True, None, node)
            assert result["value"] == distribution_of(value.detach())
            assert gradient is not None
            assert result["gradients"] == [distribution_of(gradient)]
            assert result["gradients"][0]["bad"] == {"element": [7, 29], "value": "Infinity"}


def distribution_of(tensor: torch.Tensor) -> dict[str, Any]:
    """Return the distribution that the API answers, computed with the functions of torch for the whole tensor."""
    flat = tensor.flatten().double()
    finite = flat[flat.isfinite()]
    elements = {tuple(at.tolist()): tensor[tuple(at)].item() for at in tensor.isfinite().nonzero()}
    bad = next(({"element": at.tolist(), "value": "Infinity"} for at in (~tensor.isfinite()).nonzero()), None)
    return {
        "shape": list(tensor.shape),
        "low": finite.min().item(),
        "high": finite.max().item(),
        "counts": torch.histc(finite, 24).int().tolist(),
        "largest": [
            {"element": list(at), "value": elements[at]} for at in sorted(elements, key=lambda at: -abs(elements[at]))[:5]
        ],
        "bad": bad,
    }


RECURRENT = """\
import torch
from torch import nn
x, y = torch.randn(6, 5, 3), torch.randint(0, 2, (6,))
lstm, head = nn.LSTM(3, 4), nn.Linear(4, 2)
out, _ = lstm(x)
scores = head(out[:, -1])
loss = nn.functional.cross_entropy(scores, y)
loss.backward()
"""


async def test_a_dependence_says_which_samples_reach_which_predictions(serve: Serve) -> None:
    async with serve(executor=InProcess()) as client:
        for program, pattern in ((RECURRENT, "later"), (RECURRENT.replace("(3, 4)", "(3, 4, batch_first=True)", 1), "apart")):
            run = await posted(client, program)
            nodes = (await client.get(f"{run}/graphs/g0")).json()["nodes"]
            node = next(node["id"] for node in nodes if node["name"] == "scores")
            answer = await client.post(f"{run}/replays", json={"what": "dependence", "step": 0, "node": node})
            result = answer.json()
            assert (answer.status_code, result["repeatable"], result["reason"]) == (201, True, None)
            assert (result["node"], result["dimension"], result["length"]) == (node, 0, 6)
            (data,) = result["data"]
            reaches = [list(range(row, 6)) if pattern == "later" else [row] for row in range(6)]
            assert (data["name"], data["shape"], data["dimension"], data["pattern"]) == ("x", [6, 5, 3], 0, pattern)
            assert data["rows"] == [{"row": row, "reaches": each, "count": len(each)} for row, each in enumerate(reaches)]
            made = next((each for each in nodes if each["id"] == data["mixed_at"]), None)
            assert (made and made["line"]) == (5 if pattern == "later" else None)
            assert data["sentence"] == (
                "Each row of `x` along dimension 0 reaches only the same row of `scores`."
                if pattern == "apart"
                else "Each row of `x` along dimension 0 also reaches later rows of `scores`, but none before its own. They are "
                "first mixed by `out` on line 5."
            )


async def test_a_watch_gives_a_series_over_the_steps_and_a_seek_the_first_true_value(serve: Serve) -> None:
    async with serve(executor=InProcess()) as client:
        run = await posted(client, FIT)
        result = (await client.post(f"{run}/replays", json={"what": "watch", "line": 7, "expression": "m.grad"})).json()
        assert (result["repeatable"], result["step"], result["pass"], result["errors"]) == (True, 3, None, [])
        series = (await client.get(f"{run}/series?key=loss")).json()["series"]
        gradients = [(await client.get(f"{run}/steps/{step}")).json()["parameters"][0]["grad_after"] for step in range(4)]
        values = [gradient["values"] for gradient in gradients]
        assert result["watched"] == {"step": [0, 1, 2, 3], "line": [7] * 4, "value": values, "omitted": 0}
        again = await client.post(f"{run}/replays", json={"what": "watch", "step": 3, "line": 7, "expression": " m.grad "})
        assert (again.status_code, again.json()) == (200, result)

        low = series["loss"][2]
        body = {"what": "seek", "expression": f"loss <= {low}", "line": 6}
        result = (await client.post(f"{run}/replays", json=body)).json()
        assert (result["repeatable"], result["found"]) == (True, {"step": 2, "line": 6, "value": True})
        result = (await client.post(f"{run}/replays", json=body | {"expression": "loss < 0"})).json()
        assert (result["repeatable"], result["found"]) == (True, None)
        result = (await client.post(f"{run}/replays", json=body | {"expression": "later > 0"})).json()
        error = {"message": "NameError: name 'later' is not defined", "step": 0, "line": 6, "count": 4}
        assert (result["found"], result["errors"]) == (None, [error])


async def test_a_watch_records_nothing_unless_the_count_of_statements_is_lost(serve: Serve) -> None:
    executor = InProcess()
    async with serve(executor=executor) as client:
        run = await posted(client, FIT)
        for body, counted in (
            ({"what": "watch", "line": 7, "expression": "m.grad"}, [True]),
            ({"what": "seek", "line": 7, "expression": "loss < 1"}, [True]),
            ({"what": "watch", "line": 8, "expression": "m.zero_()"}, [True, False]),
            ({"what": "step", "step": 1}, [False]),
        ):
            executor.jobs.clear()
            assert (await client.post(f"{run}/replays", json=body)).json()["status"] == "done"
            orders = [job.replay for job in executor.jobs]
            assert [order is not None and order.counted is not None for order in orders] == counted


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"line": 9, "expression": "m +"}, "The expression is not valid Python: invalid syntax."),
        ({"line": 8, "expression": "m.zero_()"}, "Not repeatable: in step 0, "),
        ({"line": 8, "expression": "m", "step": 9}, "they are 0 to 3"),
        ({"expression": "later"}, "`later` had no value up to step 3: its names were not defined."),
    ],
)
async def test_a_watch_that_has_no_result_says_why(serve: Serve, body: dict[str, Any], reason: str) -> None:
    async with serve(executor=InProcess()) as client:
        run = await posted(client, FIT)
        answer = (await client.post(f"{run}/replays", json={"what": "watch"} | body)).json()
        assert (answer.get("reason") or answer["detail"]).startswith(reason) or reason in answer["detail"]


@pytest.mark.parametrize(
    ("loss", "right", "verdict", "definitions"),
    [
        ("w.square().sum()", True, "right", []),
        ("torch.relu(w - 1).sum()", True, "kink", []),
        ("(w / 0).sum()", None, "unknown", []),
        ("torch.nn.functional.embedding(torch.tensor([0, 1]), w, padding_idx=0).sum()", True, "defined", ["padding_idx"]),
        ("Tripled.apply(w).sum()", False, "wrong", []),
        ("w.sum() + v.sqrt().sum()", None, "right", []),
        ("Tripled.apply(w).sum() + v.sqrt().sum()", False, "wrong", []),
    ],
)
async def test_a_check_distinguishes_wrong_gradients_from_undecidable_ones(
    serve: Serve, loss: str, right: bool | None, verdict: str, definitions: list[str]
) -> None:
    program = f"""\
import torch
class Tripled(torch.autograd.Function):
    forward = staticmethod(lambda ctx, x: 3 * x)
    backward = staticmethod(lambda ctx, grad: 2 * grad)
w = torch.ones(2, 2, requires_grad=True)
v = torch.zeros(2, requires_grad=True)
({loss}).backward()
"""
    async with serve(executor=InProcess()) as client:
        run = await posted(client, program)
        result = (await client.post(f"{run}/replays", json={"what": "check", "step": 0})).json()
        assert result["right"] is right
        assert (result["precision"], result["gradient_precision"]) == ("float64", "float32")
        (leaf,) = [leaf for leaf in result["leaves"] if leaf["name"] == "w"]
        assert (leaf["verdict"], leaf["definitions"]) == (verdict, definitions)


async def test_a_repeated_request_is_answered_from_the_store(serve: Serve) -> None:
    executor = InProcess()
    async with serve(executor=executor) as client:
        run = await posted(client, FIT)
        first = await client.post(f"{run}/replays", json={"what": "surface", "step": 2, "parameters": ["m"]})
        again = await client.post(f"{run}/replays", json={"parameters": ["p0"], "step": 2, "what": "surface", "points": 101})
        assert (first.status_code, again.status_code) == (201, 200)
        assert again.json() == first.json()
        assert len(executor.jobs) == 2
        assert first.headers["Location"] == again.headers["Location"]
        assert (await client.get(first.headers["Location"])).json() == first.json()
    async with serve(executor=FakeExecutor()) as client:  # the store outlives the process
        assert (await client.get(first.headers["Location"])).json() == first.json()
        await client.delete(run)


async def test_a_program_whose_numbers_depend_on_the_time_is_not_repeatable(serve: Serve) -> None:
    program = FIT.replace("import torch", "import time, torch\ntorch.manual_seed(time.time_ns() % 2**31)").replace(
        "tensor(1., requires", "tensor(torch.rand(()).item(), requires"
    )
    async with serve(executor=InProcess()) as client:
        run = await posted(client, program)
        result = (await client.post(f"{run}/replays", json={"what": "surface", "step": 3})).json()
        assert result["repeatable"] is False
        assert "loss" not in result
        difference = result["difference"]
        assert difference["step"] == 0
        assert difference["recorded"] != difference["replayed"]
        assert isinstance(difference["recorded"], float)
        assert difference["sentence"].startswith("Not repeatable: in step 0, ")


async def test_a_program_that_only_reads_the_time_is_repeatable(serve: Serve) -> None:
    program = FIT.replace("import torch", "import time, torch").replace("    loss = ", "    now = time.time_ns()\n    loss = ")
    async with serve(executor=InProcess()) as client:
        run = await posted(client, program)
        result = (await client.post(f"{run}/replays", json={"what": "check", "step": 3})).json()
        assert (result["repeatable"], result["right"]) == (True, True)


async def test_a_program_that_takes_another_branch_is_not_repeatable(serve: Serve) -> None:
    program = FIT.replace("import torch", "import torch, os").replace(
        "    m.grad = None",
        "    if os.environ.get('TAPEDECK_TEST_WAY'):\n        m.grad = None\n    else:\n        m.grad.zero_()",
    )
    with pytest.MonkeyPatch.context() as patch:
        async with serve(executor=InProcess()) as client:
            run = await posted(client, program)
            patch.setenv("TAPEDECK_TEST_WAY", "1")
            result = (await client.post(f"{run}/replays", json={"what": "check", "step": 3})).json()
    assert result["repeatable"] is False
    assert result["difference"]["name"] == "which lines ran"


NOT_EVALUATED = {"maml", "pinn", "hooks"}
"""Examples whose loss contains a gradient, or whose hook changes one. Such a pass cannot be evaluated again."""


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """Run on one thread, as sandboxed programs do; several are slower for tensors this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_one_thread")
@pytest.mark.parametrize("each", gallery(), ids=lambda each: each.slug)
async def test_a_replay_of_every_example_reproduces_its_recording(serve: Serve, each: Any) -> None:
    async with serve(executor=InProcess()) as client:
        run = await posted(client, each.program)
        step = (await client.get(run)).json()["steps"] - 1 - (each.slug == "pitfall-in-place")  # its last pass is interrupted
        asked = {"what": "check", "step": step, "elements": 2}
        result = (await client.post(f"{run}/replays", json=asked, headers={"Prefer": "wait=60"})).json()
        assert result["repeatable"] is True, result
        if each.slug in NOT_EVALUATED:
            assert "cannot be evaluated again" in result["reason"]
        else:
            assert result.get("reason") is None
            assert result["right"] is (each.slug != "straight-through")  # its backward is not the derivative of its forward


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"what": "surface", "step": 4}, "they are 0 to 3"),
        ({"what": "surface", "step": "last"}, "they are 0 to 3"),
        (
            {"what": "surface", "step": 0, "parameters": ["w"]},
            "There is no parameter 'w' in this pass of step 0: there are p0 (m)",
        ),
        ({"what": "surface", "step": 0, "parameters": ["m[0]"]}, "m has the shape [], so it has no element [0]"),
        ({"what": "surface", "step": 0, "parameters": ["m", "p0"]}, "elements of a surface must differ"),
        ({"what": "surface", "step": 0, "parameters": []}, "one or two elements of parameters as its axes"),
        ({"what": "surface", "step": 0, "points": 202}, "a whole number from 2 to 201"),
        ({"what": "surface", "step": 0, "ranges": [[1, 1]]}, "A range must be two numbers"),
        ({"what": "surface", "step": 0, "ranges": []}, "Give a range for each parameter"),
        ({"what": "surface", "step": 0, "node": "n0"}, "Unknown field 'node'"),
        ({"what": "surface", "step": 0, "pass": 2}, "The passes of step 0 are 0"),
        ({"what": "check", "step": 0, "elements": 0}, "from 1 to 256"),
        ({"what": "factors", "step": 0, "node": "n99"}, "n0 to n"),
        ({"what": "factors", "step": 0, "node": "n4"}, "is a leaf"),
        ({"what": "distribution", "step": 0, "node": "n5"}, "n5 is a constant: choose an operation or a leaf"),
        (
            {"what": "dependence", "step": 0, "node": "n5"},
            "n5 is a constant: no operation computed it, so it depends on no data",
        ),
        ({"what": "dependence", "step": 0, "node": "n0", "dimension": 64}, "dimension must be a whole number from 0 to 63"),
        ({"what": "watch", "expression": "m", "line": 12}, "a line of the program: 1 to 10"),
        ({"what": "watch", "line": 8}, "must be a Python expression"),
        ({"what": "watch", "expression": "m" * 1001}, "the limit is 1,000"),
        ({"what": "seek", "expression": "m", "pass": 0}, "a seek has step, what, line, expression"),
        ({"what": "mirror", "step": 0}, "surface, check, factors, distribution, dependence, watch, seek"),
        ([], "not an object"),
    ],
)
async def test_an_invalid_replay_request_is_rejected_with_a_reason(serve: Serve, body: Any, sentence: str) -> None:
    async with serve(executor=InProcess()) as client:
        run = await posted(client, FIT)
        answer = await client.post(f"{run}/replays", json=body)
        assert answer.status_code == 422, answer.text
        assert sentence in answer.json()["detail"]


@pytest.mark.parametrize(
    ("program", "options", "body", "sentence"),
    [
        (LINE, {}, {"what": "surface", "step": 0}, '"parameters": ["b"]'),
        (LINE, {}, {"what": "surface", "step": 0, "parameters": ["w"]}, "as w[0,0]"),
        (LINE, {}, {"what": "surface", "step": 0, "parameters": ["w[2,0]"]}, "no element [2, 0]"),
        (LINE, {"capture": "graph"}, {"what": "check", "step": 0}, "without numbers"),
        ("x = 1", {}, {"what": "check", "step": 0}, "This run has no step"),
        (
            "import torch\nw = torch.ones(2, requires_grad=True)\nw * 2",
            {},
            {"what": "surface", "step": 0},
            "has no loss to draw",
        ),
        ("import torch\n1/0\n", {}, {"what": "check", "step": 0}, "This run has no step"),
    ],
)
async def test_a_replay_that_the_run_does_not_allow_is_rejected_with_a_reason(
    serve: Serve, program: str, options: dict[str, Any], body: dict[str, Any], sentence: str
) -> None:
    async with serve(executor=InProcess()) as client:
        run = await posted(client, program, **options)
        answer = await client.post(f"{run}/replays", json=body)
        assert answer.status_code == 422, answer.text
        assert sentence in answer.json()["detail"]


async def test_a_run_in_progress_or_not_stored_cannot_be_replayed(serve: Serve) -> None:
    async with serve([wire.StartedEvent("2", "3")], forever) as client:
        started = await client.post("/api/v1/runs", json={"program": "…"}, headers={"Prefer": "wait=0"})
        run = f"/api/v1/runs/{started.json()['id']}"
        answer = await client.post(f"{run}/replays", json={"what": "check", "step": 0})
        assert (answer.status_code, answer.json()["title"]) == (409, "Run in progress")
        await client.post(f"{run}/cancel")
        assert (await client.post("/api/v1/runs/0/replays", json={"what": "check", "step": 0})).status_code == 404
        assert (
            await client.post(f"{run}/replays", content=b"{", headers={"Content-Type": "application/json"})
        ).status_code == 400
        assert (await client.post(f"{run}/replays", content=b"{}")).status_code == 415
        plain = {"Content-Type": "text/plain"}
        assert (await client.post(f"{run}/replays", content=b"{}", headers=plain)).status_code == 415
        assert (await client.get(f"{run}/replays/{'0' * 24}")).status_code == 404


class Paused(InProcess):
    """Replays that wait for ``gone`` before they emit their results."""

    def __init__(self) -> None:
        super().__init__()
        self.gone = asyncio.Event()

    async def run(
        self, job: wire.Job, *, limits: model.Limits, cancelled: asyncio.Event, client: str = ""
    ) -> AsyncIterator[list[wire.AnyEvent]]:
        async for batch in super().run(job, limits=limits, cancelled=cancelled):
            if job.replay is not None:
                await self.gone.wait()
            yield batch


async def test_a_replay_in_progress_can_be_read_at_its_location(serve: Serve) -> None:
    executor = Paused()
    async with serve(executor=executor) as client:
        run = await posted(client, FIT)
        body = {"what": "check", "step": 1}
        begun = await client.post(f"{run}/replays", json=body, headers={"Prefer": "wait=0"})
        assert (begun.status_code, begun.headers["Retry-After"], begun.headers["Cache-Control"]) == (202, "1", "no-store")
        own = begun.headers["Location"]
        assert own == f"{run}/replays/{begun.json()['id']}" == begun.json()["links"]["self"]
        meanwhile = await client.get(own)
        assert (meanwhile.status_code, meanwhile.headers["Retry-After"], meanwhile.headers["Location"]) == (202, "1", own)
        assert meanwhile.json()["status"] in ("queued", "running")
        assert (await client.post(f"{run}/replays", json=body, headers={"Prefer": "wait=0"})).headers["Location"] == own
        waiting = asyncio.ensure_future(client.get(own, headers={"Prefer": "wait=60"}))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        executor.gone.set()
        done = await waiting
        assert (done.status_code, done.json()["status"], done.json()["right"]) == (200, "done", True)
        assert "immutable" in done.headers["Cache-Control"]
        assert (await client.get(own, headers={"If-None-Match": done.headers["ETag"]})).status_code == 304
        again = await client.post(f"{run}/replays", json=body)
        assert (again.status_code, again.json()) == (200, done.json())
        assert len(executor.jobs) == 2, "the program and one replay"


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (SandboxError("The sandbox broke."), 503, "The sandbox broke."),
        (RuntimeError("secret"), 500, "Tapedeck failed because of a bug. See the server's log."),
    ],
)
async def test_a_failed_replay_gives_the_same_problem_to_readers_and_to_the_caller_who_started_it(
    serve: Serve, error: Exception, status: int, sentence: str
) -> None:
    class Broken(Paused):
        async def run(
            self, job: wire.Job, *, limits: model.Limits, cancelled: asyncio.Event, client: str = ""
        ) -> AsyncIterator[list[wire.AnyEvent]]:
            async for batch in super().run(job, limits=limits, cancelled=cancelled):
                if job.replay is not None and len(self.jobs) < 4:
                    raise error
                yield batch

    executor = Broken()
    async with serve(executor=executor) as client:
        run = await posted(client, FIT)
        body = {"what": "check", "step": 1}
        begun = await client.post(f"{run}/replays", json=body, headers={"Prefer": "wait=0"})
        assert begun.status_code == 202
        executor.gone.set()
        waited = await client.get(begun.headers["Location"], headers={"Prefer": "wait=60"})
        for answer in (waited, await client.get(begun.headers["Location"]), await client.post(f"{run}/replays", json=body)):
            assert (answer.status_code, answer.json()["detail"]) == (status, sentence)
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.headers["Cache-Control"] == "no-store"
        assert len(executor.jobs) == 3, "a second POST runs it again"
        assert (await client.post(f"{run}/replays", json=body)).json()["right"] is True
        assert (await client.get(begun.headers["Location"])).json()["right"] is True


async def test_a_replay_that_the_store_has_no_room_for_can_still_be_read(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapedeck.store.store.MOST_REPLAYS", 1)
    async with serve(executor=InProcess()) as client:
        run = await posted(client, FIT)
        for step in (0, 1):
            made = await client.post(f"{run}/replays", json={"what": "check", "step": step})
            assert made.status_code == 201
            assert (await client.get(made.headers["Location"])).json() == made.json()


async def test_replays_that_are_only_remembered_are_limited_in_bytes(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapedeck.store.store.MOST_REPLAYS", 0)
    monkeypatch.setattr("tapedeck.replays.manager.REMEMBERED_BYTES", 40_000)
    async with serve(executor=InProcess()) as client:
        run = await posted(client, FIT)
        asked = ({"what": "watch", "line": 5, "expression": f"{number} + 0"} for number in range(4))
        made = [(await client.post(f"{run}/replays", json=body)).headers["Location"] for body in asked]
        assert [(await client.get(each)).status_code for each in made] == [404, 404, 200, 200]


async def test_a_long_replay_can_be_followed_by_its_events(serve: Serve) -> None:
    executor = Paused()
    async with serve(executor=executor) as client:
        run = await posted(client, FIT)
        answer = await client.post(f"{run}/replays", json={"what": "check", "step": 1}, headers={"Prefer": "wait=0"})
        assert answer.status_code == 202
        result = answer.json()
        assert result["status"] in ("queued", "running")
        following = asyncio.ensure_future(client.get(result["links"]["events"]))
        await asyncio.sleep(0)
        executor.gone.set()
        stream = (await following).text
        assert "event: progress" in stream
        assert '"done":2,"of":2' in stream
        last = stream.strip().split("\n\n")[-1]
        assert last.startswith("event: end")
        assert msgspec.json.decode(last.split("data: ")[1])["right"] is True


async def test_a_replay_that_times_out_has_a_reason_and_is_not_cached(serve: Serve) -> None:
    class Short(InProcess):
        async def run(
            self, job: wire.Job, *, limits: model.Limits, cancelled: asyncio.Event, client: str = ""
        ) -> AsyncIterator[list[wire.AnyEvent]]:
            if job.replay is not None:
                self.jobs.append(job)
                yield [
                    wire.EndEvent(
                        "timed_out", wire.ProgramFailure("timed_out", "It was stopped after 10 s.", None, -1, ""), 10_000.0
                    )
                ]
                return
            async for batch in super().run(job, limits=limits, cancelled=cancelled):
                yield batch

    async with serve(executor=Short()) as client:
        run = await posted(client, FIT)
        result = (await client.post(f"{run}/replays", json={"what": "check", "step": 1})).json()
        assert result["repeatable"] is None
        assert result["reason"] == "The replay was not completed: It was stopped after 10 s."
        read = await client.get(result["links"]["self"])
        assert (read.json(), read.headers["Cache-Control"]) == (result, "no-store"), "the next replay may have a result"


class Stoppable(InProcess):
    """Replays that run until they are cancelled, while ``held`` is true."""

    held = True

    async def run(
        self, job: wire.Job, *, limits: model.Limits, cancelled: asyncio.Event, client: str = ""
    ) -> AsyncIterator[list[wire.AnyEvent]]:
        if job.replay is not None and self.held:
            self.batches = ([wire.StartedEvent("2", "3")], forever)
            async for batch in FakeExecutor.run(self, job, limits=limits, cancelled=cancelled):
                yield batch
            return
        async for batch in super().run(job, limits=limits, cancelled=cancelled):
            yield batch


async def in_progress(client: httpx.AsyncClient, run: str, step: int = 0, **headers: str) -> dict[str, str]:
    """Request a replay without waiting for it, and return its links."""
    headers["Prefer"] = "wait=0"
    answer = await client.post(f"{run}/replays", json={"what": "check", "step": step}, headers=headers)
    assert answer.status_code == 202
    links: dict[str, str] = answer.json()["links"]
    return links


def another(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Return a client without cookies, as a new visitor has none."""
    return client_of(client._transport.app)  # type: ignore[attr-defined]


async def test_the_caller_can_cancel_a_replay_and_request_it_again(serve: Serve) -> None:
    executor = Stoppable()
    async with serve(executor=executor) as client:
        run = await posted(client, FIT)
        links = await in_progress(client, run)
        following = asyncio.ensure_future(client.get(links["events"]))
        async with another(client) as stranger:
            refused = await stranger.post(f"{links['self']}/cancel")
        assert refused.status_code == 403
        assert "Only a caller that requested this replay may stop it" in refused.json()["detail"]
        assert (await client.get(links["self"])).json()["status"] == "running"
        answer = await client.post(f"{links['self']}/cancel")
        assert answer.status_code == 200
        result = answer.json()
        assert (result["status"], result["repeatable"], result["reason"]) == ("done", None, "The replay was cancelled.")
        assert '"reason":"The replay was cancelled."' in (await following).text
        assert executor.running == 0
        assert (await client.get(links["self"])).json() == result
        assert (await client.post(f"{links['self']}/cancel")).json() == result
        executor.held = False
        again = await client.post(f"{run}/replays", json={"what": "check", "step": 0})
        assert (again.status_code, again.json()["right"]) == (201, True)
        assert again.headers["Location"] == links["self"]
        assert (await client.get(links["self"])).json()["right"] is True
        assert (await client.post(f"{links['self']}/cancel")).json()["right"] is True  # an ended replay is not changed
        assert (await client.post(f"{run}/replays/{'0' * 24}/cancel")).status_code == 404


async def test_only_the_caller_who_requested_a_replay_can_cancel_it(serve: Serve) -> None:
    executor = Stoppable()
    async with serve(executor=executor) as owner, another(owner) as caller, another(owner) as program:
        run = await posted(owner, FIT)
        links = await in_progress(caller, run)
        assert (await owner.post(f"{links['self']}/cancel")).status_code == 403, "the owner of the run did not request it"
        result = (await caller.post(f"{links['self']}/cancel")).json()
        assert (result["status"], result["reason"]) == ("done", "The replay was cancelled.")
        # a program without cookies is identified by the key that it received
        begun = await program.post(f"{run}/replays", json={"what": "check", "step": 1}, headers={"Prefer": "wait=0"})
        key, own = begun.json()["owner_key"], begun.headers["Location"]
        assert "tapedeck_owner" in begun.cookies
        program.cookies.clear()
        assert (await program.post(f"{own}/cancel")).status_code == 403
        bearer = {"Authorization": f"Bearer {key}"}
        again = await program.post(f"{run}/replays", json={"what": "check", "step": 1}, headers=bearer | {"Prefer": "wait=0"})
        assert "owner_key" not in again.json()
        assert (await program.post(f"{own}/cancel", headers=bearer)).json()["status"] == "done"
        executor.held = False
        made = await program.post(f"{run}/replays", json={"what": "check", "step": 2})
        assert (made.status_code, "owner_key" in made.json(), dict(made.cookies)) == (201, False, {}), "no key is needed"
        wrong = await caller.post(f"{run}/replays", json={"what": "check", "step": 1}, headers={"Authorization": "Bearer x"})
        assert wrong.status_code == 403


async def test_a_replay_continues_until_every_caller_who_requested_it_cancels(serve: Serve) -> None:
    executor = Stoppable()
    async with serve(executor=executor) as first, another(first) as second, another(first) as third:
        run = await posted(first, FIT)
        links = await in_progress(first, run)
        assert await in_progress(second, run) == await in_progress(third, run) == links
        for client in (first, first, second):  # cancelling twice counts once
            answer = await client.post(f"{links['self']}/cancel")
            assert (answer.status_code, answer.json()["status"]) == (200, "running")
        await in_progress(first, run)
        assert (await third.post(f"{links['self']}/cancel")).json()["status"] == "running", "it was requested again"
        assert executor.running == 1
        assert (await first.post(f"{links['self']}/cancel")).json()["status"] == "done"
        assert executor.running == 0


async def test_requesting_a_replay_that_is_being_cancelled_starts_another(serve: Serve) -> None:
    executor = Stoppable()
    async with serve(executor=executor) as client:
        run = await posted(client, FIT)
        links = await in_progress(client, run)
        await until(lambda: executor.running == 1)
        stopping = asyncio.ensure_future(client.post(f"{links['self']}/cancel"))
        executor.held = False
        results = [(await client.post(f"{run}/replays", json={"what": "check", "step": 0})).json() for _ in range(2)]
        assert [each.get("right") for each in results] == [True, True]
        assert (await stopping).json()["reason"] == "The replay was cancelled."


async def test_a_queued_replay_can_be_cancelled_before_it_starts(serve: Serve) -> None:
    executor = Stoppable()
    async with serve(executor=executor, concurrent=1) as client:
        run = await posted(client, FIT)
        first, second = await in_progress(client, run, 0), await in_progress(client, run, 1)
        assert (await client.get(second["self"])).json()["status"] == "queued"
        assert (await client.post(f"{second['self']}/cancel")).json()["reason"] == "The replay was cancelled."
        assert (await client.post(f"{first['self']}/cancel")).json()["reason"] == "The replay was cancelled."
        assert [job.replay.step for job in executor.jobs if job.replay is not None] == [0]


async def test_deleting_a_run_stops_its_replays(serve: Serve) -> None:
    executor = Stoppable()
    async with serve(executor=executor) as client:
        run, other = await posted(client, FIT), await posted(client, FIT)
        links, kept = await in_progress(client, run), await in_progress(client, other)
        await until(lambda: executor.running == 2)
        assert (await client.delete(run)).status_code == 204
        await until(lambda: executor.running == 1)
        assert (await client.get(links["self"])).status_code == 404
        assert (await client.get(kept["self"])).json()["status"] == "running"


@pytest.mark.sandbox
async def test_cancelling_a_replay_kills_its_process(serve: Serve) -> None:
    began = asyncio.Event()

    class ExpressionValues(LocalExecutor):
        async def run(
            self, job: wire.Job, *, limits: model.Limits, cancelled: asyncio.Event, client: str = ""
        ) -> AsyncIterator[list[wire.AnyEvent]]:
            async for batch in super().run(job, limits=limits, cancelled=cancelled):
                if job.replay is not None:
                    began.set()
                yield batch

    executor = ExpressionValues(Settings(children=1))
    async with serve(executor=executor) as client:
        await executor.settled()
        slow = "    time.sleep(3 if step == 3 else 0)\n    loss ="
        run = await posted(client, FIT.replace("import torch", "import time, torch").replace("    loss =", slow))
        before = children(executor.zygote)
        links = await in_progress(client, run, 3)
        await began.wait()
        assert (await client.post(f"{links['self']}/cancel")).json()["reason"] == "The replay was cancelled."
        await until(lambda: not before & children(executor.zygote))  # without the kill, the process would sleep for longer


def children(process: int | None) -> set[str]:
    """Return the ids of a process's children that have not been waited for."""
    return set(Path(f"/proc/{process}/task/{process}/children").read_text().split())


@pytest.mark.sandbox
async def test_a_replay_is_confined_like_a_run(serve: Serve) -> None:
    executor = LocalExecutor(Settings(children=1))
    async with serve(executor=executor) as client:
        await executor.settled()
        run = await posted(client, FIT)
        result = (await client.post(f"{run}/replays", json={"what": "surface", "step": 1})).json()
        assert result["repeatable"] is True, result
        assert len(result["loss"]) == 101

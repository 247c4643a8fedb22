"""Run real programs in the sandbox: the API returns the notebook's numbers, and bad programs harm no later run."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from tapedeck import model
from tapedeck.drawing.numerals import MINUS
from tapedeck.explain.rewriting.fixes import apply
from tapedeck.main import create_app
from tapedeck.model import Limits
from tapedeck.settings import Settings

from ..conftest import client_of

pytestmark = [pytest.mark.anyio, pytest.mark.sandbox]

RUNS = "/api/v1/runs"
NOTEBOOK = Path(__file__).parents[2] / "seed" / "autograd_and_backpropagation.ipynb"
LAST = """\
import torch
x = torch.tensor([1.0, 2.0, 3.0])
y = torch.tensor([2.0, 4.0, 6.0])
m = torch.tensor(1.0, requires_grad=True)
y_pred = m * x
loss = ((y_pred - y) ** 2).mean()
loss
loss.backward()
m.grad
learning_rate = .01
m = m - learning_rate * m.grad
m
"""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Use one event loop for the server that all tests of this module share."""
    return "asyncio"


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    limits = Limits(wall_seconds=4.0)
    app = create_app(Settings(data=str(tmp_path_factory.mktemp("data")), limits=limits, children=2, record_examples=False))
    async with app.router.lifespan_context(app), client_of(app) as client:
        client.timeout = httpx.Timeout(60)
        yield client


async def run(client: httpx.AsyncClient, program: str, **more: Any) -> dict[str, Any]:
    answer = await client.post(RUNS, json={"program": program, **more}, headers={"Prefer": "wait=60"})
    assert answer.status_code == 201, answer.text
    result: dict[str, Any] = answer.json()
    return result


async def test_the_last_section_gives_the_numbers_of_the_notebook(server: httpx.AsyncClient) -> None:
    result = await run(server, LAST)
    assert (result["status"], result["steps"]) == ("done", 1)
    step = (await server.get(f"{result['links']['self']}/steps/0")).json()
    assert step["loss"]["values"] == pytest.approx(4.6667, abs=5e-5)
    parameter = step["parameters"][0]
    assert parameter["name"] == "m"
    assert parameter["grad_after"]["values"] == pytest.approx(-9.3333, abs=5e-5)
    graph = (await server.get(f"{result['links']['self']}/graphs/{step['passes'][0]['graph']}")).json()
    leaf = next(node["id"] for node in graph["nodes"] if node["kind"] == "leaf")
    into = [edge["id"] for edge in graph["edges"] if edge["target"] == leaf]
    assert [step["passes"][0]["edges"][edge]["values"] for edge in into] == [pytest.approx(-9.3333, abs=5e-5)]
    moved = step["rebinds"][0]
    assert (moved["name"], moved["to"]["grad_fn"], moved["to"]["is_leaf"]) == ("m", "SubBackward0", False)
    assert moved["to"]["values"] == pytest.approx(1.0933, abs=5e-5)
    picture = (await server.get(f"{result['links']['self']}/passes/0/graph.svg")).text
    assert f"{MINUS}9.3333" in picture
    page = (await server.get(result["links"]["page"], headers={"Accept": "text/html"})).text
    assert f"{MINUS}9.3333" in page


async def test_applying_the_edits_of_a_finding_removes_it(server: httpx.AsyncClient) -> None:
    result = await run(server, LAST)
    finding = next(each for each in result["findings"] if each["code"] == "leaf-rebound")
    assert finding["line"] == 11
    fixed = await run(server, apply(LAST, msgspec.convert(finding["fix"], model.Fix)))
    assert fixed["status"] == "done"
    assert not [each for each in fixed["findings"] if each["code"] == "leaf-rebound"]


MODIFIED_IN_PLACE = """\
import torch
w = torch.tensor([1.0, 2.0], requires_grad=True)
for step in range(3):
    h = w.exp()
    loss = (h * h).sum()
    if step == 2:
        h += 1
    loss.backward()
    with torch.no_grad():
        w -= 0.01 * w.grad
        w.grad = None
"""


async def test_an_in_place_change_is_reported_with_both_lines_and_the_node(server: httpx.AsyncClient) -> None:
    result = await run(server, MODIFIED_IN_PLACE)
    assert (result["status"], result["error"]["line"], result["steps"]) == ("failed", 8, 3)
    (finding,) = result["findings"]
    assert (finding["code"], finding["severity"], finding["line"], finding["step"]) == ("saved-modified", "error", 7, 2)
    assert finding["message"] == "Line 7 changes a tensor in place, but `h * h` on line 5 still needs its old values."
    shown = (await server.get(f"{result['links']['self']}/passes/{finding['pass']}")).json()
    assert shown["failed"] == finding["node"]
    graph = (await server.get(f"{result['links']['self']}/graphs/{shown['graph']}")).json()
    node = next(node for node in graph["nodes"] if node["id"] == finding["node"])
    assert (node["op"], node["line"]) == ("MulBackward0", 5)
    assert shown["nodes"][node["id"]]["grads"][0]["arrived"]["values"] == [1.0, 1.0]
    before = (await server.get(f"{result['links']['self']}/steps/1")).json()
    assert before["passes"][0]["failed"] is None


async def test_training_that_becomes_nan_is_reported_at_its_step(server: httpx.AsyncClient) -> None:
    program = """\
import torch
w = torch.tensor([0.5, 1.0], requires_grad=True)
opt = torch.optim.SGD([w], lr=0.01)
for step in range(60):
    x = torch.tensor([1.0, 2.0]) * (step != 40)
    y = torch.where(x > 0, torch.sqrt(w * x), torch.zeros(2))
    loss = ((y - 2) ** 2).sum()
    opt.zero_grad()
    loss.backward()
    opt.step()
"""
    result = await run(server, program)
    (finding,) = result["findings"]
    assert (finding["code"], finding["line"], finding["step"], finding["pass"]) == ("nan-origin", 6, 40, 40)
    shown = (await server.get(f"{result['links']['self']}/passes/40")).json()
    graph = (await server.get(f"{result['links']['self']}/graphs/{shown['graph']}")).json()
    handed_on = next(edge["id"] for edge in graph["edges"] if edge["source"] == finding["node"])
    assert shown["nodes"][finding["node"]]["grads"][0]["used"]["values"] == [0.0, 0.0]
    assert shown["edges"][handed_on]["values"] == ["NaN", "NaN"]


async def test_the_gradient_of_an_expression_equals_that_of_torch(server: httpx.AsyncClient) -> None:
    request = {"expression": "(2 * (x + 2) ** 2).mean()", "inputs": {"x": [0.8894, -0.1854, -1.1037]}}
    result = (await server.post(RUNS, json=request)).json()
    assert (result["kind"], result["status"]) == ("expression", "done")
    step = (await server.get(f"{result['links']['self']}/steps/0")).json()
    assert step["parameters"][0]["contribution"]["values"] == pytest.approx([3.8525, 2.4195, 1.1951], abs=5e-5)
    picture = (await server.get(f"{result['links']['self']}/passes/0/graph.svg")).text
    assert "3.8525" in picture


async def test_the_whole_notebook_reproduces_its_outputs_and_pictures(server: httpx.AsyncClient) -> None:
    document = msgspec.json.decode(NOTEBOOK.read_bytes())
    cells = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
    answer = await server.post(RUNS, content=NOTEBOOK.read_bytes(), headers={"Content-Type": "application/x-ipynb+json"})
    result = answer.json()
    assert (result["status"], result["kind"]) == ("done", "notebook")
    assert len(result["cells"]) == len(cells)
    random = {1, 2, 4, 5}  # cells that use torch.randn
    for index, (cell, recorded) in enumerate(zip(cells, result["cells"], strict=True)):
        shown = ["".join(output["data"]["text/plain"]) for output in cell["outputs"] if "data" in output]
        assert (recorded["output"] is not None) == bool(shown)
        if shown and index not in random:
            assert recorded["output"] == shown[0]
        elif shown:
            assert re.sub(r"[-\d. ]", "", recorded["output"]) == re.sub(r"[-\d. ]", "", shown[0])
    text = result["program"].split("\n")
    drawn = {text[line["line"] - 1]: line["graph"] for line in result["lines"] if line["graph"]}
    assert {"y", "4 * y / 3", "m"} <= set(drawn)
    for graph in drawn.values():
        picture = await server.get(f"{result['links']['self']}/graphs/{graph}/graph.svg")
        assert picture.text.startswith("<svg")


async def test_a_raw_program_returns_a_picture_if_svg_is_accepted(server: httpx.AsyncClient) -> None:
    answer = await server.post(RUNS, content=LAST, headers={"Content-Type": "text/x-python", "Accept": "image/svg+xml"})
    assert answer.headers["content-type"] == "image/svg+xml"
    assert f"{MINUS}9.3333" in answer.text


async def test_the_same_seed_gives_the_same_numbers(server: httpx.AsyncClient) -> None:
    program = "import torch\nx = torch.randn(3, requires_grad=True)\nx.sum().backward()\nx"
    one, two, other = [await run(server, program, seed=seed) for seed in (1, 1, 2)]
    assert one["lines"] == two["lines"]
    assert one["lines"] != other["lines"]


HARMLESS = "import torch\nx = torch.ones(2, requires_grad=True)\n(x * 3).sum().backward()\nx.grad"

BAD: list[tuple[str, str, set[str], str]] = [
    ("a syntax error", "x = 1\ny = (2 +\n", {"failed"}, "SyntaxError"),
    ("loops for ever", "while True:\n    pass", {"timed_out"}, "timed_out"),
    ("allocates 100 GB", "import torch\nx = torch.ones(25_000_000_000)", {"out_of_memory"}, "."),
    ("exits", "import sys\nsys.exit(3)", {"failed", "done", "killed"}, "SystemExit|killed|."),
    ("exits at once", "import os\nos._exit(3)", {"killed"}, "killed"),
    (
        "kills itself",
        "import os\nos.kill(os.getpid(), 9)",
        {"killed", "failed"},
        "killed|PermissionError|OSError",
    ),
    ("recurses without end", "def f():\n    return f()\nf()", {"failed"}, "RecursionError"),
]


@pytest.mark.parametrize(
    ("program", "statuses", "kind"),
    [pytest.param(*each, id=name, marks=[pytest.mark.slow] * (each[1] == {"timed_out"})) for name, *each in BAD],
)
async def test_a_program_that(server: httpx.AsyncClient, program: str, statuses: set[str], kind: str) -> None:
    result = await run(server, program)
    assert result["status"] in statuses, result
    if result["status"] != "done":
        assert result["error"] is not None
        assert re.search(kind, result["error"]["type"])
        assert result["error"]["message"]
    after = await run(server, HARMLESS)
    assert (after["status"], after["lines"][-1]["tensor"]["values"]) == ("done", [3.0, 3.0])
    assert (await server.get("/readyz")).status_code == 200


async def test_a_syntax_error_has_its_line_and_columns(server: httpx.AsyncClient) -> None:
    result = await run(server, "x = 1\ny = 2 = = 3\n")
    assert (result["status"], result["error"]["type"], result["error"]["line"]) == ("failed", "SyntaxError", 2)
    start, end = result["error"]["columns"]
    assert 0 <= start < end


async def test_output_above_the_limit_is_truncated(server: httpx.AsyncClient) -> None:
    result = await run(server, "print('begin')\nfor _ in range(1000):\n    print('x' * 1023)")
    assert result["status"] == "done"
    assert result["truncated"]
    assert result["stdout"].startswith("begin\nx")
    assert len(result["stdout"]) <= Limits().stdout_bytes


async def test_a_cancelled_run_keeps_its_recording(server: httpx.AsyncClient) -> None:
    program = """\
import torch, time
m = torch.tensor(1.0, requires_grad=True)
while True:
    (m * 2 - 1).square().backward()
    with torch.no_grad():
        m -= 0.01 * m.grad
        m.grad = None
    time.sleep(0.005)
"""
    answer = await server.post(RUNS, json={"program": program}, headers={"Prefer": "wait=0"})
    assert answer.status_code == 202
    address = answer.headers["location"]
    while not (await server.get(address)).json()["steps"]:
        await anyio.sleep(0.01)
    stopped = (await server.post(f"{address}/cancel")).json()
    assert stopped["status"] == "cancelled"
    assert stopped["steps"] >= 1
    assert (await server.get(f"{address}/steps/0")).status_code == 200

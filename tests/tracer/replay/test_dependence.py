"""Tests of the replay that finds which samples reach which: each answer is compared with the zeros of torch's own Jacobian."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tapedeck import wire
from tapedeck.replays.dependence import DataDependence, dependences
from tapedeck.replays.request import ReplayRequest

from ..run_twice import record, replay

SETUP = """\
import torch
from torch import nn
torch.manual_seed(1)
x = torch.randn(6, 5, 4)
"""

PROGRAMS = {
    "layers": ("out = nn.Sequential(nn.Flatten(), nn.Linear(20, 7), nn.Tanh(), nn.Linear(7, 3))(x)", 0, "apart", None),
    "in place": ("h = nn.Linear(4, 3)(x)\nh += 1\nout = h.mul_(2).sum(1)", 0, "apart", None),
    "a convolution": ("out = nn.Conv1d(5, 2, 3)(x)", 0, "apart", None),
    "batch norm": ("out = nn.Linear(20, 3)(nn.BatchNorm1d(20)(x.flatten(1)))", 0, "mixed", "NativeBatchNormBackward0"),
    "batch norm in evaluation": ("out = nn.Linear(20, 3)(nn.BatchNorm1d(20).eval()(x.flatten(1)))", 0, "apart", None),
    "a view": ("h = nn.Linear(4, 3)(x)\nout = h.view(5, 6, 3)", 1, "mixed", "ViewBackward0"),
    "a transpose": ("h = nn.Linear(4, 3)(x)\nout = h.transpose(0, 1).contiguous()", 1, "apart", None),
    "rows together": ("out = nn.Linear(4, 3)(x.flatten(0, 1)).view(6, 5, 3)", 0, "apart", None),
    "a view of the data": ("out = nn.Linear(4, 3)(x.view(5, 6, 4))", 1, "mixed", None),
    "an LSTM over samples": ("out = nn.LSTM(4, 3)(x)[0]\nout = out.clone()", 0, "later", "MkldnnRnnLayerBackward0"),
    "an LSTM over steps": ("out = nn.LSTM(4, 3, batch_first=True)(x)[0]\nout = out.clone()", 0, "apart", None),
    "a GRU over samples": ("out = nn.GRU(4, 3)(x)[0]\nout = out.clone()", 0, "later", None),
    "attention over samples": ("out = nn.TransformerEncoderLayer(4, 2, 8, 0.0)(x)", 0, "mixed", None),
    "attention over steps": ("out = nn.TransformerEncoderLayer(4, 2, 8, 0.0, batch_first=True)(x)", 0, "apart", None),
    "reversed": ("out = nn.Linear(4, 3)(x).flip(0)", 0, "moved", None),
    "a sum over the batch": ("h = nn.Linear(4, 3)(x)\nout = h - h.mean(0)", 0, "mixed", "SubBackward0"),
    "not used": ("w = torch.ones(6, 2, requires_grad=True)\nout = w + w * x[:, 0, :2] * 0", 0, "none", None),
}  # fmt: skip


def asked(program: str, dimension: int = 0) -> tuple[wire.Dependence | wire.Refused, list[DataDependence], Any]:
    """Return the answer of the replay for the node of `out`, the data in the result, and the graph."""
    recording = record(program)[1]
    graph = recording.numbers(0).graph
    node = next(at for at, each in enumerate(graph.nodes) if each.name == "out")
    events = replay(program, what="dependence", step=0, index=0, node=node, dimension=dimension)
    answer = next(event for event in events if isinstance(event, wire.Dependence | wire.Refused))
    if isinstance(answer, wire.Refused):
        return answer, [], graph
    found = dependences(ReplayRequest("dependence", 0, 0, node=node, dimension=dimension), recording, answer)
    assert found is not None
    return answer, found["data"], graph


def jacobian_of(code: str, along: int, row_dimension: int) -> np.ndarray[Any, Any]:
    """Return which rows of the data have a derivative in which rows of the result, by torch alone."""
    names: dict[str, Any] = {}
    exec(SETUP, names)
    state = torch.get_rng_state()

    def out(x: torch.Tensor) -> torch.Tensor:
        torch.set_rng_state(state)
        scope = {**names, "x": x}
        exec(code, scope)
        return scope["out"]  # type: ignore[no-any-return]

    result = out(names["x"])
    jacobian: Any = torch.autograd.functional.jacobian(out, names["x"])  # type: ignore[no-untyped-call]
    jacobian = jacobian.movedim(along, 0).flatten(1, result.ndim - 1).movedim(2 + row_dimension, 1).flatten(2)
    return (jacobian != 0).any(2).t().numpy()  # type: ignore[no-any-return]


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("name", PROGRAMS)
def test_rows_reach_the_rows_in_which_torch_s_jacobian_is_not_zero(name: str) -> None:
    code, along, pattern, mixed = PROGRAMS[name]
    answer, data, graph = asked(f"{SETUP}{code}\nout.square().sum().backward()\n", along)
    assert isinstance(answer, wire.Dependence), answer
    row, found = next((row, each) for row, each in zip(answer.data, data, strict=True) if each.name == "x")
    reached = np.frombuffer(row.reached, np.uint8).reshape(answer.length, answer.length) != 0
    assert np.frombuffer(row.rows, "<i4").tolist() == list(range(answer.length))
    assert (reached == jacobian_of(code, along, row.dimension)).all()
    assert (found.pattern, found.shape) == (pattern, [6, 5, 4])
    op = next((each.op for each in graph.nodes if each.id == found.mixed_at), None)
    assert mixed is None or op == mixed
    if pattern in ("apart", "moved", "none"):
        assert found.mixed_at is None
    if name == "a view of the data":
        assert found.sentence.endswith("The view of the data that the graph reads already mixes them.")


def test_the_indices_of_an_embedding_count_as_data() -> None:
    program = """\
import torch
from torch import nn
words = torch.tensor([[1, 2], [3, 1], [0, 2]])
h = nn.Embedding(4, 3)(words)
out = h.mean(1) + h.mean() * 0.0
out.sum().backward()
"""
    answer, data, _ = asked(program)
    assert isinstance(answer, wire.Dependence)
    assert [(each.name, each.shape, each.dimension, each.pattern) for each in data] == [("words", [3, 2], 0, "apart")]


def test_random_numbers_are_the_recorded_ones_and_the_program_s_are_not_changed() -> None:
    program = (
        f"{SETUP}out = nn.functional.dropout(nn.Linear(4, 3)(x), 0.5)\nout.sum().backward()\nprint(torch.rand(()).item())\n"
    )
    answer, data, _ = asked(program)
    assert data[0].pattern == "apart", answer
    names: dict[str, Any] = {"print": lambda number: names.setdefault("drawn", number)}
    exec(program, names)
    out = [
        event for event in replay(program, what="dependence", step=0, index=0, node=1) if isinstance(event, wire.OutputEvent)
    ]
    assert "".join(event.text for event in out) in ("", f"{names['drawn']}\n")


def test_of_many_rows_some_are_replaced_spread_evenly() -> None:
    program = (
        "import torch\nx = torch.randn(100, 2)\nw = torch.ones(2, requires_grad=True)\nout = x @ w\nout.sum().backward()\n"
    )
    answer, data, _ = asked(program)
    assert isinstance(answer, wire.Dependence)
    rows = [each.row for each in data[0].rows]
    assert (answer.length, len(rows), rows[0], rows[-1], data[0].pattern) == (100, wire.PROBES, 0, 99, "apart")
    assert [(each.reaches, each.count) for each in data[0].rows] == [([row], 1) for row in rows]


@pytest.mark.parametrize(
    ("code", "dimension", "reason"),
    [
        ("out = nn.Linear(4, 3)(x)", 3, "its shape is [6, 5, 3], so it has no dimension 3"),
        ("out = nn.Linear(4, 3)(x)[:1]", 0, "it has 1 rows along dimension 0"),
        ("out = nn.Linear(4, 3)(x[:1, :1]).expand(1025, 1, 3)", 0, "it has 1,025 rows"),
    ],
)
def test_a_value_without_rows_to_compare_is_refused_with_a_reason(code: str, dimension: int, reason: str) -> None:
    answer, _, _ = asked(f"{SETUP}{code}\nout.sum().backward()\n", dimension)
    assert isinstance(answer, wire.Refused)
    assert reason in answer.reason


def test_rows_that_are_all_equal_are_replaced_by_other_numbers() -> None:
    program = "import torch\nx = torch.ones(3, 2)\nw = torch.ones(2, requires_grad=True)\nout = x @ w\nout.sum().backward()\n"
    assert asked(program)[1][0].pattern == "apart"

"""Tests of the rows of a model's modules. Norms are compared with those that torch computes without Tapedeck."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import msgspec
import pytest
import torch
from tapedeck import model
from tapedeck.errors import InvalidInput, NotFound
from tapedeck.map import models
from tapedeck.map.models import read_models
from tapedeck.map.trend import band
from tapedeck.recording import Recording

from ..tracer.run_twice import record
from .recorded_trees import PROGRAMS, START, TRANSFORMER

STEPS = """
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
before = [{name: p.detach().clone() for name, p in model.named_parameters()}]
gradients = []
for step in range(2):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(tokens).view(-1, 5), tokens.view(-1)).backward()
    gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
    optimizer.step()
    before.append({name: p.detach().clone() for name, p in model.named_parameters()})
"""
TRAINED = TRANSFORMER.replace("loss.backward()\n", "") + STEPS
VANISHING = """class Sine(nn.Module):
    def forward(self, x):
        return x.sin()

model = nn.Sequential()
for n in range(12):
    model.append(nn.Sequential(nn.Linear(3, 3), Sine()))
with torch.no_grad():
    for p in model.parameters():
        p.mul_(SCALE)
loss = model(x).sum()
loss.backward()
"""


@cache
def recording_of(program: str) -> Recording:
    return record(START + program)[1]


def run_by_torch(program: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(START + program, names)
    return names


def total(tensors: list[torch.Tensor]) -> float:
    return math.sqrt(sum(float(each.double().norm()) ** 2 for each in tensors))


def inside(tensors: dict[str, torch.Tensor], path: str) -> list[torch.Tensor]:
    return [each for name, each in tensors.items() if f"model.{name}".startswith(f"{path}.")]


@pytest.mark.parametrize("step", [0, 1])
def test_norms_of_modules_equal_those_of_torch(step: int) -> None:
    names = run_by_torch(TRAINED)
    found = read_models(recording_of(TRAINED), step)
    assert (found.step, found.graph, found.outside, found.omitted) == (step, "g0", [], 0)
    rows = {row.path: row for row in found.rows}
    assert {"model", "model.embed", "model.h.0", "model.h.13.mlp.2"} <= rows.keys()
    assert "model.head" not in rows  # the only parameter of the head is that of the embedding
    for path, row in rows.items():
        gradients = inside(names["gradients"][step], path)
        values, after = inside(names["before"][step], path), inside(names["before"][step + 1], path)
        updates = [new - old for new, old in zip(after, values, strict=True)]
        assert row.gradient == pytest.approx(total(gradients), rel=1e-5)
        assert row.value == pytest.approx(total(values), rel=1e-5)
        assert row.update == pytest.approx(total(updates), rel=1e-4)
        assert row.ratio == pytest.approx(total(updates) / total(values), rel=1e-4)
        assert (row.parameters, row.tensors) == (sum(each.numel() for each in values), len(values))
        norms = [float(each.norm()) for each in gradients]
        assert row.spread == [pytest.approx(min(norms), rel=1e-5, abs=1e-9), pytest.approx(max(norms))]


def test_the_gradient_at_the_outputs_of_a_module_equals_that_of_torch() -> None:
    names: dict[str, Any] = {}
    arrived: dict[str, float] = {}

    def keep(path: str) -> Any:
        def hook(_module: Any, _inputs: Any, output: torch.Tensor) -> None:
            output.register_hook(lambda grad: arrived.update({path: float(grad.norm())}))

        return hook

    program = TRANSFORMER.replace("loss =", "register(model)\nloss =")
    names["register"] = lambda net: [
        each.register_forward_hook(keep(f"model.{path}")) for path, each in net.named_modules() if path.count(".") > 1
    ]
    exec(START + program, names)
    rows = {row.path: row for row in read_models(recording_of(TRANSFORMER)).rows}
    linear = [path for path in arrived if path in rows and "ln" not in path]
    assert len(linear) == 14 * 4
    for path in linear:
        assert rows[path].arrives == pytest.approx(arrived[path], rel=1e-5), path


def test_rows_are_in_the_order_of_the_map_and_name_their_parents() -> None:
    found = read_models(recording_of(TRANSFORMER))
    assert [row.path for row in found.rows if row.parent == 0] == [*(f"model.h.{n}" for n in range(13, -1, -1)), "model.embed"]
    for row in found.rows[1:]:
        assert row.parent is not None
        assert row.path == f"{found.rows[row.parent].path}.{row.name}"
    own = [each for row in found.rows for each in row.own]
    assert len(own) == len({each.id for each in own}) == found.rows[0].tensors


@pytest.mark.parametrize(("scale", "expected", "sign"), [(0.1, "vanishing", "÷"), (1.7, "even", ""), (9.0, "exploding", "×")])
def test_the_trend_is_fitted_to_what_torch_computes(scale: float, expected: str, sign: str) -> None:
    program = VANISHING.replace("SCALE", str(scale))
    net = run_by_torch(program)["model"]
    norms = [total([each.grad for each in block.parameters()]) for block in net][::-1]
    trend = read_models(recording_of(program)).trend
    assert trend is not None
    assert trend.factor is not None
    steps = [math.log(norm) for norm in norms]
    middle = (len(steps) - 1) / 2
    slope = sum((index - middle) * step for index, step in enumerate(steps)) / sum((n - middle) ** 2 for n in range(len(steps)))
    assert trend.factor == pytest.approx(math.exp(slope), rel=1e-4)
    assert (trend.band, trend.unit) == (expected, "block")
    shown = 1 / trend.factor if trend.factor < 1 else trend.factor
    assert trend.headline == f"{sign or trend.headline[0]} {shown:.3g} per block"
    assert trend.sentence.startswith(f"{expected.capitalize()}. From model.11 to model.0, the gradient")


def test_rows_far_below_the_reference_vanish() -> None:
    found = read_models(recording_of(VANISHING.replace("SCALE", "0.1")))
    assert found.reference is not None
    reference = found.rows[found.reference]
    assert (reference.path, reference.relative, reference.band) == ("model.11", 1.0, "even")
    last = next(row for row in found.rows if row.path == "model.0")
    assert last.band == "vanishing"
    assert last.relative == pytest.approx(float(last.gradient or 0) / float(reference.gradient or 1))
    assert [band(each) for each in (1e-3, 0.9e3, 1e3, math.inf)] == ["vanishing", "even", "exploding", "exploding"]


def test_gradients_that_are_zero_or_not_finite_are_named() -> None:
    zero = read_models(recording_of(VANISHING.replace("SCALE", "0.0"))).trend
    assert zero is not None
    assert (zero.headline, zero.band) == ("no gradient", "vanishing")
    assert "is 0, and that of" in zero.sentence
    broken = read_models(recording_of(VANISHING.replace("SCALE", "float('inf')"))).trend
    assert broken is not None
    assert broken.band == "exploding"
    assert "is not finite" in broken.sentence


def test_parameters_outside_of_modules_and_modules_called_twice() -> None:
    program = "m = nn.Linear(3, 3)\nw = torch.ones(3, requires_grad=True)\n(m(m(x)) * w).sum().backward()\n"
    found = read_models(recording_of(program))
    assert [(row.path, row.calls, row.nodes) for row in found.rows] == [("m", 2, 2)]
    assert {each.name for each in found.outside} == {"x", "w"}
    assert found.trend is None
    names = run_by_torch(program)
    assert found.rows[0].gradient == pytest.approx(total([each.grad for each in names["m"].parameters()]))


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_parameter_is_listed_exactly_once(name: str) -> None:
    recording = recording_of(PROGRAMS[name])
    found = read_models(recording)
    placed = [each.node for row in found.rows for each in row.own] + [each.node for each in found.outside]
    graph = recording.graph(int(found.graph[1:]))
    assert sorted(placed) == sorted(node.id for node in graph.nodes if node.kind == "leaf" and node.parameter is not None)


def test_modules_in_a_list_of_the_program_are_rows() -> None:
    program = "layers = [nn.Linear(3, 3) for _ in range(4)]\nfor layer in layers:\n    x = layer(x)\nx.sum().backward()\n"
    found = read_models(recording_of(program))
    assert [row.path for row in found.rows] == [f"layers[{n}]" for n in (3, 2, 1, 0)]
    assert found.trend is not None
    assert (found.trend.unit, found.trend.rows) == ("layer", [0, 1, 2, 3])


def test_rows_that_do_not_fit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "MOST_ROWS", 4)
    found = read_models(recording_of(TRANSFORMER))
    assert (len(found.rows), found.omitted > 50) == (4, True)
    assert all(row.parent is None or row.parent < 4 for row in found.rows)


def test_only_the_insides_of_open_modules_are_returned_if_they_are_named() -> None:
    recording = recording_of(PROGRAMS["transformer"])
    everything = {row.path: row for row in read_models(recording).rows}
    closed = read_models(recording, opened=[""])
    paths = [row.path for row in closed.rows]
    assert paths == [path for path in everything if path.count(".") <= (2 if ".h." in path else 1)]
    assert [row.path for row in closed.rows if row.own] == [], "parameters are sent once their module is open"
    assert closed.trend
    assert [closed.rows[row].path for row in closed.trend.rows] == [f"model.h.{index}" for index in reversed(range(14))]
    opened = read_models(recording, opened=["model.h.3", "model.h.3.mlp", "model.gone"])
    assert {row.path for row in opened.rows} - set(paths) == {path for path in everything if path.startswith("model.h.3.")}
    for row in opened.rows:
        whole = everything[row.path]
        assert (row.gradient, row.relative, row.inner) == (whole.gradient, whole.relative, whole.inner)
        assert row.inner == bool(whole.own or any(path.startswith(f"{row.path}.") for path in everything))
        assert row.node is not None
    assert len(msgspec.json.encode(closed)) < len(msgspec.json.encode(read_models(recording))) / 2


def test_a_run_without_a_pass_is_not_found() -> None:
    with pytest.raises(NotFound, match="No backward pass"):
        read_models(recording_of("y = x.detach()\n"))
    with pytest.raises(NotFound):
        read_models(recording_of(TRANSFORMER), 9)
    with pytest.raises(InvalidInput, match="give one of them"):
        read_models(recording_of(TRANSFORMER), 0, 0)
    assert isinstance(read_models(recording_of(TRANSFORMER), pass_index=0), model.ModelRows)


def test_a_model_that_no_variable_leads_to_has_rows_named_after_its_class() -> None:
    net = "nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1))"
    recording = record(f"{START}loss = {net}(x).sum() + {net}(x).sum()\nloss.backward()\n")[1]
    rows = read_models(recording).rows
    assert [row.path for row in rows if row.parent is None] == ["Sequential()_2", "Sequential()"]
    assert [own.name for row in rows if row.path == "Sequential()_2.2" for own in row.own] == ["bias", "weight"]
    assert {row.calls for row in rows} == {1}


def test_names_of_models_that_are_gone_are_used_again() -> None:
    program = (
        "w = torch.ones(3, requires_grad=True)\noptimizer = torch.optim.SGD([w], 0.1)\nfor step in range(6):\n"
        "    loss = nn.Linear(3, 1)(nn.Linear(3, 3)(w)).sum()\n    optimizer.zero_grad()\n    loss.backward()\n"
        "    optimizer.step()\n    del loss\n"
    )
    recording = record(START + program)[1]
    paths = [{row.path for row in read_models(recording, step).rows} for step in range(6)]
    assert {len(each) for each in paths} == {2}
    assert len(set.union(*paths)) < 12

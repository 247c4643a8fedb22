"""Tests of the search over a whole graph. Hits are compared with numbers that torch computes without Tapedeck."""

from __future__ import annotations

import statistics
from functools import cache
from typing import Any

import pytest
import torch
from tapedeck import model
from tapedeck.errors import InvalidInput, NotFound
from tapedeck.map import text_index
from tapedeck.map.read import read_map
from tapedeck.map.search import search
from tapedeck.recording import Recording

from ..drawing.handmade import chain
from ..tracer.run_twice import record
from .recorded_trees import PROGRAMS, START, tree_of

DEEP = """model = nn.Sequential(*[nn.Sequential(nn.Linear(3, 3), nn.Tanh()) for _ in range(9)])
loss = model(x).sum()
loss.backward()
"""
STATES = """w = torch.tensor([1.0, -1.0], requires_grad=True)
dead = torch.tensor([1.0, 2.0], requires_grad=True)
idle = torch.tensor([1.0, 2.0], requires_grad=True)
loss = w.log().sum() + (dead * 0.0).sum() + (idle * 2.0).sum() + (w * float("inf")).sum()
grads = torch.autograd.grad(loss, [w, dead])
"""


@cache
def recording_of(program: str) -> Recording:
    return record(START + program)[1]


def names(found: model.GraphSearch) -> list[str | None]:
    return [hit.name for hit in found.hits]


def run_by_torch(program: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(START + program, names)
    return names


def test_parameters_above_a_limit_are_those_that_torch_finds() -> None:
    model = run_by_torch(DEEP)["model"]
    norms = {f"model.{name}": float(weight.grad.norm()) for name, weight in model.named_parameters()}
    limit = statistics.median(norms.values())
    recording = recording_of(DEEP)
    for query, expected in (
        (f"model grad > {limit}", {name for name, norm in norms.items() if norm > limit}),
        (f"weight grad<{limit}", {name for name, norm in norms.items() if norm < limit and "weight" in name}),
    ):
        hits = [hit for hit in search(recording, 0, query, pass_index=0).hits if hit.parameter is not None]
        assert {hit.name for hit in hits} == expected
        assert all(hit.norm == pytest.approx(norms[hit.name or ""]) for hit in hits)


def test_states_of_gradients_are_found() -> None:
    recording = recording_of(STATES)
    grads = dict(zip(("w", "dead"), run_by_torch(STATES)["grads"], strict=True))
    leaves = {
        "nan": {name for name, grad in grads.items() if torch.isnan(grad).any()},
        "inf": {name for name, grad in grads.items() if torch.isinf(grad).any()},
        "zero": {name for name, grad in grads.items() if not grad.any()},
        "unused": {"idle"},
    }
    assert (leaves["inf"], leaves["zero"]) == ({"w"}, {"dead"})
    for query, expected in leaves.items():
        hits = search(recording, 0, query, pass_index=0).hits
        assert {hit.name for hit in hits if hit.kind == "leaf"} == expected, query
    for query, expected in {
        "grad > 0": {"w"},
        "grad >= 0": {"w", "dead"},
        "grad = 0": {"dead"},
        "grad < inf": {"dead"},
    }.items():
        hits = search(recording, 0, query, pass_index=0).hits
        assert {hit.name for hit in hits if hit.kind == "leaf"} == expected, query
    nan = search(recording, 0, "nan", pass_index=0).hits
    assert {(hit.op, hit.matches[0].field) for hit in nan} >= {("LogBackward0", "value"), ("SumBackward0", "value")}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("h.7.qkv.weight", {("parameter", "model.h.7.qkv.weight")}),
        ("gelub", {("op", "GeluBackward0")}),
        ("h.3.ln", {("parameter", "model.h.3.ln.weight"), ("parameter", "model.h.3.ln.bias"), ("module", "model.h.3.ln")}),
        ("head", {("module", "model.head")}),
        ("zzz", set()),
    ],
)
def test_texts_are_found_in_every_field(query: str, expected: set[tuple[str, str]]) -> None:
    found = search(recording_of(PROGRAMS["transformer"]), 0, query)
    matches = {(match.field, match.text) for hit in found.hits for match in hit.matches}
    assert {match for match in matches if match[0] != "line"} == expected


def test_frequent_texts_are_found_like_rare_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = recording_of(PROGRAMS["transformer"])
    queries = ("e", "h.1", "backward0", "weight", "zzz")
    rare = [search(recording, 0, query) for query in queries]
    monkeypatch.setattr(text_index, "RARE", -1)
    assert [search(recording, 0, query) for query in queries] == rare
    assert [found.count > 0 for found in rare] == [True, True, True, True, False]


def test_lines_nodes_and_parameters_are_found_by_number() -> None:
    recording = recording_of(PROGRAMS["recurrent"])
    by_number = search(recording, 0, "line 10")
    graph = recording.graph(0)
    assert {hit.node for hit in by_number.hits} == {node.id for node in graph.nodes if node.line == 10}
    assert by_number.count == len(by_number.hits) > 40
    by_text = search(recording, 0, '"loss + h.sum()"')
    assert [hit.node for hit in by_text.hits] == [hit.node for hit in by_number.hits]
    assert [(hit.node, hit.matches[0].field) for hit in search(recording, 0, "n57").hits] == [("n57", "id")]
    assert [hit.parameter for hit in search(recording, 0, "p1").hits if hit.matches[0].field == "id"] == ["p1"]


def test_the_text_of_a_line_counts_only_where_no_node_has_the_text() -> None:
    recording = recording_of("y = (x * 2).softmax(0).sum()\nz = y.exp()\nz.backward()\n")
    assert [hit.op for hit in search(recording, 0, "softmax").hits] == ["SoftmaxBackward0"]
    line = ["SumBackward0", "SoftmaxBackward0", "MulBackward0"]
    for query in (".softmax(0)", "softmax(", "x * 2"):
        assert [hit.op for hit in search(recording, 0, f'"{query}"').hits if hit.kind == "op"] == line, query


def test_all_terms_must_match() -> None:
    recording = recording_of(PROGRAMS["transformer"])
    both = search(recording, 0, "h.3 addmm")
    assert both.count == 3
    assert all([match.field for match in hit.matches] == ["module", "op"] for hit in both.hits)
    assert search(recording, 0, "h.3 h.4").count == 0


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_hit_can_be_revealed_and_its_groups_are_then_open(name: str) -> None:
    recording = recording_of(PROGRAMS[name])
    found = search(recording, 0, "n" if name == "recurrent" else "backward")
    assert found.count == len(found.hits)
    for hit in [*found.hits[:5], *(hit for hit in found.hits[5:] if hit.kind == "leaf")][:8]:
        shown = read_map(recording, 0, None, None, hit.reveal)
        assert hit.reveal in [box.node for box in shown.boxes]
        assert set(hit.way) <= {frame.id for frame in shown.frames}


def test_hits_are_in_the_order_of_the_map() -> None:
    recording = recording_of(PROGRAMS["sequential"])
    hits = search(recording, 0, "backward0").hits
    shown = [f"n{node}" for node in reversed(tree_of("sequential").order.nodes)]
    assert [hit.node for hit in hits if hit.node in shown] == shown
    shown_by = [hit.reveal for hit in search(recording, 0, "m.").hits]
    assert shown_by == sorted(shown_by, key=[hit.node for hit in hits].index)


def test_all_hits_are_counted_and_the_first_are_returned() -> None:
    found = search(chain(3_000).recording(), 0, "backward", 10)
    assert (found.count, len(found.hits)) == (3_000, 10)


def test_a_condition_without_a_pass_names_the_remedy() -> None:
    recording = recording_of(DEEP)
    with pytest.raises(InvalidInput, match="add `pass=0` or `step=0`"):
        search(recording, 0, "nan")
    with pytest.raises(InvalidInput, match="give one of them"):
        search(recording, 0, "nan", pass_index=0, step=0)
    with pytest.raises(NotFound):
        search(recording, 0, "nan", step=7)
    with pytest.raises(NotFound):
        search(recording, 3, "x")


def test_the_pass_of_a_step_over_the_graph_is_chosen() -> None:
    program = (
        "w = torch.ones(1, requires_grad=True)\nfor n in range(3):\n    (w * (n + 1)).sum().backward()\n    w.data -= w.grad\n"
    )
    program += "    w.grad = None\n"
    recording = recording_of(program)
    by_step = [search(recording, 0, "w grad > 0", step=step) for step in range(3)]
    assert [found.pass_ for found in by_step] == [0, 1, 2]
    assert [next(hit.norm for hit in found.hits if hit.parameter) for found in by_step] == [1.0, 2.0, 3.0]


def test_a_transpose_that_the_map_does_not_show_is_no_hit_unless_its_id_is_searched() -> None:
    recording = recording_of(DEEP)
    hidden = [node.id for node in recording.graph(0).nodes if node.op == "TBackward0"]
    assert hidden
    for query in ("t", "back", "TBackward0", "grad >= 0"):
        assert not {hit.node for hit in search(recording, 0, query, pass_index=0).hits} & set(hidden), query
    assert [hit.node for hit in search(recording, 0, hidden[0]).hits][:1] == hidden[:1]

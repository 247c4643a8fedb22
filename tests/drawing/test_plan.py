"""The boxes and links of a layout plan, and the stubs of leaves with many uses."""

from __future__ import annotations

import pytest
from tapedeck import wire
from tapedeck.drawing import dot
from tapedeck.drawing.plan import BOXES, HUB, plan

from .handmade import Sketch, chain, seed, unrolled


def test_every_node_has_a_box_and_every_edge_a_link() -> None:
    graph = seed().graph(0)
    planned = plan(graph)
    assert [box.key for box in planned.boxes] == [f"n{at}" for at in range(7)]
    assert [(link.source, link.target) for link in planned.links] == [
        (f"n{edge.source[1:]}", f"n{edge.target[1:]}") for edge in graph.edges
    ]


def test_a_leaf_with_many_uses_has_one_card_and_a_stub_for_each_other_use() -> None:
    graph = unrolled(20).recording().graph(0)
    planned = plan(graph)
    leaf = next(at for at, node in enumerate(graph.nodes) if node.name == "W")
    shown = [box for box in planned.boxes if box.node == leaf]
    assert [box.role for box in shown].count("card") == 1
    assert [box.role for box in shown].count("stub") == 19
    assert len({box.edge for box in shown}) == 20
    ends = [link.target for link in planned.links]
    assert all(ends.count(box.key) == 1 for box in shown)


def test_the_card_of_a_leaf_with_many_uses_is_at_the_deepest_use() -> None:
    graph = unrolled(20).recording().graph(0)
    card = next(link for link in plan(graph).links if link.target == f"n{len(graph.nodes) - 2}")
    assert card.source == "n59"


@pytest.mark.parametrize("uses", [HUB, HUB + 1])
def test_a_leaf_with_few_uses_has_no_stubs(uses: int) -> None:
    sketch = Sketch()
    root = sketch.node("SumBackward0")
    parts = [sketch.node("MulBackward0") for _ in range(uses)]
    leaf = sketch.node("AccumulateGrad", kind=wire.LEAF, name="w")
    for part in parts:
        sketch.edge(root, part)
        sketch.edge(part, leaf)
    stubs = [box for box in plan(sketch.recording().graph(0)).boxes if box.role == "stub"]
    assert len(stubs) == (0 if uses <= HUB else uses - 1)


def test_an_operation_with_many_uses_has_no_stubs() -> None:
    sketch = Sketch()
    root, shared = sketch.node("StackBackward0"), sketch.node("ExpBackward0")
    for _ in range(10):
        sketch.edge(root, shared)
    assert not [box for box in plan(sketch.recording().graph(0)).boxes if box.role == "stub"]


def test_a_plan_above_the_limit_does_not_fit() -> None:
    assert plan(chain(BOXES - 1).recording().graph(0)).fits
    assert not plan(chain(BOXES).recording().graph(0)).fits


def test_without_numbers_cards_are_low_unless_they_have_a_value_and_labels_are_narrow() -> None:
    graph = seed().graph(0)
    low = plan(graph, numbers=False)
    assert max(box.height for box in low.boxes) < min(box.height for box in plan(graph).boxes)
    assert max(link.label for link in low.links) < min(link.label for link in plan(graph).links if link.label)
    first, *rest = plan(graph, numbers=False, values={0}).boxes
    assert low.boxes[0].height < first.height < plan(graph).boxes[0].height
    assert rest == low.boxes[1:]


def test_the_dot_to_lay_out_has_no_text_of_the_program() -> None:
    sketch = Sketch()
    hostile = '"]; node [label="x'
    root = sketch.node(hostile, name=hostile, module=hostile, call=hostile)
    sketch.edge(root, sketch.node("AccumulateGrad", kind=wire.LEAF, name=hostile), 1.0)
    plain = chain(1)
    written = dot.boxes(plan(sketch.recording(hostile).graph(0)))
    assert written == dot.boxes(plan(plain.recording().graph(0)))

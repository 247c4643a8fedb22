"""The text description of a pass."""

from __future__ import annotations

import pytest
from tapedeck import wire
from tapedeck.drawing import description as module
from tapedeck.drawing.description import describe
from tapedeck.drawing.sheet import Sheet
from tapedeck.recording import Recording

from .handmade import SEED, Sketch, seed


def description(recording: Recording) -> str:
    return describe(Sheet(recording.graph(0), recording.numbers(0), recording.program))


EXPECTED = """\
step 0, pass 0: backward() on line 8, from loss
loss = ((y_pred - y) ** 2).mean(): 4.6667
graph g0: 7 nodes, 6 edges

n0  loss = ((y_pred - y) ** 2).mean()  MeanBackward0  line 7
  value 4.6667  scalar float32
  grad 1.0000
  -> n1 (y_pred - y) ** 2: [0.3333, 0.3333, 0.3333]

n1  (y_pred - y) ** 2  PowBackward0  line 7
  value [1.0000, 4.0000, 9.0000]  [3] float32
  grad [0.3333, 0.3333, 0.3333]
  -> n2 y_pred - y: [-0.6667, -1.3333, -2.0000]

n2  y_pred - y  SubBackward0  line 7
  value [-1.0000, -2.0000, -3.0000]  [3] float32
  grad [-0.6667, -1.3333, -2.0000]
  -> n3 y_pred: [-0.6667, -1.3333, -2.0000]
  .. n5 y: needs no gradient

n3  y_pred = m * x  MulBackward0  line 6
  value [1.0000, 2.0000, 3.0000]  [3] float32
  grad [-0.6667, -1.3333, -2.0000]
  -> n4 m: -9.3333
  .. n6 x: needs no gradient

leaves
  n4  m  line 5
    value 1.0000  scalar float32
    m.grad -9.3333

constants
  n5  y  line 4
    value [2.0000, 4.0000, 6.0000]  [3] float32
  n6  x  line 3
    value [1.0000, 2.0000, 3.0000]  [3] float32
"""


def test_a_pass_is_described_from_the_loss_to_the_leaf() -> None:
    assert description(seed()) == EXPECTED


def test_nodes_are_listed_in_the_order_in_which_they_ran() -> None:
    sketch = Sketch()
    for at in range(3):
        sketch.node(f"Op{at}", value=1.0, grads=[1.0])
    recording = sketch.recording(order=[0, 2])
    lines = description(recording).splitlines()
    assert [line for line in lines if line.startswith("n")] == ["n0  Op0", "n2  Op2", "n1  Op1  (did not run in this pass)"]


def test_sums_and_hooks_are_described() -> None:
    sketch = Sketch()
    root = sketch.node("MulBackward0", value=4.0, grads=[1.0])
    leaf = sketch.node("AccumulateGrad", kind=wire.LEAF, name="a", value=2.0, grads=[4.0], used=[1.0])
    sketch.edge(root, leaf, 2.0)
    sketch.edge(root, leaf, 2.0)
    recording = sketch.recording()
    lines = description(recording).splitlines()
    assert "    a.grad 4.0000  (sum of 2)" in lines
    assert "    a.grad after hooks 1.0000" in lines
    assert lines.count("  -> n1 a: 2.0000") == 2


def test_a_node_that_raised_is_marked_differently_from_nodes_that_did_not_run() -> None:
    sketch = Sketch()
    root, at, behind = (sketch.node("MulBackward0", value=1.0, grads=[1.0]) for _ in range(3))
    sketch.edge(root, at, 1.0)
    sketch.edge(at, behind)
    recording = sketch.recording(order=[root], failed=at)
    lines = description(recording).splitlines()
    assert "n1  MulBackward0  (raised an error: the pass stopped here)" in lines
    assert "n2  MulBackward0  (did not run in this pass)" in lines


def test_outputs_are_listed_separately() -> None:
    sketch = Sketch()
    root = sketch.node("AddBackward0", value=1.0, grads=[1.0])
    split = sketch.node("UnbindBackward0", grads=[1.0, None])
    sketch.edge(root, split, 1.0, at=0)
    recording = sketch.recording()
    lines = description(recording).splitlines()
    assert "  -> n1 UnbindBackward0, output 0: 1.0000" in lines
    assert "  grad of output 1 none" in lines


def test_a_graph_without_a_pass_is_described_as_structure() -> None:
    text = describe(Sheet(seed().graph(0), program=SEED))
    assert text.startswith("graph g0 of loss: 7 nodes, 6 edges. No backward pass is shown, so there are no gradients.\n")
    assert "  -> n4 m\n" in text
    assert "grad " not in text.split("\n", 1)[1]


def test_the_description_of_ascii_names_is_ascii() -> None:
    assert description(seed()).isascii()


def test_the_nodes_that_ran_are_collected_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr(module, "set", lambda nodes: made.append(nodes) or set(nodes), raising=False)
    assert description(seed()) == EXPECTED
    assert len(made) == 1

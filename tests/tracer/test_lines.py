"""Every node has the line that made it, and every leaf a line or a name."""

from __future__ import annotations

from typing import Any

import pytest
from tapedeck import wire
from tapedeck.tracer import emitter

from .run_twice import record


def nodes_of(program: str, number: int = 0, **options: Any) -> dict[str, Any]:
    """Return the nodes of a pass's graph by their operation; of several with one operation, the last."""
    return {node.op: node for node in record(program, **options)[1].numbers(number).graph.nodes}


WRITTEN = {
    "the view is written to": "with torch.no_grad():\n    v.zero_()\n",
    "the base is written to": "with torch.no_grad():\n    u.zero_()\n",
    "the view is written to twice": "with torch.no_grad():\n    v.zero_(); v.add_(1)\n",
}


@pytest.mark.parametrize("interval", [0.04, -1], ids=["sent later", "sent after each statement"])
@pytest.mark.parametrize("write", WRITTEN.values(), ids=WRITTEN)
def test_the_node_of_a_view_that_was_written_to_has_the_line_that_uses_it_next(
    write: str, interval: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emitter, "INTERVAL", interval)
    program = (
        "import torch\nw = torch.ones(3, 3, requires_grad=True)\nu = w * 2\nv = u[0]\n"
        + write
        + "z = v\nk = 3\ny = v * 2\ny.sum().backward()\n"
    )
    nodes = nodes_of(program)
    assert nodes["AsStridedBackward0"].line == 9
    assert nodes["AsStridedBackward0"].name is None
    assert nodes["SumBackward0"].line == 10


LEAVES = {
    "a factory": ("a = torch.ones(2, requires_grad=True) * 2\na.sum().backward()\n", [2]),
    "requires_grad_": ("a = 1\nb = torch.rand(2).requires_grad_() * 2\nb.sum().backward()\n", [3]),
    "a parameter": ("(torch.nn.Parameter(torch.ones(2)) * 2).sum().backward()\n", [2]),
    "a module": ("x = torch.ones(2)\ny = torch.nn.Linear(\n    2, 1)(x)\ny.sum().backward()\n", [3, 3]),
    "a function": ("def make():\n    return torch.ones(2, requires_grad=True)\n(make() * 2).sum().backward()\n", [3]),
}


@pytest.mark.parametrize(("program", "lines"), LEAVES.values(), ids=LEAVES)
def test_a_leaf_without_a_name_has_the_line_that_made_it(program: str, lines: list[int]) -> None:
    _, recording = record("import torch\n" + program)
    leaves = [node for node in recording.numbers(0).graph.nodes if node.kind == "leaf"]
    assert [leaf.line for leaf in leaves] == lines
    assert not any(leaf.name for leaf in leaves if not (leaf.name or "").startswith("Linear()."))


MOVED = {
    "bound to another": "net = nn.Linear(2, 3)",
    "bound to nothing": "net = None",
    "deleted": "del net",
}


@pytest.mark.parametrize("change", MOVED.values(), ids=MOVED)
def test_the_leaves_of_a_module_keep_their_names_when_its_name_is_reassigned(change: str) -> None:
    program = (
        "import torch\nfrom torch import nn\nx = torch.ones(2)\nnet = nn.Sequential(nn.Linear(2, 1))\nfirst = net(x)\n"
        f"{change}\nfirst.sum().backward()\n"
    )
    leaves = [node for node in record(program)[1].numbers(0).graph.nodes if node.kind == "leaf"]
    assert {(leaf.name, leaf.line) for leaf in leaves} == {("net.0.bias", 4), ("net.0.weight", 4)}


def test_two_modules_of_a_function_that_had_one_name_in_turn_have_two_names() -> None:
    program = (
        "import torch\ndef build():\n    layer = torch.nn.Linear(2, 2)\n    first = layer\n    layer = torch.nn.Linear(2, 1)\n"
        "    return lambda x: layer(first(x))\nbuild()(torch.ones(1, 2)).sum().backward()\n"
    )
    leaves = [node for node in record(program)[1].numbers(0).graph.nodes if node.kind == "leaf"]
    assert {(leaf.name, leaf.line) for leaf in leaves} == {
        ("first.bias", 3), ("first.weight", 3), ("layer.bias", 5), ("layer.weight", 5),
    }  # fmt: skip


@pytest.mark.parametrize("module", ["LazyLinear(4)", "LazyConv1d(4, 2)", "LazyBatchNorm1d()"])
def test_a_lazy_parameter_has_no_value_until_its_module_has_seen_an_input(module: str) -> None:
    program = (
        f"import torch\nnet = torch.nn.{module}\nnet.weight\nbefore = net.weight\nnet(torch.rand(3, 5, 5)).sum().backward()\n"
        "after = net.weight\n"
    )
    events, recording = record(program)
    assert not [event for event in events if isinstance(event, wire.RecorderFailed)]
    lines = {line.line: line for line in recording.lines()}
    assert lines[4].text == "UninitializedParameter"
    assert lines[4].tensor is None
    assert lines[6].tensor is not None
    assert lines[6].tensor.shape[0] in (4, 5)


@pytest.mark.parametrize("separator", ["\f", "\v", "\x1c", "\x85", "\u2028", "\u2029"])
def test_characters_at_which_only_str_splits_end_no_line(separator: str) -> None:
    start = f"import torch\n# one{separator}two\ns = 'a{separator}b'\n"
    nodes = nodes_of(f"{start}w = torch.ones(2, requires_grad=True)\n(w * 2).sum().backward()\n")
    assert (nodes["MulBackward0"].line, nodes["MulBackward0"].columns) == (5, (1, 6))
    assert nodes["AccumulateGrad"].line == 4

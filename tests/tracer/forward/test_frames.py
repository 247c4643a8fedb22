"""Tests of the frames of nodes: in which call of a module, and in which turn of a loop, each was made."""

from __future__ import annotations

import pytest
from tapedeck import wire

from ..run_twice import record

START = "import torch\nfrom torch import nn\nx = torch.ones(2, 3, requires_grad=True)\n"


def frames(program: str, graph: int = 0) -> list[str]:
    """Return the operation and frame of each node of a graph, in the order in which the nodes were made.

    ``m`` is a module, ``L4`` a loop on line 4, and ``#0`` its first turn.
    """
    events, _ = record(START + program)
    assert not [event for event in events if isinstance(event, wire.RecorderFailed)]
    event = [event for event in events if isinstance(event, wire.GraphEvent)][graph]
    column = {name: wire.int32(getattr(event, name), name).tolist() for name in ("made", "frame", "op", "frame_parent")}
    labels = [
        event.strings[name] if kind == wire.MODULE else f"L{line}" if kind == wire.LOOP else f"#{turn}"
        for kind, name, line, turn in zip(
            event.frame_kind,
            *(wire.int32(getattr(event, name), name).tolist() for name in ("frame_name", "frame_line", "frame_turn")),
            strict=True,
        )
    ]

    def path(frame: int) -> str:
        parts = []
        while frame >= 0:
            parts.append(labels[frame])
            frame = column["frame_parent"][frame]
        return "/".join(reversed(parts))

    operations = sorted((made, index) for index, made in enumerate(column["made"]) if made >= 0)
    assert [made for made, _ in operations] == list(range(len(operations)))
    assert all((kind == wire.OP) == (made >= 0) for kind, made in zip(event.kind, column["made"], strict=True))
    names = [event.strings[index].removesuffix("Backward0") for index in column["op"]]
    return [f"{names[index]} {path(column['frame'][index])}".rstrip() for _, index in operations]


def test_nodes_are_in_the_calls_of_modules() -> None:
    program = "m = nn.Sequential(nn.Tanh(), nn.Sequential(nn.Tanh()))\n(m(x) * 2).sum().backward()\n"
    assert frames(program) == ["Tanh m/m.0", "Tanh m/m.1/m.1.0", "Mul", "Sum"]


def test_two_calls_of_one_module_are_two_frames() -> None:
    events, _ = record(START + "m = nn.Tanh()\n(m(x) + m(x * 2)).sum().backward()\n")
    graph = next(event for event in events if isinstance(event, wire.GraphEvent))
    assert len(graph.frame_kind) == 2


LISTED = """
class N(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Tanh()])
    def forward(self, x):
        return self.layers[0](x)
n = N()
n(x).sum().backward()
"""


def test_a_list_of_modules_is_no_frame() -> None:
    assert frames(LISTED) == ["Tanh n/n.layers.0", "Sum"]


def test_nodes_are_in_the_turns_of_loops() -> None:
    program = "h = x\nfor i in range(2):\n    h = h.sin()\n    for j in range(2):\n        h = h.cos()\nh.sum().backward()\n"
    assert frames(program) == ["Sin L5/#0", "Cos L5/#0/L7/#0", "Cos L5/#0/L7/#1", "Sin L5/#1", "Cos L5/#1/L7/#0",
                               "Cos L5/#1/L7/#1", "Sum"]  # fmt: skip


LOOPS = {
    "while": "while n < 2:\n    h = h.sin()\n    n += 1\n",
    "break": "for n in range(9):\n    h = h.sin()\n    if n == 1:\n        break\n",
    "else": "for n in range(2):\n    h = h.sin()\nelse:\n    n = 0\n",
    "exception": "try:\n    for n in range(9):\n        h = h.sin()\n        assert not n\nexcept AssertionError:\n    pass\n",
}


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
def test_a_loop_ends_however_it_is_left(loop: str) -> None:
    start = START + "n, h = 0, x\n"
    line = len(start.splitlines()) + 1 + loop.startswith("try")
    assert frames("n, h = 0, x\n" + loop + "h.cos().sum().backward()\n") == [f"Sin L{line}/#0", f"Sin L{line}/#1", "Cos", "Sum"]


@pytest.mark.parametrize("left", ["return h", "return", "raise OSError"])
def test_a_loop_ends_when_its_function_does(left: str) -> None:
    program = f"out = []\ndef f(h):\n    for n in range(9):\n        h = h.sin()\n        out.append(h)\n        {left}\n"
    program += "try:\n    f(x)\nexcept OSError:\n    pass\nout[0].cos().sum().backward()\n"
    assert frames(program) == ["Sin L6/#0", "Cos", "Sum"]


LEFT_IN_MODULE = """
class N(nn.Module):
    def forward(self, x):
        for _ in range(9):
            y = x.sin()
            break
        return y.tan()
n = N()
for i in range(2):
    x = n(x)
x.sum().backward()
"""


def test_a_loop_in_a_module_ends_with_its_call() -> None:
    turns = [[f"Sin L12/#{turn}/n/L7/#0", f"Tan L12/#{turn}/n"] for turn in range(2)]
    assert frames(LEFT_IN_MODULE) == [*turns[0], *turns[1], "Sum"]


GENERATOR = """
def rows():
    for i in range(2):
        yield x[i].sin()
total = 0
for row in rows():
    total = total + row.cos()
total.sum().backward()
"""


def test_a_loop_over_a_generator_contains_only_the_nodes_of_its_own_body() -> None:
    made = [line for line in frames(GENERATOR) if line.startswith(("Cos", "Sum"))]
    assert made == ["Cos L9/#0", "Cos L9/#1", "Sum"]


RECURSION = """
def f(h, depth):
    for i in range(1):
        h = f(h, depth - 1) if depth else h.sin()
    return h
f(x, {}).sum().backward()
"""


def test_a_function_that_calls_itself_has_loops_inside_each_other() -> None:
    assert frames(RECURSION.format(2)) == ["Sin L6/#0/L6/#0/L6/#0", "Sum"]


def test_a_deep_recursion_has_frames_up_to_a_depth() -> None:
    assert frames(RECURSION.format(90))[0].count("L6") == 32


def test_a_program_without_modules_and_loops_has_no_frames() -> None:
    events, _ = record(START + "x.sum().backward()\n")
    graph = next(event for event in events if isinstance(event, wire.GraphEvent))
    assert graph.frame_kind == b""
    assert wire.int32(graph.frame, "frame").tolist() == [-1, -1]


@pytest.mark.parametrize("unused", [1, 100], ids=["few", "many"])
def test_nodes_between_many_turns_of_other_nodes_keep_their_turns(unused: int) -> None:
    turn = f"    z = x + i\n    if i == {unused}:\n        y = y.tanh()\n"
    program = f"y = x * 2\nfor i in range({2 * unused}):\n{turn}y.sum().backward()\n"
    assert frames(program) == ["Mul", f"Tanh L5/#{unused}", "Sum"]

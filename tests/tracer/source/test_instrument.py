"""Tests of the relation between a recording and the program's text: lines, columns, names and targets."""

from __future__ import annotations

import pytest
from tapedeck.tracer.source.instrument import ProgramSource

from ..run_twice import record


def test_columns_of_an_expression_are_counted_in_characters() -> None:
    program = "import torch\nα = torch.ones(2, requires_grad=True)\nβ = 'é'; γ = (α * 2 + 1).sum()\nγ.backward()\n"
    _, recording = record(program)
    text = program.splitlines()[2]
    found = {node.op: text[slice(*node.columns)] for node in recording.graph(0).nodes if node.columns}
    assert found == {"SumBackward0": "(α * 2 + 1).sum()", "AddBackward0": "α * 2 + 1", "MulBackward0": "α * 2"}


def test_an_expression_over_several_lines_is_marked_to_the_end_of_its_first() -> None:
    program = "import torch\nw = torch.ones(2, requires_grad=True)\nz = (w *\n     w).sum()\nz.backward()\n"
    _, recording = record(program)
    node = next(node for node in recording.graph(0).nodes if node.op == "MulBackward0")
    assert (node.line, node.columns) == (3, (5, 8))


def test_nodes_are_named_by_the_variables_of_the_program() -> None:
    program = (
        "import torch\nfrom torch import nn\nmodel = nn.Sequential(nn.Linear(2, 2), nn.ReLU())\n"
        "params = [torch.ones(2, requires_grad=True)]\n"
        "data = {'x': torch.ones(2)}\ndef forward(v):\n    h = model(v)\n    return h * params[0]\n"
        "out = forward(data['x']).sum()\nout.backward()\n"
    )
    _, recording = record(program)
    names = {node.name for node in recording.graph(0).nodes}
    assert {"model.0.weight", "model.0.bias", "params[0]", "data['x']", "out", "h"} <= names
    modules = {node.op: node.module for node in recording.graph(0).nodes}
    assert modules["AddmmBackward0"] == "model.0"
    assert modules["ReluBackward0"] == "model.1"
    assert modules["SumBackward0"] == ""


def test_the_loops_and_gradient_modes_around_a_line_are_found() -> None:
    text = "import torch\nfor i in range(2):\n    while True:\n        break\n    with torch.no_grad():\n        x = 1\n"
    source = ProgramSource(text, [(1, 6)])
    source.compile(0)
    assert [source.context_at(line).loops for line in (1, 4, 6)] == [(), (1, 0), (0,)]
    assert source.context_at(6).heads == (5,)
    assert source.context_at(4).heads == ()


def test_tensors_of_a_module_are_named_by_the_path_to_them() -> None:
    program = (
        "import torch\nclass Net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.w = torch.ones(2, requires_grad=True)\n        self.parts = [torch.ones(2, requires_grad=True)]\n"
        "        self.layers = [torch.nn.Linear(2, 2)]\n"
        "net = Net()\n(net.layers[0](net.w) * net.parts[0]).sum().backward()\n"
    )
    names = {name for parameter in record(program)[1].parameters() for name in parameter.names}
    assert names == {"net.w", "net.parts[0]", "net.layers[0].weight", "net.layers[0].bias"}


@pytest.mark.parametrize(
    ("statement", "targets"),
    [
        ("w = 1", []),
        ("w, b = 1, 2", []),
        ("self.w = 1", ["self.w"]),
        ("self.w: int = 1", ["self.w"]),
        ("self.layers[0].w = 1", ["self.layers[0].w"]),
        ("params[-1] = params['w'] = params[i] = 1", ["params[-1]", "params['w']", "params[i]"]),
        ("w, self.w, params[0] = 1, 2, 3", [None, "self.w", "params[0]"]),
        ("w = self.w = 1", [None, "self.w"]),
        ("net().w = params[i + 1] = params[0:1] = params[self.i] = params[0, 1] = params[1.5] = 1", []),
        ("self.w += 1", []),
    ],
)
def test_the_attributes_and_items_that_a_statement_assigns_to_are_parsed(statement: str, targets: list[str | None]) -> None:
    source = ProgramSource(statement, [(1, 1)])
    source.compile(0)
    assert [str(target) if target else None for found in source.statements for target in found.targets] == targets


def test_a_marked_program_behaves_like_the_original() -> None:
    program = '''"""A docstring."""
from __future__ import annotations
import dataclasses, asyncio, inspect

@dataclasses.dataclass
class Point:
    """A point."""
    x: int = 1
    __hidden = 5
    def shifted(self, by: int) -> int:
        self.x += by
        return self.x

def generator():
    got = yield 1
    print("got", got)

async def later():
    value = await asyncio.sleep(0, 7)
    return value

g = generator(); next(g)
try:
    g.send("sent")
except StopIteration:
    pass
first, *rest = [1, 2, 3]
(a := 5)
x = y = [1]
x[0] += 1
for i, (j, k) in enumerate([(1, 2)]):
    total = i + j + k
else:
    total += 1
print(__doc__, Point().shifted(2), Point.__doc__, asyncio.run(later()), first, rest, a, x is y, x, total)
print([name for name in globals() if "tapedeck" in name])
print(inspect.getsource(generator))
'''
    _, recording = record(program)
    assert recording.stdout() == (
        "got sent\nA docstring. 3 A point. 7 1 [2, 3] 5 True [2] 4\n[]\n"
        'def generator():\n    got = yield 1\n    print("got", got)\n\n'
    )


def test_a_constant_without_a_name_is_named_by_its_source_text() -> None:
    program = (
        "import torch\nw = torch.ones(2, requires_grad=True)\ny = w * torch.tensor([1., 2.])\n"
        "z = (y - y.detach()).mul(torch.arange(2) + 1).sum()\nu = z.add(torch.ones(1) * 2)\nu.backward()\n"
    )
    _, recording = record(program)
    constants = {node.name: node.call for node in recording.graph(0).nodes if node.kind == "constant"}
    assert constants == {
        "torch.tensor([1., 2.])": None,
        "y.detach()": "torch.Tensor.detach",
        "torch.arange(2) + 1": None,
        "torch.ones(1) * 2": None,
    }

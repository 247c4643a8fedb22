"""Recorded graphs of several shapes, with their trees and the passes over them."""

from __future__ import annotations

from functools import cache

import msgspec
from msgspec.structs import replace
from tapedeck import model, wire
from tapedeck.map.columns import StructureColumns
from tapedeck.map.tree import Group, GroupTree
from tapedeck.recording.structure import read_graph

from ..tracer.run_twice import record

START = "import torch\nfrom torch import nn\ntorch.manual_seed(0)\nx = torch.ones(2, 3, requires_grad=True)\n"

TRANSFORMER = """
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln = nn.LayerNorm(4)
        self.qkv = nn.Linear(4, 12)
        self.mlp = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 4))
    def forward(self, x):
        q, k, v = self.qkv(self.ln(x)).chunk(3, -1)
        x = x + (q @ k.transpose(-1, -2)).softmax(-1) @ v
        return x + self.mlp(x)

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.h = nn.ModuleList([Block() for _ in range(14)])
        self.head = nn.Linear(4, 5, bias=False)
        self.head.weight = self.embed.weight
    def forward(self, tokens):
        x = self.embed(tokens)
        for block in self.h:
            x = block(x)
        return self.head(x)

model = Model()
tokens = torch.arange(5)[None]
loss = nn.functional.cross_entropy(model(tokens).view(-1, 5), tokens.view(-1))
loss.backward()
"""

RECURRENT = """cell = nn.LSTMCell(3, 4)
h = c = torch.zeros(2, 4)
loss = 0
for t in range(40):
    h, c = cell(x, (h, c))
    loss = loss + h.sum()
loss.backward()
"""

PROGRAMS = {
    "one operation": "x.sum().backward()\n",
    "transformer": TRANSFORMER,
    "recurrent": RECURRENT,
    "sequential": "m = nn.Sequential()\nfor n in range(9):\n    m.append(nn.Linear(3, 3)).append(nn.Tanh())\n"
    "m(x).sum().backward()\n",
    "straight lines": "y = x\n" + "".join(f"y = y * {1 + n / 1000} + 1\n" for n in range(120)) + "y.sum().backward()\n",
    "comprehension": "sum([(x * n).sin().sum() for n in range(60)]).backward()\n",
    "nested loops": "for a in range(4):\n    for b in range(5):\n        x = x.sin()\n    x = x.cos()\nx.sum().backward()\n",
    "one turn": "for a in range(1):\n    y = x.sin()\n    y.sum().backward()\n",
    "views written to": "y = x * 1\nv = y[0]\ny.mul_(2)\n(v * 3).sum().backward()\n",
    "module called twice": "m = nn.Tanh()\n(m(x) + m(x * 2)).sum().backward()\n",
    "several roots": "a, b = x.sin(), x.cos()\ntorch.autograd.backward([a, b], [x.detach(), x.detach()])\n",
    "independent turns": "r = []\nfor n in range(5):\n    r.append((x * n).sin().cos().sum())\nsum(r).backward()\n",
    "second derivative": "y = (x ** 3).sum()\ng, = torch.autograd.grad(y, x, create_graph=True)\n(g ** 2).sum().backward()\n",
    "wrapped": "m = nn.Sequential(nn.Sequential(nn.Sequential(nn.Linear(3, 3), nn.ReLU())))\nm(x).sum().backward()\n",
}


@cache
def recorded_graphs(name: str) -> tuple[list[wire.GraphEvent], list[wire.PassEvent]]:
    """Return the graphs and passes of one of :data:`PROGRAMS`."""
    events, _ = record(START + PROGRAMS[name])
    assert not [event for event in events if isinstance(event, wire.RecorderFailed)]
    graphs = [event for event in events if isinstance(event, wire.GraphEvent)]
    return graphs, [event for event in events if isinstance(event, wire.PassEvent)]


def tree_of(name: str, graph: int = -1) -> GroupTree:
    return GroupTree(StructureColumns(recorded_graphs(name)[0][graph]), dict(enumerate(recorded_graphs(name)[0])))


def as_shown(event: wire.GraphEvent) -> model.Graph:
    """Return a graph as a map shows it: edges to an operation that only transposes a parameter lead to the parameter."""
    graph = read_graph(event)
    nodes = {node.id: node for node in graph.nodes}
    given: dict[str, list[model.Edge]] = {}
    for edge in graph.edges:
        given.setdefault(edge.source, []).append(edge)
    through = {}
    for node, edges in given.items():
        leaf = nodes[edges[0].target]
        if nodes[node].op == "TBackward0" and nodes[node].name is None and leaf.kind == "leaf" and leaf.parameter is not None:
            through[node] = leaf.id
    edges = [replace(edge, target=through.get(edge.target, edge.target)) for edge in graph.edges]
    return replace(graph, edges=edges)


def without_frames(event: wire.GraphEvent, *, order: bool) -> wire.GraphEvent:
    """Return a graph as an older version recorded it, with or without the order in which nodes were made."""
    return msgspec.structs.replace(
        event, made=event.made if order else b"", frame=b"", frame_parent=b"", frame_kind=b"", frame_name=b"", frame_line=b"",
        frame_turn=b"",
    )  # fmt: skip


def all_groups(tree: GroupTree) -> list[Group]:
    """Return all groups of a tree, outer groups first."""
    groups = [tree.root]
    for group in groups:  # the list grows during the loop
        groups += tree.children(group)
    return groups

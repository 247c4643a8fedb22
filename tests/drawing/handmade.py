"""Build recordings by hand, without torch: a graph and the numbers of a pass over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tapedeck import wire
from tapedeck.recording import MemoryLog, Recording

SEED = """\
import torch

x = torch.tensor([1.0, 2.0, 3.0])
y = torch.tensor([2.0, 4.0, 6.0])
m = torch.tensor(1.0, requires_grad=True)
y_pred = m * x
loss = ((y_pred - y) ** 2).mean()
loss.backward()
"""


@dataclass
class Table:
    """Rows of tensors, packed as in an event."""

    dtype: bytes = b""
    flags: bytes = b""
    grad_fn: bytes = b""
    ndim: bytes = b""
    dims: bytes = b""
    stats: bytes = b""
    counts: bytes = b""
    values: bytes = b""
    rows: int = 0

    def add(self, value: Any, dtype: str = "float32", *, keep: bool = True) -> int:
        """Add a tensor and return its row, or -1 for ``None``."""
        if value is None:
            return -1
        array = np.asarray(value, np.dtype(wire.PACKED[dtype]))
        stats = array.size > 1
        self.dtype += bytes([wire.DTYPES.index(dtype)])
        self.flags += bytes([(wire.HAS_VALUES if keep else 0) | (wire.HAS_STATS if stats else 0)])
        self.grad_fn += b"\0\0"
        self.ndim += bytes([array.ndim])
        self.dims += np.array(array.shape, "<i8").tobytes()
        if stats:
            sizes = np.abs(array.astype(complex)) if np.iscomplexobj(array) else array.astype(float)
            with np.errstate(all="ignore"):
                four = [sizes.min(), sizes.max(), sizes.mean(), np.sqrt((np.abs(sizes) ** 2).sum())]
            self.stats += np.array(four, "<f8").tobytes()
            counts = [(array == 0).sum(), np.isnan(sizes).sum(), np.isinf(sizes).sum()]
            self.counts += np.array(counts, "<i8").tobytes()
        if keep:
            self.values += array.tobytes()
        self.rows += 1
        return self.rows - 1

    def pack(self) -> wire.TensorTable:
        return wire.TensorTable(
            self.dtype, self.flags, self.grad_fn, (), self.ndim, self.dims, self.stats, self.counts, self.values
        )


@dataclass
class Sketch:
    """A graph that is built node by node."""

    nodes: list[dict[str, Any]] = field(default_factory=list)
    edges: list[dict[str, Any]] = field(default_factory=list)
    table: Table = field(default_factory=Table)

    def node(
        self,
        op: str,
        *,
        kind: int = wire.OP,
        name: str | None = None,
        line: int = -1,
        columns: tuple[int, int] = (-1, -1),
        value: Any = None,
        grads: Sequence[Any] = (None,),
        used: Sequence[Any] | None = None,
        dtype: str = "float32",
        keep: bool = True,
        parameter: int = -1,
        module: str = "",
        call: str | None = None,
        file: str | None = None,
    ) -> int:
        arrived = [self.table.add(grad, dtype, keep=keep) for grad in grads]
        self.nodes.append(
            {
                "op": op, "kind": kind, "name": name, "line": line, "columns": columns, "parameter": parameter,
                "module": module, "call": call, "file": file, "value": self.table.add(value, dtype, keep=keep),
                "arrived": arrived,
                "used": arrived if used is None else [self.table.add(grad, dtype, keep=keep) for grad in used],
            }
        )  # fmt: skip
        return len(self.nodes) - 1

    def edge(
        self, source: int, target: int, gradient: Any = None, *, flows: bool = True, at: int = 0, dtype: str = "float32"
    ) -> int:
        slot = sum(edge["source"] == source for edge in self.edges)
        self.edges.append(
            {"source": source, "target": target, "slot": slot, "input": at, "flows": flows,
             "row": self.table.add(gradient, dtype)}
        )  # fmt: skip
        return len(self.edges) - 1

    def graph(self, index: int = 0, roots: Sequence[int] = (0,)) -> wire.GraphEvent:
        strings: list[str] = []

        def string_index(text: str | None) -> int:
            if text is None:
                return -1
            strings.append(text)
            return len(strings) - 1

        def column(values: Any) -> bytes:
            return np.array(list(values), "<i4").tobytes()

        nodes, edges = self.nodes, self.edges
        return wire.GraphEvent(
            index=index,
            strings=strings,
            kind=bytes(node["kind"] for node in nodes),
            op=column(string_index(node["op"]) for node in nodes),
            call=column(string_index(node["call"]) for node in nodes),
            name=column(string_index(node["name"]) for node in nodes),
            file=column(string_index(node["file"]) for node in nodes),
            module=column(string_index(node["module"]) for node in nodes),
            line=column(node["line"] for node in nodes),
            start_column=column(node["columns"][0] for node in nodes),
            end_column=column(node["columns"][1] for node in nodes),
            outputs=column(len(node["arrived"]) for node in nodes),
            parameter=column(node["parameter"] for node in nodes),
            saved_count=column(0 for _ in nodes),
            saved=b"",
            roots=column(roots),
            source=column(edge["source"] for edge in edges),
            slot=column(edge["slot"] for edge in edges),
            target=column(edge["target"] for edge in edges),
            input=column(edge["input"] for edge in edges),
            gradient=bytes(edge["flows"] for edge in edges),
        )

    def pass_(
        self,
        index: int = 0,
        *,
        line: int = -1,
        order: Sequence[int] | None = None,
        kind: Any = "backward",
        failed: int = -1,
    ) -> wire.PassEvent:
        ran = [index for index, node in enumerate(self.nodes) if node["kind"] != wire.CONSTANT] if order is None else order
        nodes = self.nodes

        def column(values: Any) -> bytes:
            return np.array(list(values), "<i4").tobytes()

        return wire.PassEvent(
            index=index,
            step=index,
            kind=kind,
            parent=-1,
            graph=0,
            line=line,
            order=column(ran),
            value=column(node["value"] for node in nodes),
            arrived=column(row for node in nodes for row in node["arrived"]),
            used=column(row for node in nodes for row in node["used"]),
            edge=column(edge["row"] for edge in self.edges),
            saved=b"",
            tensors=self.table.pack(),
            failed=failed,
        )

    def recording(self, program: str = "", **options: Any) -> Recording:
        return Recording(MemoryLog([self.graph(), self.pass_(**options)]), program)


def seed() -> Recording:
    """Return a recording of :data:`SEED`, with a loss of 4.6667 and an ``m.grad`` of -9.3333."""
    sketch = Sketch()
    third = [1 / 3] * 3
    twice = [-2 / 3, -4 / 3, -2.0]
    mean = sketch.node("MeanBackward0", name="loss", line=7, columns=(7, 33), value=14 / 3, grads=[1.0])
    power = sketch.node("PowBackward0", line=7, columns=(8, 25), value=[1.0, 4.0, 9.0], grads=[third])
    minus = sketch.node("SubBackward0", line=7, columns=(9, 19), value=[-1.0, -2.0, -3.0], grads=[twice])
    times = sketch.node("MulBackward0", name="y_pred", line=6, columns=(9, 14), value=[1.0, 2.0, 3.0], grads=[twice])
    m = sketch.node(
        "AccumulateGrad", kind=wire.LEAF, name="m", line=5, columns=(4, 41), value=1.0, grads=[-28 / 3], parameter=0
    )
    y = sketch.node("constant", kind=wire.CONSTANT, name="y", line=4, value=[2.0, 4.0, 6.0])
    x = sketch.node("constant", kind=wire.CONSTANT, name="x", line=3, value=[1.0, 2.0, 3.0])
    sketch.edge(mean, power, third)
    sketch.edge(power, minus, twice)
    sketch.edge(minus, times, twice)
    sketch.edge(minus, y, flows=False)
    sketch.edge(times, m, -28 / 3)
    sketch.edge(times, x, flows=False)
    return sketch.recording(SEED, line=8)


def chain(length: int, *, line: int = -1) -> Sketch:
    """Return a chain of ``length`` nodes and a leaf, in which each gradient is a tenth of the previous gradient."""
    sketch = Sketch()
    for at in range(length):
        sketch.node("TanhBackward0", line=line, value=[1.0, 2.0], grads=[[10.0**-at, 0.0]])
    sketch.node("AccumulateGrad", kind=wire.LEAF, name="w", value=[1.0, 2.0], grads=[[10.0**-length, 0.0]], parameter=0)
    for at in range(length):
        sketch.edge(at, at + 1, [10.0 ** -(at + 1), 0.0])
    return sketch


def unrolled(steps: int) -> Sketch:
    """Return a network unrolled in time: each step is a product with ``W``, a sum with ``b`` and a tanh."""
    sketch = Sketch()
    for _ in range(steps):
        sketch.node("TanhBackward0", value=1.0, grads=[0.5])
        sketch.node("AddBackward0", value=1.0, grads=[0.5])
        sketch.node("MvBackward0", value=1.0, grads=[0.5])
    weight = sketch.node("AccumulateGrad", kind=wire.LEAF, name="W", value=1.0, grads=[0.5 * steps], parameter=0)
    bias = sketch.node("AccumulateGrad", kind=wire.LEAF, name="b", value=1.0, grads=[0.5 * steps], parameter=1)
    for at in range(0, 3 * steps, 3):
        sketch.edge(at, at + 1, 0.5)
        sketch.edge(at + 1, at + 2, 0.5)
        sketch.edge(at + 1, bias, 0.5)
        sketch.edge(at + 2, weight, 0.5)
        if at + 3 < 3 * steps:
            sketch.edge(at + 2, at + 3, 0.5)
    return sketch

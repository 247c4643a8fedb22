"""Read the columns of a graph's event as NumPy arrays."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any, Final

import numpy as np

from .. import wire

Ints = np.ndarray[Any, np.dtype[np.int32]]
Longs = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]


TRANSPOSED_TWICE: Final = 2
"""Largest number of transposes between an operation and a parameter: a derivative transposes a transposed weight again."""
_TRANSPOSE: Final = re.compile(r"(T|NumpyT|Transpose|Permute)Backward[0-9]+")


class StructureColumns:
    """The structure of a graph by columns: one entry for each node, edge or frame, as in :class:`wire.GraphEvent`.

    A map does not show an operation that only transposes a leaf, as ``nn.Linear`` does with its weight. Such
    :attr:`transposes` belong to the edges between the operations that use them and the leaf: ``target`` and ``input`` of these
    edges are those of the leaf, and ``recorded_target`` is the target in the recording.
    """

    def __init__(self, event: wire.GraphEvent) -> None:
        self._event = event
        self.index = event.index
        self.strings = event.strings
        self.kind = np.frombuffer(event.kind, np.uint8)
        self.count = len(self.kind)
        self.edges = len(event.gradient)
        self.gradient = np.frombuffer(event.gradient, np.uint8).astype(bool)
        self.source = wire.int32(event.source, "source")
        self.recorded_target = wire.int32(event.target, "target")
        self.slot = wire.int32(event.slot, "slot")
        self.line = wire.int32(event.line, "line")
        self.parameter = wire.int32(event.parameter, "parameter")
        self.outputs = wire.int32(event.outputs, "outputs")
        self.roots = wire.int32(event.roots, "roots")
        self.frame = self._or_none(event.frame, "frame")
        self.made = self._or_none(event.made, "made")
        self.formula_graph = self._or_none(event.formula_graph, "formula_graph")
        self.formula_node = self._or_none(event.formula_node, "formula_node")
        self.has_frames = bool(event.frame)
        """False in recordings that are older than frames."""
        self.transposes: Bools = self._transposes()
        self.target, self.input = self._through_transposes(wire.int32(event.input, "input"))

    def _transposes(self) -> Bools:
        """Return for each node whether it only transposes a leaf, and the program does not name the result."""
        named = [index for index, text in enumerate(self.strings) if _TRANSPOSE.fullmatch(text)]
        found: Bools = np.isin(self.texts("op"), named) & (self.kind == wire.OP) & (self.outputs == 1)
        found &= self.texts("name") < 0
        found &= np.bincount(self.source, minlength=self.count) == 1
        found &= np.bincount(self.recorded_target, minlength=self.count) > 0
        found[self.roots] = False
        leads = self.kind == wire.LEAF  # not by parameter: a leaf has none if no pass reached the graph
        for _ in range(TRANSPOSED_TWICE):
            leads[self.source] |= leads[self.recorded_target] & found[self.source]
        found &= leads
        return found

    def _through_transposes(self, given: Ints) -> tuple[Ints, Ints]:
        """Return the target and the input of each edge. An edge to a transpose leads to its parameter."""
        edge = np.arange(self.edges)
        onward = np.zeros(self.count, np.int64)
        onward[self.source] = edge  # a transpose has one edge
        for _ in range(TRANSPOSED_TWICE):
            target = self.recorded_target[edge]
            edge = np.where(self.transposes[target], onward[target], edge)
        return self.recorded_target[edge], given[edge]

    @cached_property
    def transposes_of(self) -> dict[int, list[int]]:
        """The transposes of parameters that each operation uses, as node indices. Other operations are left out."""
        found: dict[int, list[int]] = {}
        leading = np.flatnonzero(self.transposes[self.recorded_target])
        for source, target in zip(self.source[leading].tolist(), self.recorded_target[leading].tolist(), strict=True):
            found.setdefault(source, []).append(target)
        return {node: [*nodes, *(again for each in nodes for again in found.get(each, ()))] for node, nodes in found.items()}

    @cached_property
    def output_start(self) -> Longs:
        """For each node, the index of its first output among all outputs. The last entry is the number of all outputs."""
        return np.concatenate(([0], np.cumsum(self.outputs, dtype=np.int64)))

    def text(self, column: str, node: int) -> str | None:
        """Return the text of a node in a column of indices, such as ``op``."""
        index = int(wire.int32(getattr(self._event, column), column)[node])
        return self.strings[index] if index >= 0 else None

    def texts(self, column: str) -> Ints:
        """Return a column of indices into :attr:`strings`."""
        return wire.int32(getattr(self._event, column), column)

    def frames(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Return the parent, kind, name and line of each frame."""
        event = self._event
        kind = np.frombuffer(event.frame_kind, np.uint8).astype(np.int32)
        names = ("frame_parent", "frame_name", "frame_line")
        parent, name, line = (wire.int32(getattr(event, each), each) for each in names)
        return parent, kind, name, line

    def _or_none(self, packed: bytes, name: str) -> Ints:
        return wire.int32(packed, name) if packed else np.full(self.count, -1, np.int32)


def op_name(graph: StructureColumns, node: int) -> str:
    """Return the name of a node's class without its ending, such as ``Addmm`` for ``AddmmBackward0``."""
    return re.sub(r"Backward[0-9]*$", "", graph.text("op", node) or "")

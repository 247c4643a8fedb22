"""Read the columns of a graph's event as NumPy arrays."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

import numpy as np

from .. import wire

Ints = np.ndarray[Any, np.dtype[np.int32]]
Longs = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]


class StructureColumns:
    """The structure of a graph by columns: one entry for each node, edge or frame, as in :class:`wire.GraphEvent`."""

    def __init__(self, event: wire.GraphEvent) -> None:
        self._event = event
        self.index = event.index
        self.strings = event.strings
        self.kind = np.frombuffer(event.kind, np.uint8)
        self.count = len(self.kind)
        self.edges = len(event.gradient)
        self.gradient = np.frombuffer(event.gradient, np.uint8).astype(bool)
        self.source = wire.int32(event.source, "source")
        self.target = wire.int32(event.target, "target")
        self.input = wire.int32(event.input, "input")
        self.slot = wire.int32(event.slot, "slot")
        self.line = wire.int32(event.line, "line")
        self.parameter = wire.int32(event.parameter, "parameter")
        self.outputs = wire.int32(event.outputs, "outputs")
        self.roots = wire.int32(event.roots, "roots")
        self.frame = self._or_none(event.frame, "frame")
        self.made = self._or_none(event.made, "made")
        self.formula_node = self._or_none(event.formula_node, "formula_node")
        self.has_frames = bool(event.frame)
        """False in recordings that are older than frames."""

    @cached_property
    def output_start(self) -> Longs:
        """For each node, the index of its first output among the outputs of all nodes. The last entry is their number."""
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

"""The frames of a graph: the calls of modules, the loops and the turns of loops in which its operations were made."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from .. import wire
from .columns import Ints, StructureColumns
from .order import ForwardOrder


class FrameTree:
    """The frames as a tree. ``at`` is the innermost frame of each operation in forward order, or -1.

    A loop with one turn, and that turn, are left out: their operations belong to the frame around them.
    """

    def __init__(self, parent: Ints, kind: Ints, name: Sequence[str], line: Ints, at: Ints) -> None:
        self.kind = kind
        self.name = name
        self.line = line
        turns = np.bincount(parent[(kind == wire.TURN) & (parent >= 0)], minlength=len(parent))
        single = (kind == wire.LOOP) & (turns == 1)
        hidden = single | ((kind == wire.TURN) & (parent >= 0) & single[parent]) if len(parent) else single
        self.parent = parent.copy()
        """The frame around each frame, or -1."""
        while len(again := np.flatnonzero((self.parent >= 0) & hidden[self.parent])):
            self.parent[again] = parent[self.parent[again]]
        self.depth: Ints = np.zeros(len(parent), np.int32)
        """The depth of each frame: 1 for an outermost one. A frame that is left out has the depth of the frame around it."""
        around = np.where(hidden, self.parent, np.arange(len(parent), dtype=np.int32))
        innermost = around
        while bool((around >= 0).any()):
            self.depth += around >= 0
            around = np.where(around >= 0, self.parent[around], -1)
        self.at: Ints = np.full(len(at), -1, np.int32)
        inside = np.flatnonzero(at >= 0)
        self.at[inside] = innermost[at[inside]]
        self._ancestors: dict[int, Ints] = {}

    def outermost_below(self, depth: int, start: int, end: int) -> Ints:
        """Return for each operation of an interval the frame around it that is ``depth`` frames deep, or -1."""
        at = self.at[start:end]
        if not len(self.depth):
            return at
        return np.where(at >= 0, self._ancestors_at(depth)[at], -1).astype(np.int32)

    def _ancestors_at(self, depth: int) -> Ints:
        known = self._ancestors.get(depth)
        if known is not None:
            return known
        found = np.where(self.depth == depth, np.arange(len(self.depth), dtype=np.int32), -1).astype(np.int32)
        for level in range(depth + 1, int(self.depth.max()) + 1):
            below = np.flatnonzero(self.depth == level)
            found[below] = found[self.parent[below]]
        self._ancestors[depth] = found
        return found

    def occurrence(self, frame: int) -> int:
        """Return how many earlier frames have the same kind, name and line. Loops must also be in the same frame."""
        return self._occurrences[frame]

    def with_name(self, name: str, occurrence: int) -> int | None:
        """Return the frame of a call of the module with this path, or ``None``. ``occurrence`` is 0 for the first call."""
        same = [index for index, each in enumerate(self.name) if each == name and self.kind[index] == wire.MODULE]
        return same[occurrence] if occurrence < len(same) else None

    @cached_property
    def _occurrences(self) -> list[int]:
        seen: dict[tuple[object, ...], int] = {}
        counted = []
        for index, kind in enumerate(self.kind.tolist()):
            inside = int(self.parent[index]) if kind == wire.LOOP else -1
            key = (kind, self.name[index], int(self.line[index]), inside)
            counted.append(seen.get(key, 0))
            seen[key] = counted[-1] + 1
        return counted


def frame_tree(graph: StructureColumns, order: ForwardOrder) -> FrameTree:
    """Return the frames of a graph. Those of a recording without frames are derived from the modules of its nodes."""
    parent, kind, name, line = graph.frames()
    if len(kind) or graph.has_frames:
        names = [graph.strings[index] if index >= 0 else "" for index in name.tolist()]
        return FrameTree(parent, kind, names, line, graph.frame[order.nodes])
    return _from_modules(graph, order)


def _from_modules(graph: StructureColumns, order: ForwardOrder) -> FrameTree:
    """Derive a frame for each stretch of operations whose modules' paths begin with the same parts."""
    module = graph.texts("module")[order.nodes]
    changes = np.flatnonzero(np.diff(module, prepend=-2))
    parents: list[int] = []
    names: list[str] = []
    at = np.full(len(order), -1, np.int32)
    open_: list[int] = []
    ends = [*changes.tolist()[1:], len(order)][: len(changes)]
    for start, end in zip(changes.tolist(), ends, strict=True):
        path = graph.strings[module[start]] if module[start] >= 0 else ""
        parts = path.split(".") if path else []
        paths = [".".join(parts[: length + 1]) for length in range(len(parts))]
        kept = 0
        while kept < min(len(open_), len(paths)) and names[open_[kept]] == paths[kept]:
            kept += 1
        del open_[kept:]
        for each in paths[kept:]:
            parents.append(open_[-1] if open_ else -1)
            names.append(each)
            open_.append(len(names) - 1)
        if open_:
            at[start:end] = open_[-1]
    none = np.full(len(names), -1, np.int32)
    kinds = np.full(len(names), wire.MODULE, np.int32)
    return FrameTree(np.array(parents, np.int32), kinds, names, none, at)

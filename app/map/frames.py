"""Build the tree of a graph's frames: the calls of modules, the loops and the turns of loops in which its operations were made.

Operations that a pass with ``create_graph`` made are in frames of their own: a frame for each stretch of such operations, and
inside it a frame for each module whose derivative they compute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final

import numpy as np

from .. import wire
from .columns import Bools, Ints, StructureColumns
from .derivatives import Sources, derived_modules
from .edges import starts_of_runs
from .order import ForwardOrder

DERIVATIVE: Final = 3
"""Code of a frame around operations of a derivative, besides the codes of :attr:`wire.GraphEvent.frame_kind`."""


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

    def is_called_again(self, frame: int) -> bool:
        """Return whether a module is called several times in one call of the module around it.

        Such calls are numbered. Calls in a turn of a loop are not: the turn already distinguishes them.
        """
        around = int(self.parent[frame])
        if around >= 0 and self.kind[around] == wire.TURN:
            return False
        calls = 1 if around < 0 else self._calls[self.kind[around], self.name[around]]
        return self._calls[self.kind[frame], self.name[frame]] > calls

    def with_name(self, name: str, occurrence: int) -> int | None:
        """Return the frame of a call of the module with this path, or ``None``. ``occurrence`` is 0 for the first call."""
        same = [index for index, each in enumerate(self.name) if each == name and self.kind[index] == wire.MODULE]
        return same[occurrence] if occurrence < len(same) else None

    @cached_property
    def _calls(self) -> Counter[tuple[int, str]]:
        return Counter(zip(self.kind.tolist(), self.name, strict=True))

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


def frame_tree(graph: StructureColumns, order: ForwardOrder, sources: Sources) -> FrameTree:
    """Return the frames of a graph. In a recording without frames, they are derived from the modules of the nodes.

    ``sources`` are the graphs whose formulas made operations of this graph.
    """
    parent, kind, name, line = graph.frames()
    if len(kind) or graph.has_frames:
        frames = _FrameColumns(parent.tolist(), kind.tolist(), line.tolist(), graph.frame[order.nodes])
        frames.names = [graph.strings[index] if index >= 0 else "" for index in name.tolist()]
    else:
        frames = _FrameColumns([], [], [], np.full(len(order), -1, np.int32))
        module = graph.texts("module")[order.nodes]
        for start, end in _stretches(module):
            frames.add_path(graph.strings[module[start]] if module[start] >= 0 else "", wire.MODULE, start, end)
    derived, paths = derived_modules(graph, order, sources)
    for start, end in _stretches(derived >= 0, frames.at, graph.line[order.nodes]):
        if derived[start] < 0:
            continue
        path = _common([paths[each] for each in np.unique(derived[start:end]).tolist()])
        frames.begin_derivative(path, int(graph.line[order.nodes[start]]), start)
        for first, after in _stretches(derived[start:end]):
            frames.add_path(paths[derived[start + first]], DERIVATIVE, start + first, start + after)
    return frames.tree()


class _FrameColumns:
    """The columns of a :class:`FrameTree`, to which frames are added in forward order."""

    def __init__(self, parents: list[int], kinds: list[int], lines: list[int], at: Ints) -> None:
        self.names: list[str] = []
        self.at = at.copy()
        self._parents = parents
        self._kinds = kinds
        self._lines = lines
        self._open: list[int] = []
        self._around = -1
        """The frame around the derivative that is being added."""

    def tree(self) -> FrameTree:
        parents, kinds, lines = (np.array(each, np.int32) for each in (self._parents, self._kinds, self._lines))
        return FrameTree(parents, kinds, self.names, lines, self.at)

    def begin_derivative(self, path: str, line: int, start: int) -> None:
        """Add the frame of a derivative whose first operation is at ``start``. ``path`` is the path of its module."""
        self._around = int(self.at[start])
        self._open = []
        self._add(path, DERIVATIVE, line)

    def add_path(self, path: str, kind: int, start: int, end: int) -> None:
        """Put operations into a frame for each part of a path. Frames that are still open and have the same path are used."""
        outermost = self.names[self._open[0]] if kind == DERIVATIVE else ""
        parts = path.removeprefix(outermost).strip(".").split(".")
        paths = [outermost] if kind == DERIVATIVE else []
        for part in filter(None, parts):
            paths.append(f"{paths[-1]}.{part}" if paths and paths[-1] else part)
        kept = 0
        while kept < min(len(self._open), len(paths)) and self.names[self._open[kept]] == paths[kept]:
            kept += 1
        del self._open[kept:]
        for each in paths[kept:]:
            self._add(each, kind, -1)
        if self._open:
            self.at[start:end] = self._open[-1]

    def _add(self, name: str, kind: int, line: int) -> None:
        self._parents.append(self._open[-1] if self._open else self._around)
        self._kinds.append(kind)
        self._lines.append(line)
        self.names.append(name)
        self._open.append(len(self.names) - 1)


def _stretches(*columns: Ints | Bools) -> Iterator[tuple[int, int]]:
    """Yield the start and the end (exclusive) of each stretch of entries that are equal in all columns."""
    starts = starts_of_runs(*columns).tolist()
    return zip(starts, [*starts[1:], len(columns[0])], strict=False)


def _common(paths: Sequence[str]) -> str:
    """Return the longest path with which all paths begin.

    >>> _common(["model.h.0", "model.h.1"]), _common(["D.4", ""]), _common(["D"])
    ('model.h', '', 'D')
    """
    parts = [path.split(".") for path in paths]
    common = []
    for each in zip(*parts, strict=False):
        if len(set(each)) > 1:
            break
        common.append(each[0])
    return ".".join(common)

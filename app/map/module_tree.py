"""Build the tree of a graph's modules, with their operations and parameters. Repeated calls belong to one module."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np

from .. import wire
from .columns import Ints, StructureColumns
from .tree import GroupTree

DEEPEST: Final = 64
"""Largest depth of frames at which the operations of called modules are counted."""


@dataclass(slots=True)
class Module:
    """A module by its path in the model. ``parent`` is the index of the module around its first call, or -1.

    ``nodes`` is the number of operations inside, and ``last`` the position of the last one in the forward order. ``leaves``
    are the nodes of its own parameters, without those of the modules inside.
    """

    path: str
    parent: int
    calls: int = 0
    nodes: int = 0
    last: int = -1
    leaves: list[int] = field(default_factory=list)


class ModuleTree:
    """The modules of a graph. A module precedes those inside it."""

    def __init__(self, tree: GroupTree) -> None:
        self._graph: StructureColumns = tree.graph
        self._tree = tree
        self.modules: list[Module] = []
        self._by_path: dict[str, int] = {}
        self._of_frame: Ints = self._modules_of_frames()
        for level in self.levels:
            inside = np.flatnonzero(level >= 0)
            counts = np.bincount(level[inside], minlength=len(self.modules))
            last = np.full(len(self.modules), -1, np.int64)
            np.maximum.at(last, level[inside], inside)
            for index in np.flatnonzero(counts).tolist():
                module = self.modules[index]
                module.nodes += int(counts[index])
                module.last = max(module.last, int(last[index]))
        self.outside: list[int] = []
        """The leaves whose names do not begin with the path of a module, such as inputs."""
        self._place_parameters()

    @cached_property
    def levels(self) -> list[Ints]:
        """An array for each depth of frames: the module called at that depth around each operation in forward order, or -1."""
        frames = self._tree.frames
        deepest = min(int(frames.depth.max(initial=0)), DEEPEST)
        levels = []
        for depth in range(1, deepest + 1):
            frame = frames.outermost_below(depth, 0, len(self._tree.order))
            level = np.where(frame >= 0, self._of_frame[frame], -1).astype(np.int32)
            if (level >= 0).any():
                levels.append(level)
        return levels

    def _modules_of_frames(self) -> Ints:
        frames = self._tree.frames
        of_frame = np.full(len(frames.kind) + 1, -1, np.int32)
        around = np.full(len(frames.kind) + 1, -1, np.int32)
        """The innermost module around or at each frame."""
        for frame, kind in enumerate(frames.kind.tolist()):
            outer = int(around[frames.parent[frame]])
            around[frame] = outer
            if kind != wire.MODULE:
                continue
            path = frames.name[frame]
            index = self._by_path.get(path)
            if index is None:
                index = self._by_path[path] = len(self.modules)
                self.modules.append(Module(path, outer))
            self.modules[index].calls += 1
            of_frame[frame] = around[frame] = index
        return of_frame

    def _place_parameters(self) -> None:
        """Give each parameter to the module that its name begins with. Inputs that require grad have no such name."""
        graph = self._graph
        for leaf in np.flatnonzero((graph.kind == wire.LEAF) & (graph.parameter >= 0)).tolist():
            index = self._named(graph.text("name", leaf))
            (self.modules[index].leaves if index >= 0 else self.outside).append(leaf)

    def _named(self, name: str | None) -> int:
        """Return the index of the module with the longest path at the beginning of a parameter's name, or -1."""
        path = name or ""
        while "." in path:
            path = path.rpartition(".")[0]
            if path in self._by_path:
                return self._by_path[path]
        return -1

"""Cache the trees of the graphs that were read last. Graphs with equal content share a tree."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from functools import cached_property
from threading import Lock
from typing import Final

import msgspec

from .. import wire
from ..recording import Log
from .columns import StructureColumns
from .derivatives import Sources, sources_of
from .module_tree import ModuleTree
from .text_index import TextIndex
from .tree import GroupTree

KEPT_NODES: Final = 1_000_000
"""Largest total number of nodes of the graphs whose trees are kept. The tree that was used last is always kept."""


class KnownGraph:
    """The tree of a graph, and the index of its texts and its modules, each made when it is first needed."""

    def __init__(self, event: wire.GraphEvent, sources: Sources) -> None:
        self.tree = GroupTree(StructureColumns(event), sources)

    @cached_property
    def texts(self) -> TextIndex:
        return TextIndex(self.tree.graph, self.tree.order)

    @cached_property
    def modules(self) -> ModuleTree:
        return ModuleTree(self.tree)


class _KnownGraphs:
    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, KnownGraph] = OrderedDict()
        self._lock = Lock()

    def get(self, event: wire.GraphEvent, sources: Sources) -> KnownGraph:
        """Return the tree and index of a graph. They are made without the lock, so two threads may make the same tree."""
        key = (_key(event), *map(_key, sources.values()))
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known
        known = KnownGraph(event, sources)
        with self._lock:
            self._known[key] = known
            while len(self._known) > 1 and sum(each.tree.graph.count for each in self._known.values()) > KEPT_NODES:
                self._known.popitem(last=False)
        return known


_graphs: Final = _KnownGraphs()


def known_graph(log: Log, event: wire.GraphEvent) -> KnownGraph:
    """Return the tree of a graph of a run, from the cache if an equal graph was read before."""
    return _graphs.get(event, sources_of(log, event))


def _key(event: wire.GraphEvent) -> Hashable:
    """Return a key that is equal for equal graphs. Python keeps the hash of each column, so a second key costs little."""
    return tuple(tuple(part) if isinstance(part, list) else part for part in msgspec.structs.astuple(event))

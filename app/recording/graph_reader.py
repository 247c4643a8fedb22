"""Read the graphs of a recording, and cache those that were read last, for all recordings together."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Mapping
from itertools import count
from typing import Final

from msgspec import structs

from .. import model, wire
from ..byte_cache import ByteCache
from .structure import ReadOrigin, read_formulas, read_graph

MAX_ORDERS: Final = 3
"""Largest order of derivatives up to which a node refers to the node whose formula created it."""
NODE_BYTES, EDGE_BYTES, FORMULA_BYTES = 450, 200, 200
"""Approximate size in memory of a node, an edge, and the formula of a node."""
CACHE_BYTES: Final = 64 * 1024 * 1024
"""Total size of the cached graphs."""
LARGEST_BYTES: Final = 192 * 1024 * 1024
"""Size of the largest graph that is cached. The default limits allow this size. A graph larger than :data:`CACHE_BYTES` is
cached alone."""

_Structure = tuple[model.Graph, list[tuple[int, int]]]
"""A graph without its formulas, and the formulas as :func:`.structure.read_formulas` returns them."""

_keys = count()
_structures = ByteCache[tuple[int, int], _Structure](CACHE_BYTES, largest=LARGEST_BYTES)
"""Structures, by the key of their reader and the index of the graph. The key of a reader is never used again."""
_graphs = ByteCache[tuple[int, int], model.Graph](CACHE_BYTES // 4, largest=LARGEST_BYTES // 4)
"""Graphs with their formulas, by the same keys. A graph that has no formulas is only in ``_structures``."""
_dead = deque[int]()
"""The keys of readers that were freed since the caches were last used. Nothing can read their graphs any more."""


def _drop_dead() -> None:
    """Drop the graphs of freed readers. A reader cannot drop them when it is freed: a cache may be changing then."""
    if _dead:
        keys = {_dead.popleft() for _ in range(len(_dead))}
        for cache in (_structures, _graphs):
            cache.drop(lambda key: key[0] in keys)


class GraphReader:
    """Reads the graphs of one recording. ``event`` returns the event of a graph, or raises :class:`NotFound`."""

    def __init__(self, event: Callable[[int], wire.GraphEvent], origin: ReadOrigin) -> None:
        self._event = event
        self._origin = origin
        self._key = next(_keys)
        weakref.finalize(self, _dead.append, self._key).atexit = False
        _drop_dead()

    def graph(self, index: int) -> model.Graph:
        """Return a graph with its formulas."""
        if (found := _graphs.get((self._key, index))) is not None:
            return found
        graph, formulas = self._structure(index)
        if not formulas:
            return graph
        structures = _Structures(self._structure)
        nodes = [
            node if first[0] < 0 else structs.replace(node, backward_of=_formula(structures, *first))
            for node, first in zip(graph.nodes, formulas, strict=True)
        ]
        graph = structs.replace(graph, nodes=nodes)
        _graphs.put((self._key, index), graph, (NODE_BYTES + FORMULA_BYTES) * len(nodes))
        return graph

    def formula(self, graph: int, node: int) -> model.Formula:
        """Return a node whose backward formula made other nodes. If a formula made it too, it has the node of that formula."""
        return _formula(_Structures(self._structure), graph, node)

    def _structure(self, index: int) -> _Structure:
        if (found := _structures.get((self._key, index))) is None:
            event = self._event(index)
            graph = read_graph(event, self._origin)
            found = graph, read_formulas(event)
            _structures.put((self._key, index), found, NODE_BYTES * len(graph.nodes) + EDGE_BYTES * len(graph.edges))
        return found


class _Structures(dict[int, _Structure]):
    """The structures of graphs, each of which is read once, even if it is too large for the cache."""

    def __init__(self, read: Callable[[int], _Structure]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, index: int) -> _Structure:
        found = self[index] = self._read(index)
        return found


def _formula(
    structures: Mapping[int, _Structure], graph_index: int, node_index: int, orders: int = MAX_ORDERS
) -> model.Formula:
    graph, formulas = structures[graph_index]
    node = graph.nodes[node_index]
    if orders > 1 and formulas and formulas[node_index][0] >= 0:
        node = structs.replace(node, backward_of=_formula(structures, *formulas[node_index], orders - 1))
    return model.Formula(graph.id, node)

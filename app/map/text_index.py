"""Find the nodes of a graph by their texts: each text is compared once, however many nodes have it."""

from __future__ import annotations

from functools import cached_property
from itertools import repeat
from operator import contains
from typing import Final, Literal

import numpy as np

from .columns import Bools, Ints, Longs, StructureColumns
from .order import ForwardOrder

TextField = Literal["name", "op", "call", "module"]
TEXT_FIELDS: Final[tuple[TextField, ...]] = ("name", "op", "call", "module")
"""The columns of texts of a node, the most specific first."""


RARE: Final = 1_000
"""Number of occurrences up to which a text is searched in all strings at once. This is faster than one string after another."""


class TextIndex:
    """The strings of a graph in lower case. Nodes are found by their columns, which have indices of strings.

    The map shows an operation by itself, and a leaf or constant with the last operation that uses it. ``shown_at`` has, for
    each node, the position of that operation in the forward order, or -1 without users.
    """

    def __init__(self, graph: StructureColumns, order: ForwardOrder) -> None:
        self._graph = graph
        self._order = order
        self._lowered = [text.lower() for text in graph.strings]
        self._joined = "\0".join(self._lowered)
        lengths = np.fromiter(map(len, self._lowered), np.int64, len(self._lowered))
        self._start: Longs = np.cumsum(lengths + 1) - (lengths + 1)
        self._columns = {field: graph.texts(field) for field in TEXT_FIELDS}

    def strings_with(self, text: str) -> Bools:
        """Return for each string whether it contains a text in lower case. The last entry, for nodes without text, is false."""
        found: Bools = np.zeros(len(self._lowered) + 1, bool)
        if self._joined.count(text) > RARE:
            found[:-1] = np.fromiter(map(contains, self._lowered, repeat(text)), bool, len(self._lowered))
            return found
        position = self._joined.find(text)
        while position >= 0:
            found[int(np.searchsorted(self._start, position, "right")) - 1] = True
            position = self._joined.find(text, position + 1)
        return found

    def nodes_with(self, field: TextField, strings: Bools) -> Bools:
        """Return for each node whether its text in a field is one of some strings, as :meth:`strings_with` returns them."""
        return strings[self._columns[field]]

    @cached_property
    def shown_at(self) -> Ints:
        graph, position = self._graph, self._order.position
        at = position.astype(np.int32)
        last = np.full(graph.count, -1, np.int32)
        np.maximum.at(last, graph.target, position[graph.source])
        np.maximum.at(last, graph.recorded_target, position[graph.source])
        return np.where(at < 0, last, at).astype(np.int32)

    @cached_property
    def in_picture_order(self) -> Longs:
        """All nodes in the order in which the map shows them, from the loss downwards."""
        return np.lexsort((np.arange(self._graph.count), self._order.position < 0, -self.shown_at))

"""Map the tensors of a pass to the structure of its graph, once for all passes that share the structure."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..forward.calls import Call
from ..source.instrument import ProgramSource
from ..tensors.handles import data_pointer
from ..tensors.snapshot import Snapshot
from .graph import Walk
from .outputs import output_counts
from .saved_tensors import SavedTensors, Slot

_FunctionBase: Any = torch._C._FunctionBase
UNKNOWN, RESULT = -2, -1
"""Origins of saved tensors: unknown, or the result of the node's call. Any other origin is the index of an argument."""


class Template:
    """A graph's structure that has been emitted, and how to read the tensors of a pass that shares it.

    ``edges`` are columns of indices: source, slot, target and input. ``lines`` are the lines that made the graph, and
    ``root_line`` is the line that made its first root.
    """

    def __init__(self, index: int, walk: Walk, saved: SavedTensors, parameters: Sequence[int], source: ProgramSource) -> None:
        self.index = index
        self.outputs = output_counts(walk.nodes, walk.kinds)
        """The number of outputs of each node."""
        self.slots: list[Sequence[Slot]] = saved.slots_of(walk.nodes, walk.kinds)
        """The slots of the saved tensors of each node."""
        self._origins_found = False
        self.edges = walk.edges()
        self.has_python_formula = any(issubclass(kind, _FunctionBase) for kind in set(walk.kinds))
        """True if a node's formula is Python code, like the formula of a custom function."""
        self.parameters = list(parameters)
        """The parameter of each leaf."""
        self.constants: list[tuple[int, int]] = []
        """For each constant, the index of a node whose call has the constant as an argument, and the index of that argument."""
        self.constant_edges: list[tuple[int, int, int]] = []
        """The source node, slot and constant of each edge to a constant. The slot is -1 if it is unknown."""
        self._find_constants(walk)
        sites = (site for site in set(walk.sites) if site is not None)
        lines = {site: source.locate(site.code, site.offset)[0] for site in sites if site.code is not None}
        self.lines = frozenset(lines.values()) - {0}
        root = walk.calls[0]
        self.root_line = (lines.get(root.site, 0) if root is not None else 0) or -1
        self._columns: list[int] = []
        self._order: list[int] = []
        self._packed: list[bytes] = []
        self._bare_order: list[int] | None = None
        self._bare: list[bytes] = []

    @cached_property
    def saved(self) -> list[tuple[int, Slot]]:
        """The saved tensors, each with the index of its node."""
        return [(index, slot) for index, slots in enumerate(self.slots) for slot in slots]

    @cached_property
    def origins(self) -> list[int]:
        """The origin of each saved tensor: the index of an argument of its node's call, :data:`RESULT` or :data:`UNKNOWN`."""
        return [UNKNOWN] * len(self.saved)

    @cached_property
    def ends(self) -> dict[tuple[int, int], tuple[int, int]]:
        """The target and input of each edge, by its source and slot."""
        return {(source, slot): (target, at) for source, slot, target, at in zip(*self.edges, strict=True)}

    @cached_property
    def sources(self) -> dict[tuple[int, int], list[tuple[int, int]]]:
        """The source and slot of all edges to a target and input."""
        found: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for edge, end in self.ends.items():
            found.setdefault(end, []).append(edge)
        return found

    def packed(self, order: list[int], columns: list[int], ends: Sequence[int]) -> list[bytes]:
        """Pack the order of a pass and its columns of rows, which end at ``ends`` in ``columns``.

        Most passes have the same columns as the pass before. Its packed columns are then returned again.
        """
        if columns != self._columns or order != self._order:
            self._columns, self._order = columns, order
            starts = (0, *ends)
            self._packed = [int32(order), *(int32(columns[start:end]) for start, end in zip(starts, ends, strict=False))]
        return self._packed

    def without_rows(self, order: list[int]) -> list[bytes]:
        """Pack the order of a pass, and the columns ``used``, ``edge``, ``value`` and ``saved`` with -1 for every tensor."""
        if order != self._bare_order:
            sources = self.edges[0]
            sizes = (
                sum(self.outputs), len(sources) + len(self.constant_edges), len(self.outputs) + len(self.constants),
                len(self.saved),
            )  # fmt: skip
            self._bare_order, self._bare = order, [int32(order), *(int32([-1] * size) for size in sizes)]
        return self._bare

    def _find_constants(self, walk: Walk) -> None:
        seen: dict[int, int] = {}
        by_call: dict[int, list[int]] = {}
        for index, call in enumerate(walk.calls):
            if call is not None and call.arguments:
                by_call.setdefault(id(call), []).append(index)
        for nodes in by_call.values():
            call = walk.calls[nodes[0]]
            assert call is not None
            given = [(at, argument) for at, argument in enumerate(call.arguments) if _is_constant(argument, call)]
            if not given:
                continue
            free = [
                (index, slot)
                for index in nodes
                for slot, (node, _) in enumerate(walk.nodes[index].next_functions)
                if node is None
            ]
            for (at, argument), (index, slot) in _match(given, free, nodes):
                constant = seen.get(id(argument))
                if constant is None:
                    constant = seen[id(argument)] = len(self.constants)
                    self.constants.append((index, at))
                self.constant_edges.append((index, slot, constant))

    def constant(self, walk: Walk, index: int) -> Tensor | Snapshot | None:
        """Return a constant as the program passed it to the call."""
        node, at = self.constants[index]
        call = walk.calls[node]
        return call.constant(at) if call is not None else None

    def find_origins(self, walk: Walk, saved: Sequence[Any]) -> None:
        """Find which saved tensors are arguments or results of their node's call. Later calls of this method do nothing.

        Later passes take these tensors from the call, and don't read them from the node.
        """
        if self._origins_found:
            return
        self._origins_found = True
        for index, ((node, _), tensor) in enumerate(zip(self.saved, saved, strict=True)):
            call = walk.calls[node]
            found = _same_arguments(tensor, call) if call is not None and isinstance(tensor, Tensor) else []
            if len(found) == 1:
                self.origins[index] = found[0]


def _is_constant(argument: Any, call: Call) -> bool:
    """Return whether an argument is a tensor that requires no gradient.

    The result of an in-place call does not count, although it is also an argument.
    """
    if isinstance(argument, Tensor):
        return not argument.requires_grad and argument is not call.out
    return isinstance(argument, Snapshot) and not argument.traits.requires_grad and argument is not call.out


def _match(
    given: list[tuple[int, Any]], free: list[tuple[int, int]], nodes: Sequence[int]
) -> list[tuple[tuple[int, Any], tuple[int, int]]]:
    """Match a call's constants with the ``free`` slots of its nodes, which have no edge. Return slot -1 for an unknown match.

    If a call makes one node, the node has a slot for each argument, in the same order. A call that makes several nodes
    (``F.linear``) is matched only if it has as many constants as free slots.
    """
    if len(nodes) > 1 and len(given) == len(free):
        return list(zip(given, free, strict=True))
    slots = {slot: (node, slot) for node, slot in free} if len(nodes) == 1 else {}
    return [((at, argument), slots.get(at, (nodes[0], -1))) for at, argument in given]


def int32(values: Sequence[int]) -> bytes:
    """Pack a column of 32-bit integers, little-endian."""
    return struct.pack(f"<{len(values)}i", *values)


def _same_arguments(tensor: Tensor, call: Call) -> list[int]:
    """Return the indices of a call's arguments that are the same view as a tensor.

    The result of the call has index :data:`RESULT`.
    """
    start = data_pointer(tensor)
    if not start:
        return []
    candidates = [(RESULT, call.out), *enumerate(call.arguments)]
    return [
        index
        for index, other in candidates
        if isinstance(other, Tensor) and data_pointer(other) == start and _is_same_view(tensor, other)
    ]


def _is_same_view(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors have the same elements in memory in the same order."""
    return (
        data_pointer(one) == data_pointer(other)
        and not (one.is_nested or other.is_nested)  # nested tensors have no shape to compare
        and one.shape == other.shape
        and one.stride() == other.stride()
        and one.dtype == other.dtype
        and one.is_conj() == other.is_conj()
        and one.is_neg() == other.is_neg()
    )

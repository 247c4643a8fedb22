"""Walk a backward graph and tell its structure: every node and edge, each node with the call that made it.

The walk is iterative, since graphs are deeper than Python's stack. The order is breadth first from the roots, so that
ids are the same in every run of a program.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import wire
from .calls import Call, Calls
from .functions import call_name
from .handles import number
from .names import Names
from .saved import SavedTensors, Slot, slot_name
from .source import Source
from .summary import Snapshot

ACCUMULATE = "AccumulateGrad"


class TooManyNodes(Exception):
    """The graph has more nodes than may be recorded."""


class Walk:
    """A graph as it stands: nodes in breadth-first order, edges as columns of places. Keeping it keeps the graph alive."""

    def __init__(self, roots: Iterable[Any], calls: Calls, limit: int) -> None:
        places: dict[Any, int] = {}
        nodes: list[Any] = []
        for root in roots:
            if root is not None and root not in places:
                places[root] = len(nodes)
                nodes.append(root)
        self.roots = list(range(len(nodes)))
        source: list[int] = []
        slot: list[int] = []
        target: list[int] = []
        inputs: list[int] = []
        at = 0
        while at < len(nodes):
            for place, (node, output) in enumerate(nodes[at].next_functions):
                if node is None:
                    continue
                end = places.get(node)
                if end is None:
                    end = places[node] = len(nodes)
                    nodes.append(node)
                    if end >= limit:
                        raise TooManyNodes
                source.append(at)
                slot.append(place)
                target.append(end)
                inputs.append(output)
            at += 1
        self.nodes = nodes
        self.places = places
        self.source, self.slot, self.target, self.input = source, slot, target, inputs
        self.variables: list[Tensor | None] = [getattr(node, "variable", None) for node in nodes]
        self.numbers = [
            -1 if variable is not None else number(node) for node, variable in zip(nodes, self.variables, strict=True)
        ]
        self.calls: list[Call | None] = [calls.of(seq) if seq >= 0 else None for seq in self.numbers]

    def signature(self, parameters: Sequence[int]) -> tuple[Any, ...]:
        """What tells this structure from every other: equal signatures are one graph."""
        made = tuple(
            (type(node), id(call.code), call.offset, call.module) if call is not None else (type(node),)
            for node, call in zip(self.nodes, self.calls, strict=True)
        )
        ends = (tuple(self.source), tuple(self.slot), tuple(self.target), tuple(self.input))
        return made, ends, tuple(parameters), len(self.roots)

    @property
    def leaves(self) -> list[Tensor]:
        """The tensors that the graph accumulates into."""
        return [variable for variable in self.variables if variable is not None]


class Template:
    """A structure that has been told, and how to read the numbers of a pass that shares it.

    ``constants`` say which argument of which node's call each constant is; ``saved`` where each node's saved tensors are.
    """

    def __init__(self, index: int, walk: Walk, saved: SavedTensors) -> None:
        self.index = index
        self.outputs = [_outputs(node) for node in walk.nodes]
        self.saved: list[list[Slot]] = [saved.slots(node) for node in walk.nodes]
        self.constants: list[tuple[int, int]] = []
        """The node whose call was given the constant, and the place among the call's arguments."""
        self.constant_edges: list[tuple[int, int, int]] = []
        """Source node, slot, and the constant's place in :attr:`constants`."""
        self._find_constants(walk)

    def _find_constants(self, walk: Walk) -> None:
        seen: dict[int, int] = {}
        by_call: dict[int, list[int]] = {}
        for place, call in enumerate(walk.calls):
            if call is not None:
                by_call.setdefault(id(call), []).append(place)
        for places in by_call.values():
            call = walk.calls[places[0]]
            assert call is not None
            given = [
                (at, argument)
                for at, argument in enumerate(call.arguments)
                if argument is not None and argument is not call.out
            ]
            free = [
                (place, slot)
                for place in places
                for slot, (node, _) in enumerate(walk.nodes[place].next_functions)
                if node is None
            ]
            for (at, argument), (place, slot) in _match(given, free, places):
                constant = seen.get(id(argument))
                if constant is None:
                    constant = seen[id(argument)] = len(self.constants)
                    self.constants.append((place, at))
                self.constant_edges.append((place, slot, constant))

    def constant(self, walk: Walk, place: int) -> Tensor | Snapshot | None:
        """A constant as the call was given it."""
        node, at = self.constants[place]
        call = walk.calls[node]
        if call is None or at >= len(call.arguments):
            return None
        found: Tensor | Snapshot | None = call.arguments[at]
        return found


def _match(
    given: list[tuple[int, Any]], free: list[tuple[int, int]], places: Sequence[int]
) -> list[tuple[tuple[int, Any], tuple[int, int]]]:
    """Constants with the places in ``next_functions`` where nothing flows; slot -1 where the place is not known.

    The operands of a call that makes one node stand in the order of its arguments. A call that makes several
    (``F.linear``) is matched only when there are as many constants as free places.
    """
    if len(places) > 1 and len(given) == len(free):
        return list(zip(given, free, strict=True))
    slots = {slot: (place, slot) for place, slot in free} if len(places) == 1 else {}
    return [((at, argument), slots.get(at, (places[0], -1))) for at, argument in given]


_COLUMNS = ("op", "call", "name", "file", "module", "line", "start_column", "end_column", "saved_count", "saved")


def describe(walk: Walk, template: Template, source: Source, names: Names, parameters: Sequence[int]) -> wire.Graph:
    """Tell a structure. ``parameters`` has the parameter of each node, -1 for none."""
    columns: dict[str, list[int]] = {
        name: []
        for name in ("op", "call", "name", "file", "module", "line", "start_column", "end_column", "saved_count", "saved")
    }
    strings: dict[str, int] = {}

    def text(value: str | None) -> int:
        return -1 if value is None else strings.setdefault(value[:300], len(strings))

    def add(op: str, call: str | None, name: str | None, line: int, span: tuple[int, int] | None, module: str) -> None:
        for column, value in (
            ("op", text(op)),
            ("call", text(call)),
            ("name", text(name)),
            ("file", -1),
            ("module", text(module)),
        ):
            columns[column].append(value)
        columns["line"].append(line or -1)
        columns["start_column"].append(span[0] if span else -1)
        columns["end_column"].append(span[1] if span else -1)

    for place, node in enumerate(walk.nodes):
        variable, call = walk.variables[place], walk.calls[place]
        if variable is not None:
            name, line = names.binding(variable)
            add(ACCUMULATE, None, name, line, None, "")
        elif call is not None:
            line, span = source.place(call.code, call.offset) if call.code is not None else (-1, None)
            final = call.name if call.last - 1 == walk.numbers[place] else None
            add(node.name(), call_name(call.function), final, line, span, call.module)
        else:
            add(node.name(), None, None, -1, None, "")
        slots = template.saved[place]
        columns["saved_count"].append(len(slots))
        columns["saved"].extend(text(slot_name(slot)) for slot in slots)
    for place in range(len(template.constants)):
        constant = template.constant(walk, place)
        name, line = names.binding(constant) if isinstance(constant, Tensor) else (None, -1)
        node, at = template.constants[place]
        maker = walk.calls[node]
        if name is None and maker is not None and maker.code is not None and maker.direct:
            method = call_name(maker.function).startswith("torch.Tensor.")
            name = source.operand(maker.code, maker.offset, at, method=method)
        cut = isinstance(constant, Tensor) and names.is_detached(constant)
        add("Constant", "torch.Tensor.detach" if cut else None, name, line, None, "")
        columns["saved_count"].append(0)
    nodes, constants = len(walk.nodes), len(template.constants)
    kinds = [wire.LEAF if variable is not None else wire.OP for variable in walk.variables]
    extra = template.constant_edges
    return wire.Graph(
        index=template.index,
        strings=list(strings),
        kind=bytes(kinds + [wire.CONSTANT] * constants),
        outputs=int32([*template.outputs, *[0] * constants]),
        parameter=int32([*parameters, *[-1] * constants]),
        roots=int32(walk.roots),
        source=int32([*walk.source, *(place for place, _, _ in extra)]),
        slot=int32([*walk.slot, *(slot for _, slot, _ in extra)]),
        target=int32([*walk.target, *(nodes + constant for _, _, constant in extra)]),
        input=int32([*walk.input, *[0] * len(extra)]),
        gradient=bytes([1] * len(walk.source) + [0] * len(extra)),
        **{name: int32(column) for name, column in columns.items()},
    )


def int32(values: Sequence[int]) -> bytes:
    """Pack a column."""
    return struct.pack(f"<{len(values)}i", *values)


def _outputs(node: Any) -> int:
    metadata = getattr(node, "_input_metadata", None)
    return max(len(metadata), 1) if metadata is not None else 1


def grad_node(tensor: Tensor) -> Any:
    """The node at which a tensor's gradient arrives: its grad_fn, or a leaf's AccumulateGrad.

    ``None`` if it needs none, or has none that can be seen from here (a tensor of another level of ``torch.func``).
    """
    if not tensor.requires_grad:
        return None
    try:
        return torch.autograd.graph.get_gradient_edge(tensor).node
    except (RuntimeError, AttributeError):
        return None

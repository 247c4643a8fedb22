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
from .handles import number, pointer
from .names import Names
from .saved import SavedTensors, Slot, slot_name
from .snapshot import Snapshot
from .source import Source

ACCUMULATE = "AccumulateGrad"

UNKNOWN, RESULT = -2, -1
"""Of a saved tensor that has to be asked of its node, and of one that is what the call returned; else an argument's place."""


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
        self.source: list[int] = []
        self.slot: list[int] = []
        self.target: list[int] = []
        self.input: list[int] = []
        self.variables: list[Tensor | None] = []
        """The tensor of each leaf; ``None`` for other nodes."""
        self.numbers: list[int] = []
        self.calls: list[Call | None] = []
        of = calls.of
        made: list[Any] = []
        for at, node in enumerate(nodes):  # which grows as it is walked
            for slot, (following, output) in enumerate(node.next_functions):
                if following is None:
                    continue
                end = places.get(following)
                if end is None:
                    end = places[following] = len(nodes)
                    nodes.append(following)
                    if end >= limit:
                        raise TooManyNodes
                self.source.append(at)
                self.slot.append(slot)
                self.target.append(end)
                self.input.append(output)
            kind = type(node)
            made.append(kind)
            if kind.__name__ == ACCUMULATE:
                self.variables.append(node.variable)
                self.numbers.append(-1)
                self.calls.append(None)
            else:
                seq = number(node)
                call = of(seq)
                self.variables.append(None)
                self.numbers.append(seq)
                self.calls.append(call)
                made.append(call and call.site)
        self.nodes = nodes
        self.places = places
        self._made = made

    def signature(self, parameters: Sequence[int]) -> tuple[Any, ...]:
        """What tells this structure from every other: equal signatures are one graph."""
        ends = (tuple(self.source), tuple(self.slot), tuple(self.target), tuple(self.input))
        return tuple(self._made), ends, tuple(parameters), len(self.roots)

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
        self.origins = [[UNKNOWN] * len(slots) for slots in self.saved]
        """Where else each saved tensor is found: among its node's call's arguments, or as what that returned."""
        self._settled = False
        self.constants: list[tuple[int, int]] = []
        """The node whose call was given the constant, and the place among the call's arguments."""
        self.constant_edges: list[tuple[int, int, int]] = []
        """Source node, slot, and the constant's place in :attr:`constants`."""
        self._find_constants(walk)
        self._columns: tuple[list[int], ...] = ()
        self._packed: list[bytes] = []

    def packed(self, columns: tuple[list[int], ...]) -> list[bytes]:
        """Columns of a pass, as they cross the wire: most often the very same as those of the pass before."""
        if columns != self._columns:
            self._columns = columns
            self._packed = [int32(column) for column in columns]
        return self._packed

    def _find_constants(self, walk: Walk) -> None:
        seen: dict[int, int] = {}
        by_call: dict[int, list[int]] = {}
        for place, call in enumerate(walk.calls):
            if call is not None:
                by_call.setdefault(id(call), []).append(place)
        for places in by_call.values():
            call = walk.calls[places[0]]
            assert call is not None
            constants = [(at, call.constant(at)) for at in range(len(call.arguments))]
            given = [(at, argument) for at, argument in constants if argument is not None and argument is not call.out]
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
        return call.constant(at) if call is not None else None

    def find_origins(self, walk: Walk, saved: Sequence[Any]) -> None:
        """Note, the first time, which saved tensors are arguments of their node's call: these need not be asked again.

        A node saves what its formula needs: the same argument in every pass, if it can be none but that one.
        """
        if self._settled:
            return
        self._settled = True
        tensors = iter(saved)
        for call, origins in zip(walk.calls, self.origins, strict=True):
            for place in range(len(origins)):
                tensor = next(tensors)
                found = _alike(tensor, call) if call is not None and isinstance(tensor, Tensor) else []
                if len(found) == 1:
                    origins[place] = found[0]


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
            site = call.site
            line, span = source.place(site.code, site.offset) if site.code is not None else (-1, None)
            final = call.name if call.last - 1 == walk.numbers[place] else None
            add(node.name(), call_name(call.function), final, line, span, site.module)
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
        if name is None and maker is not None and maker.site.code is not None and maker.direct:
            method = call_name(maker.function).startswith("torch.Tensor.")
            name = source.operand(maker.site.code, maker.site.offset, at, method=method)
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


def _alike(tensor: Tensor, call: Call) -> list[int]:
    """The arguments of a call, and its result, that are the same elements in the same order as a tensor."""
    if not pointer(tensor):
        return []
    candidates = [(RESULT, call.out), *enumerate(call.arguments)]
    return [place for place, other in candidates if isinstance(other, Tensor) and same_view(tensor, other)]


def same_view(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are the same elements in memory in the same order."""
    if one.is_nested or other.is_nested:  # these have no shape to compare
        return False
    return (
        pointer(one) == pointer(other)
        and one.shape == other.shape
        and one.stride() == other.stride()
        and one.dtype == other.dtype
        and one.is_conj() == other.is_conj()
        and one.is_neg() == other.is_neg()
    )


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
    except (RuntimeError, AttributeError, AssertionError):
        return None

"""Walk a backward graph and tell its structure: every node and edge, each node with the call that made it.

The walk is iterative, since graphs are deeper than Python's stack. The order is breadth first from the roots, so that
ids are the same in every run of a program.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ... import wire
from ..forward.calls import Call, Calls
from ..forward.functions import call_name
from ..source.instrument import ProgramSource
from ..source.names import Names
from ..tensors.handles import data_pointer, sequence_nr
from ..tensors.snapshot import Snapshot, grad_fn_of
from .saved_tensors import SavedTensors, Slot, slot_name

ACCUMULATE = "AccumulateGrad"
_FunctionBase: Any = torch._C._FunctionBase
AccumulateGrad: Any = torch._C._functions.AccumulateGrad  # type: ignore[attr-defined]

UNKNOWN, RESULT = -2, -1
"""Of a saved tensor that has to be asked of its node, and of one that is what the call returned; else an argument's place."""


class TooManyNodes(Exception):
    """The graph has more nodes than may be recorded."""


class Walk:
    """A graph as it stands: nodes in breadth-first order, and what tells its structure. Keeping it keeps the graph alive."""

    def __init__(self, roots: Iterable[Any], calls: Calls, limit: int) -> None:
        places: dict[Any, int] = {}
        nodes: list[Any] = []
        for root in roots:
            if root is not None and root not in places:
                places[root] = len(nodes)
                nodes.append(root)
        self.nodes = nodes
        self.places = places
        self.roots = range(len(nodes))
        self.leaves: list[tuple[int, Tensor]] = []
        """The leaves that the graph accumulates into, each with the place of its node."""
        self.numbers: list[int] = []
        self.calls: list[Call | None] = []
        self._made: list[Any] = []
        """For each node its type, the ends of its edges with the outputs that they are for, and whence it comes."""
        of = calls.of
        made, numbers, called = self._made, self.numbers, self.calls
        for at, node in enumerate(nodes):  # which grows as it is walked
            kind = type(node)
            made.append(kind)
            for following, output in node.next_functions:
                if following is None:
                    made.append(None)
                    continue
                end = places.get(following)
                if end is None:
                    end = places[following] = len(nodes)
                    nodes.append(following)
                    if end >= limit:
                        raise TooManyNodes
                made.append(end)
                made.append(output)
            if kind is AccumulateGrad:
                self.leaves.append((at, node.variable))
                numbers.append(-1)
                called.append(None)
            else:
                seq = sequence_nr(node)
                numbers.append(seq)
                call = of(seq)
                called.append(call)
                if call is None:
                    made.append(None)
                else:
                    made.append(call.site)
                    if call.backward_of is not None:
                        made.append(call.backward_of)

    def signature(self, parameters: Iterable[int]) -> tuple[Any, ...]:
        """What tells this structure from every other, with the ``parameters`` of its leaves: equal ones are one graph."""
        return (len(self.roots), *self._made, *parameters)

    def edges(self) -> Iterator[tuple[int, int, int, int]]:
        """Source, slot, target and input of each edge."""
        for at, node in enumerate(self.nodes):
            for slot, (following, output) in enumerate(node.next_functions):
                if following is not None:
                    yield at, slot, self.places[following], output


class Template:
    """A structure that has been told, and how to read the numbers of a pass that shares it.

    ``constants`` say which argument of which node's call each constant is; ``saved`` where each node's saved tensors are.
    ``edges`` are columns of places: source, slot, target and input. ``lines`` are those that made the graph, ``root_line``
    the one that made its first root.
    """

    def __init__(self, index: int, walk: Walk, saved: SavedTensors, parameters: Sequence[int], source: ProgramSource) -> None:
        self.index = index
        self.outputs = [_outputs(node) for node in walk.nodes]
        self.saved: list[tuple[int, Slot]] = [
            (place, slot) for place, node in enumerate(walk.nodes) for slot in saved.slots(node)
        ]
        """The saved tensors, each with the place of its node."""
        self.origins = [UNKNOWN] * len(self.saved)
        """Where else each saved tensor is found: among its node's call's arguments, or as what that returned."""
        self._settled = False
        edges = list(walk.edges())
        self.edges = tuple([edge[column] for edge in edges] for column in range(4))
        self.own = any(isinstance(node, _FunctionBase) for node in walk.nodes)
        """Whether code of the program's own, or at least in Python, is one of its formulas."""
        self.parameters = list(parameters)
        """The parameter of each leaf."""
        self.constants: list[tuple[int, int]] = []
        """The node whose call was given the constant, and the place among the call's arguments."""
        self.constant_edges: list[tuple[int, int, int]] = []
        """Source node, slot, and the constant's place in :attr:`constants`."""
        self._find_constants(walk)
        sites = {call.site for call in walk.calls if call is not None}
        lines = {site: source.locate(site.code, site.offset)[0] for site in sites if site.code is not None}
        self.lines = frozenset(lines.values()) - {0}
        root = walk.calls[0]
        self.root_line = (lines.get(root.site, 0) if root is not None else 0) or -1
        self._columns: list[int] = []
        self._order: list[int] = []
        self._packed: list[bytes] = []

    def packed(self, order: list[int], columns: list[int], ends: Sequence[int]) -> list[bytes]:
        """A pass's order, and its other columns one after another (each up to one of ``ends``), as they cross the wire.

        Most often they are the very same as those of the pass before.
        """
        if columns != self._columns or order != self._order:
            self._columns, self._order = columns, order
            starts = (0, *ends)
            self._packed = [int32(order), *(int32(columns[start:end]) for start, end in zip(starts, ends, strict=False))]
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
            given = [(at, argument) for at, argument in enumerate(call.arguments) if _is_constant(argument, call)]
            if not given:
                continue
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
        for at, ((place, _), tensor) in enumerate(zip(self.saved, saved, strict=True)):
            call = walk.calls[place]
            found = _alike(tensor, call) if call is not None and isinstance(tensor, Tensor) else []
            if len(found) == 1:
                self.origins[at] = found[0]


def _is_constant(argument: Any, call: Call) -> bool:
    """Whether what a call was given is a tensor to which no gradient flows, and none that the call wrote to."""
    if isinstance(argument, Tensor):
        return not argument.requires_grad and argument is not call.out
    return isinstance(argument, Snapshot) and not argument.traits.requires_grad and argument is not call.out


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


def describe(walk: Walk, template: Template, source: ProgramSource, names: Names) -> wire.GraphEvent:
    """Tell a structure."""
    strings: dict[str, int] = {}
    rows: list[tuple[int, ...]] = []
    named: list[int] = []
    made_alike: dict[tuple[Any, ...], tuple[int, ...]] = {}

    def text(value: str | None) -> int:
        return -1 if value is None else strings.setdefault(value[:300], len(strings))

    def numbered(op: str, call: str | None, line: int, span: tuple[int, int] | None, module: str) -> tuple[int, ...]:
        start, end = span or (-1, -1)
        return text(op), text(call), text(module), line or -1, start, end

    leaves = dict(walk.leaves)
    slots = {slot: text(slot_name(slot)) for slot in dict.fromkeys(slot for _, slot in template.saved)}
    for place, (node, call, seq) in enumerate(zip(walk.nodes, walk.calls, walk.numbers, strict=True)):
        variable = leaves.get(place)
        name = None
        if variable is not None:
            name, line = names.binding(variable)
            row = numbered(ACCUMULATE, None, line, None, "")
        elif call is not None:
            site = call.site
            key = (node.name(), call.function, site)
            known = made_alike.get(key)
            if known is None:
                line, span = source.locate(site.code, site.offset) if site.code is not None else (-1, None)
                known = made_alike[key] = numbered(node.name(), call_name(call.function), line, span, site.module)
            row = known
            name = call.name if call.last - 1 == seq else None
        else:
            row = numbered(node.name(), None, -1, None, "")
        rows.append(row)
        named.append(text(name))
    for place in range(len(template.constants)):
        constant = template.constant(walk, place)
        name, line = names.binding(constant) if isinstance(constant, Tensor) else (None, -1)
        maker_at, at = template.constants[place]
        maker = walk.calls[maker_at]
        if name is None and maker is not None and maker.site.code is not None and maker.direct:
            method = call_name(maker.function).startswith("torch.Tensor.")
            name = source.operand(maker.site.code, maker.site.offset, at, method=method)
        cut = isinstance(constant, Tensor) and names.is_detached(constant)
        rows.append(numbered("Constant", "torch.Tensor.detach" if cut else None, line, None, ""))
        named.append(text(name))
    op, called, module, lines, starts, ends = zip(*rows, strict=True)
    nodes, constants = len(walk.nodes), len(template.constants)
    kinds = [wire.LEAF if place in leaves else wire.OP for place in range(nodes)]
    saved_count, parameters = [0] * (nodes + constants), [-1] * (nodes + constants)
    for place, _ in template.saved:
        saved_count[place] += 1
    for (place, _), parameter in zip(walk.leaves, template.parameters, strict=True):
        parameters[place] = parameter
    formulas = [(call and call.backward_of) or (-1, -1) for call in walk.calls] + [(-1, -1)] * constants
    source_, slot_, target, input_ = template.edges
    extra = template.constant_edges
    return wire.GraphEvent(
        index=template.index,
        strings=list(strings),
        kind=bytes(kinds + [wire.CONSTANT] * constants),
        op=int32(op),
        call=int32(called),
        name=int32(named),
        file=int32([-1] * len(rows)),
        module=int32(module),
        line=int32(lines),
        start_column=int32(starts),
        end_column=int32(ends),
        outputs=int32([*template.outputs, *[0] * constants]),
        parameter=int32(parameters),
        saved_count=int32(saved_count),
        saved=int32([slots[slot] for _, slot in template.saved]),
        roots=int32(walk.roots),
        source=int32([*source_, *(place for place, _, _ in extra)]),
        slot=int32([*slot_, *(slot for _, slot, _ in extra)]),
        target=int32([*target, *(nodes + constant for _, _, constant in extra)]),
        input=int32([*input_, *[0] * len(extra)]),
        gradient=bytes([1] * len(source_) + [0] * len(extra)),
        formula_graph=int32([graph for graph, _ in formulas]),
        formula_node=int32([node for _, node in formulas]),
    )


def int32(values: Sequence[int]) -> bytes:
    """Pack a column."""
    return struct.pack(f"<{len(values)}i", *values)


def _alike(tensor: Tensor, call: Call) -> list[int]:
    """The arguments of a call, and its result, that are the same elements in the same order as a tensor."""
    start = data_pointer(tensor)
    if not start:
        return []
    candidates = [(RESULT, call.out), *enumerate(call.arguments)]
    return [
        place
        for place, other in candidates
        if isinstance(other, Tensor) and data_pointer(other) == start and same_view(tensor, other)
    ]


def same_view(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are the same elements in memory in the same order."""
    return (
        data_pointer(one) == data_pointer(other)
        and not (one.is_nested or other.is_nested)  # these have no shape to compare
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
    node = grad_fn_of(tensor)
    if node is not None or not tensor.requires_grad:
        return node
    try:
        return torch.autograd.graph.get_gradient_edge(tensor).node
    except (RuntimeError, AttributeError, AssertionError):
        return None

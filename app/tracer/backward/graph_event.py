"""Build the event of a graph's structure: its nodes with names and lines, its constants and its edges.

A large graph has many nodes but few lines. Nodes with the same operation and line share a row, which is made only once. The
columns are built from these rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

import torch
from torch import Tensor

from ... import wire
from ..forward.call_frames import CallFrames
from ..forward.calls import CallSite
from ..forward.functions import call_name
from ..source.instrument import ProgramSource
from ..source.names import Names
from ..tensors.handles import sequence_nr
from .frame_columns import frame_columns
from .graph import Walk
from .saved_tensors import slot_name
from .template import Template, int32

_ACCUMULATE: Final = "AccumulateGrad"
_FunctionBase: Any = torch._C._FunctionBase
_names_of_kinds: dict[type, str] = {}
"""The name of the operation, by node type. Types that are used for several operations are missing."""


def describe(walk: Walk, template: Template, source: ProgramSource, names: Names, frames: CallFrames) -> wire.GraphEvent:
    """Return the event of a graph's structure."""
    described = _Description(source)
    text = described.text
    saved, saved_count = _saved_names(template, described)
    nodes, constants = len(walk.nodes), len(template.constants)
    which = described.rows_of_operations(walk)
    named = _names_of_results(walk)
    for index, leaf in walk.leaves:
        named[index], line = names.binding(leaf)
        which[index] = described.add(_ACCUMULATE, line=line, origin=names.origin(leaf))
    for index in range(constants):
        constant = template.constant(walk, index)
        name, line, detached = None, -1, False
        if isinstance(constant, Tensor):
            name, line = names.binding(constant)
            detached = names.is_detached(constant)
        which.append(described.add("Constant", "torch.Tensor.detach" if detached else None, line=line))
        named.append(_operand(walk, template, index, source) if name is None else name)
    kinds = bytearray([wire.OP]) * nodes + bytes([wire.CONSTANT]) * constants
    parameters = [-1] * (nodes + constants)
    for (index, _), parameter in zip(walk.leaves, template.parameters, strict=True):
        kinds[index] = wire.LEAF
        parameters[index] = parameter
    frame_of_nodes = frame_columns(walk, frames, text, constants)
    source_, slot_, target, input_ = template.edges
    extra = template.constant_edges
    return wire.GraphEvent(
        index=template.index,
        kind=bytes(kinds),
        name=int32([-1 if name is None else text(name) for name in named]),
        file=_none(nodes + constants),
        outputs=int32([*template.outputs, *[0] * constants]),
        parameter=int32(parameters),
        saved_count=int32([*saved_count, *[0] * constants]),
        saved=int32(saved),
        roots=int32(walk.roots),
        source=int32([*source_, *(index for index, _, _ in extra)]),
        slot=int32([*slot_, *(slot for _, slot, _ in extra)]),
        target=int32([*target, *(nodes + constant for _, _, constant in extra)]),
        input=int32([*input_, *[0] * len(extra)]),
        gradient=bytes([1] * len(source_) + [0] * len(extra)),
        strings=list(described.strings),  # last, because building the columns adds strings
        **_formulas(walk, constants),
        **described.columns(which),
        **frame_of_nodes,
    )


class _Description:
    """The strings and the distinct rows of a graph's nodes: operation, call, module, line, columns and origin."""

    def __init__(self, source: ProgramSource) -> None:
        self.strings: dict[str, int] = {}
        self._source = source
        self._rows: list[tuple[int, ...]] = []
        self._any_origin = False

    def text(self, value: str | None) -> int:
        """Return the index of a string, or -1 for ``None``."""
        return -1 if value is None else self.strings.setdefault(value[:300], len(self.strings))

    def add(
        self,
        op: str,
        call: str | None = None,
        *,
        module: str = "",
        line: int = -1,
        columns: tuple[int, int] | None = None,
        origin: wire.OriginRow | None = None,
    ) -> int:
        """Add a row and return its index."""
        self._any_origin |= origin is not None
        file, file_line = (-1, -1) if origin is None else (origin.file, origin.line)
        texts = self.text(op), self.text(call), self.text(module)
        self._rows.append((*texts, line or -1, *(columns or (-1, -1)), file, file_line))
        return len(self._rows) - 1

    def rows_of_operations(self, walk: Walk) -> list[int]:
        """Return the row of each node of a walk. Nodes of one operation, function and site share a row."""
        functions = [None if call is None else call.function for call in walk.calls]
        indexes: dict[tuple[str, Any, CallSite | None], int] = {}
        keys = zip(_operations(walk), functions, walk.sites, strict=True)
        which = [indexes.setdefault(key, len(indexes)) for key in keys]
        for key in indexes:
            self._add_operation(*key)
        return which

    def _add_operation(self, op: str, function: Any, site: CallSite | None) -> None:
        if site is None:
            self.add(op)
            return
        line, columns = self._source.locate(site.code, site.offset) if site.code is not None else (-1, None)
        origin = self._source.own.origin(site.inner)
        self.add(op, call_name(function), module=site.module, line=line, columns=columns, origin=origin)

    def columns(self, which: Sequence[int]) -> dict[str, bytes]:
        """Return the columns of a :class:`wire.GraphEvent` for nodes that have these rows."""
        columns = zip(*map(self._rows.__getitem__, which), strict=True)
        names = "op", "call", "module", "line", "start_column", "end_column", "origin_file", "origin_line"
        return {name: int32(column) for name, column in zip(names if self._any_origin else names[:-2], columns, strict=False)}


def _none(count: int) -> bytes:
    """Return a column of ``count`` entries that are all -1."""
    return b"\xff\xff\xff\xff" * count


def _formulas(walk: Walk, constants: int) -> dict[str, bytes]:
    """Return the columns ``formula_graph`` and ``formula_node``."""
    if not any(walk.formulas):
        none = _none(len(walk.nodes) + constants)
        return {"formula_graph": none, "formula_node": none}
    graphs, nodes = zip(*(formula or (-1, -1) for formula in walk.formulas), strict=True)
    return {"formula_graph": int32([*graphs, *[-1] * constants]), "formula_node": int32([*nodes, *[-1] * constants])}


def _saved_names(template: Template, described: _Description) -> tuple[list[int], list[int]]:
    """Return the names of all saved tensors, as indices of strings, and the number of saved tensors of each node."""
    ids = list(map(id, template.slots))  # nodes of a type share one list
    distinct = dict(zip(ids, template.slots, strict=True))
    names = {key: [described.text(slot_name(slot)) for slot in slots] for key, slots in distinct.items()}
    return list(chain.from_iterable(map(names.__getitem__, ids))), list(map(len, template.slots))


def _names_of_results(walk: Walk) -> list[str | None]:
    """Return for each node the variable that the result it made was assigned to; ``None`` if it made no result of a call."""
    found: list[str | None] = []
    for node, call, number in zip(walk.nodes, walk.calls, walk.numbers, strict=True):
        if call is None or (call.name is None and call.parts is None):
            found.append(None)
            continue
        seq = number if number >= 0 else sequence_nr(node)
        found.append(call.name if call.result == seq else (call.parts or {}).get(seq))
    return found


def _operand(walk: Walk, template: Template, constant: int, source: ProgramSource) -> str | None:
    """Return a constant as the program writes it; ``None`` if the program did not itself make the call that takes it."""
    node, argument = template.constants[constant]
    maker = walk.calls[node]
    if maker is None or maker.site.code is None or not maker.direct:
        return None
    method = call_name(maker.function).startswith("torch.Tensor.")
    return source.operand(maker.site.code, maker.site.offset, argument, method=method)


def _operations(walk: Walk) -> list[str]:
    """Return the name of each node's operation as ``grad_fn`` shows it, without the C++ namespace that some names have."""
    known = list(map(_names_of_kinds.get, walk.kinds))
    return [_operation(node) if name is None else name for node, name in zip(walk.nodes, known, strict=True)]


def _operation(node: Any) -> str:
    name: str = node.name()
    name = name.removeprefix("torch::autograd::")
    if type(node).__name__ == name and not isinstance(node, _FunctionBase):
        _names_of_kinds[type(node)] = name  # other types, such as those of C++ extensions, are used for several operations
    return name

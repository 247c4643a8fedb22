"""Build the event of a graph's structure: its nodes with names and lines, its constants and its edges."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ... import wire
from ..forward.call_frames import CallFrames
from ..forward.functions import call_name
from ..source.instrument import ProgramSource
from ..source.names import Names
from ..tensors.handles import sequence_nr
from .frame_columns import frame_columns
from .graph import Walk
from .saved_tensors import slot_name
from .template import Template, int32

_ACCUMULATE = "AccumulateGrad"


def describe(walk: Walk, template: Template, source: ProgramSource, names: Names, frames: CallFrames) -> wire.GraphEvent:
    """Return the event of a graph's structure."""
    strings: dict[str, int] = {}
    rows: list[tuple[int, ...]] = []
    origins: list[wire.OriginRow | None] = []
    named: list[int] = []
    rows_by_site: dict[tuple[Any, ...], tuple[int, ...]] = {}

    def text(value: str | None) -> int:
        return -1 if value is None else strings.setdefault(value[:300], len(strings))

    def row_of(op: str, call: str | None, line: int, columns: tuple[int, int] | None, module: str) -> tuple[int, ...]:
        start, end = columns or (-1, -1)
        return text(op), text(call), text(module), line or -1, start, end

    leaves = dict(walk.leaves)
    slots = {slot: text(slot_name(slot)) for slot in dict.fromkeys(slot for _, slot in template.saved)}
    for index, (node, call, seq) in enumerate(zip(walk.nodes, walk.calls, walk.numbers, strict=True)):
        variable = leaves.get(index)
        name = None
        if variable is not None:
            name, line = names.binding(variable)
            origin = names.origin(variable)
            row = row_of(_ACCUMULATE, None, line, None, "")
        elif call is not None:
            site = call.site
            made = _op(node)
            key = (made, call.function, site)
            cached = rows_by_site.get(key)
            if cached is None:
                line, columns = source.locate(site.code, site.offset) if site.code is not None else (-1, None)
                cached = rows_by_site[key] = row_of(made, call_name(call.function), line, columns, site.module)
            row = cached
            name = call.name if call.result == (seq if seq >= 0 else sequence_nr(node)) else None
            origin = source.own.origin(site.inner)
        else:
            origin = None
            row = row_of(_op(node), None, -1, None, "")
        rows.append(row)
        origins.append(origin)
        named.append(text(name))
    for index in range(len(template.constants)):
        constant = template.constant(walk, index)
        name, line = names.binding(constant) if isinstance(constant, Tensor) else (None, -1)
        node_index, argument = template.constants[index]
        maker = walk.calls[node_index]
        if name is None and maker is not None and maker.site.code is not None and maker.direct:
            method = call_name(maker.function).startswith("torch.Tensor.")
            name = source.operand(maker.site.code, maker.site.offset, argument, method=method)
        detached = isinstance(constant, Tensor) and names.is_detached(constant)
        origins.append(None)
        rows.append(row_of("Constant", "torch.Tensor.detach" if detached else None, line, None, ""))
        named.append(text(name))
    op, called, module, lines, starts, ends = zip(*rows, strict=True)
    nodes, constants = len(walk.nodes), len(template.constants)
    kinds = [wire.LEAF if index in leaves else wire.OP for index in range(nodes)]
    saved_count, parameters = [0] * (nodes + constants), [-1] * (nodes + constants)
    for index, _ in template.saved:
        saved_count[index] += 1
    for (index, _), parameter in zip(walk.leaves, template.parameters, strict=True):
        parameters[index] = parameter
    formulas = [(call and call.backward_of) or (-1, -1) for call in walk.calls] + [(-1, -1)] * constants
    frame_of_nodes = frame_columns(walk, frames, text, constants)
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
        source=int32([*source_, *(index for index, _, _ in extra)]),
        slot=int32([*slot_, *(slot for _, slot, _ in extra)]),
        target=int32([*target, *(nodes + constant for _, _, constant in extra)]),
        input=int32([*input_, *[0] * len(extra)]),
        gradient=bytes([1] * len(source_) + [0] * len(extra)),
        formula_graph=int32([graph for graph, _ in formulas]),
        formula_node=int32([node for _, node in formulas]),
        origin_file=int32([-1 if origin is None else origin.file for origin in origins]) if any(origins) else b"",
        origin_line=int32([-1 if origin is None else origin.line for origin in origins]) if any(origins) else b"",
        **frame_of_nodes,
    )


def _op(node: Any) -> str:
    """Return the name of a node's operation as ``grad_fn`` shows it, without the namespace that some have in C++."""
    name: str = node.name()
    return name.removeprefix("torch::autograd::")

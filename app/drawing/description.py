"""Describe a pass as plain text, node by node: for the terminal, for ``.txt`` pictures and for tests.

The same recording always gives the same text, with the ids of the recording. Numbers have four decimals and an ASCII minus.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..model import Node
from ..recording import PassNumbers
from . import labels, numerals
from .sheet import Sheet


def describe(sheet: Sheet) -> str:
    """Return the text description of a pass, or of the structure alone if there are no numbers. It ends with a newline."""
    return "\n".join(_lines(sheet, labels.ProgramText(sheet.program))) + "\n"


def _lines(sheet: Sheet, program: labels.ProgramText) -> Iterator[str]:
    graph, numbers = sheet.graph, sheet.numbers
    size = labels.graph_size(graph)
    name = labels.graph_title(graph, program)
    indices = {node.id: index for index, node in enumerate(graph.nodes)}
    if numbers is None:
        yield f"graph {graph.id} of {name}: {size}. No backward pass is shown, so there are no gradients."
        order = list(range(len(graph.nodes)))
    else:
        event = numbers.event
        yield f"step {event.step}, pass {event.index}: {labels.pass_title(numbers)}, from {name}"
        for root in graph.roots:
            value = numbers.value(indices[root])
            if value is not None:
                yield f"{program.title(graph.nodes[indices[root]])}: {numerals.in_words(value)}"
        yield f"graph {graph.id}: {size}"
        order = np.frombuffer(event.order, "<i4").tolist()
    outgoing: dict[str, list[int]] = {}
    for edge_index, edge in enumerate(graph.edges):
        outgoing.setdefault(edge.source, []).append(edge_index)
    arriving = labels.gradients_per_output(graph.edges)
    ran = [index for index in dict.fromkeys(order) if graph.nodes[index].kind == "op"]
    has_run = set(ran)
    idle = [index for index, node in enumerate(graph.nodes) if node.kind == "op" and index not in has_run]
    for index in (*ran, *idle):
        node = graph.nodes[index]
        yield ""
        yield _heading(node, program) + (_why_idle(index, numbers) if numbers is not None and index not in has_run else "")
        yield from _numbers(node, index, sheet, arriving)
        for edge_index in outgoing.get(node.id, ()):
            edge = graph.edges[edge_index]
            target = graph.nodes[indices[edge.target]]
            title = labels.clean(target.name or program.title(target), 60)
            output = f", output {edge.input}" if target.outputs > 1 else ""
            if not edge.gradient:
                yield f"  .. {edge.target} {title}: needs no gradient"
            elif numbers is None:
                yield f"  -> {edge.target} {title}{output}"
            else:
                yield f"  -> {edge.target} {title}{output}: {numerals.in_words(numbers.edge(edge_index))}"
    for kind, heading in (("leaf", "leaves"), ("constant", "constants")):
        of_kind = [index for index, node in enumerate(graph.nodes) if node.kind == kind]
        if of_kind:
            yield ""
            yield heading
        for index in of_kind:
            node = graph.nodes[index]
            yield f"  {_heading(node, program)}"
            for line in _numbers(node, index, sheet, arriving):
                yield f"  {line}"


def _why_idle(index: int, numbers: PassNumbers) -> str:
    return "  (raised an error: the pass stopped here)" if index == numbers.event.failed else "  (did not run in this pass)"


def _heading(node: Node, program: labels.ProgramText) -> str:
    title, subtitle, location = program.title(node), labels.subtitle(node), labels.location(node)
    parts = [f"{node.id}  {title}"]
    if node.kind == "op" and subtitle != title:
        parts.append(subtitle)
    if location:
        parts.append(location)
    if node.backward_of is not None:
        parts.append(f"from {node.backward_of.node.id} in {node.backward_of.graph}")
    return "  ".join(parts)


def _numbers(node: Node, index: int, sheet: Sheet, arriving: dict[tuple[str, int], int]) -> Iterator[str]:
    numbers = sheet.numbers
    value = sheet.values.get(index) if numbers is None else numbers.value(index)
    if value is not None:
        yield f"  value {numerals.in_words(value)}  {numerals.described(value)}"
    if numbers is None or node.kind == "constant":
        return
    label = labels.gradient_label(node, numbers.event.kind)
    for output in range(node.outputs):
        arrived, used = numbers.arrived(index, output), numbers.used(index, output)
        of_output = f" of output {output}" if node.outputs > 1 else ""
        count = arriving.get((node.id, output), 0)
        total = f"  (sum of {count})" if count > 1 else ""
        yield f"  {label}{of_output} {numerals.in_words(arrived)}{total}"
        if used is not None and used != arrived:
            yield f"  {label}{of_output} after hooks {numerals.in_words(used)}"

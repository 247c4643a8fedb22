"""Recognize a softmax or sigmoid that a program writes out with ``exp`` or ``tanh``."""

from __future__ import annotations

from typing import Final, Literal

from .passes import GraphOfPass

NEAR: Final = 8
"""Largest number of nodes between the result of a function and its ``exp`` or ``tanh``."""
_SCALING: Final = ("Mul", "Div", "Add", "Sub", "Rsub", "Neg", "Reciprocal", "Clamp")
"""Element-wise operations of a sigmoid that is written out."""


def written_out(graph: GraphOfPass, index: int) -> Literal["softmax", "sigmoid"] | None:
    """Return the function that a node and the nodes below it write out, ``None`` if they are neither function.

    It recognizes quotients of ``exp`` and its sum, and ``exp`` of a log-softmax. It recognizes three forms of a sigmoid:
    ``1 / (1 + exp(-z))``, ``exp(z) / (1 + exp(z))`` and ``(tanh(z / 2) + 1) / 2``. All elements of the result must be between
    0 and 1.
    """
    value = graph.numbers.value(index)
    if value is None or not isinstance(value.min, float | int) or not isinstance(value.max, float | int):
        return None
    if value.min < 0 or value.max > 1 or value.min == value.max:
        return None
    if _is_softmax(graph, index):
        return "softmax"
    return "sigmoid" if _is_sigmoid(graph, index) else None


def _is_softmax(graph: GraphOfPass, index: int) -> bool:
    op, inputs = graph.nodes[index].op, [graph.below_views(each) for each in graph.inputs(index)]
    if op.startswith("Exp"):
        below = [graph.nodes[each] for at in inputs for each in (at, *map(graph.below_views, graph.inputs(at)))]
        return below[0].op.startswith("LogSoftmax") or (
            below[0].op.startswith("Sub") and any(each.op.startswith("Logsumexp") for each in below[1:])
        )
    if len(inputs) != 2 or not op.startswith(("Div", "Mul")):
        return False
    exponential, total = inputs
    if op.startswith("Mul"):
        if not graph.nodes[total].op.startswith("Reciprocal"):
            return False
        total = next(map(graph.below_views, graph.inputs(total)), total)
    while graph.nodes[total].op.startswith(("Add", "Clamp")) and len(graph.inputs(total)) == 1:
        total = graph.below_views(graph.inputs(total)[0])
    if not graph.nodes[total].op.startswith("Sum") or not graph.nodes[exponential].op.startswith("Exp"):
        return False
    summed = next(map(graph.below_views, graph.inputs(total)), total)
    same = graph.nodes[summed].op.startswith("Exp") and graph.inputs(summed) == graph.inputs(exponential)
    return summed == exponential or same  # the program may compute ``exp`` twice


def _is_sigmoid(graph: GraphOfPass, index: int) -> bool:
    """Return whether all paths of scaling operations lead down to ``exp`` of one tensor, with a division, or to ``tanh``."""
    waiting, seen = [index], set[int]()
    functions: set[int] = set()
    divides = False
    while waiting and len(seen) < NEAR:
        at = graph.below_views(waiting.pop())
        node = graph.nodes[at]
        if at in seen:
            continue
        seen.add(at)
        if node.op.startswith(("Exp", "Tanh")):
            functions.add(at)
        elif node.kind == "op" and node.op.startswith(_SCALING):
            inputs = graph.inputs(at)
            divides = divides or node.op.startswith("Reciprocal") or (node.op.startswith("Div") and len(inputs) == 2)
            waiting += inputs
        elif node.kind != "constant" or not _is_number(graph, at):
            return False
    arguments = {tuple(map(graph.below_views, graph.inputs(each))) for each in functions}
    if waiting or len(arguments) != 1:
        return False
    return divides or all(graph.nodes[each].op.startswith("Tanh") for each in functions)


def _is_number(graph: GraphOfPass, index: int) -> bool:
    """Return whether a constant is a single number, as in ``torch.ones(1) / (1 + e)``."""
    value = graph.numbers.value(index)
    return value is not None and value.min == value.max

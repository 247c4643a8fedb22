"""Run a call three times and compare: unrecorded, unrecorded with an independent observer, and recorded."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from tapedeck import model
from torch import Tensor

from ..tracer.graph_truth import Gradients, failures, paired, untied
from ..tracer.independent_observer import Bits, bits
from ..tracer.run_twice import Outcome, recorded, unrecorded
from .operator_samples import CALL, MODULE, PREPARATION, TOTAL, Sampled, leaves

VALUES = 1024
"""The number of elements up to which every element is compared."""

OPAQUE: Bits = ("opaque", (), b"")
"""A gradient whose elements the observer cannot read."""


@dataclass
class Comparison:
    """The number of comparisons and the failures; ``refused`` is PyTorch's error message if it refuses the call."""

    nodes: int = 0
    gradients: int = 0
    refused: str = ""
    repeatable: bool = True
    wrong: list[str] = field(default_factory=list)


class IndependentObserver:
    """Records the gradients of a backward pass with separate hooks, independent of the recorder's."""

    def __init__(self) -> None:
        self.used: dict[Any, list[Bits]] = {}
        self.edges: dict[Any, list[Bits]] = {}

    def watch(self, loss: Tensor) -> None:
        """Register hooks on all nodes below a loss."""
        waiting, seen = [loss.grad_fn], {loss.grad_fn}
        while waiting:
            node: Any = waiting.pop()
            node.register_prehook(lambda gradients, node=node: self._record(self.used, node, gradients))
            node.register_hook(lambda gradients, _, node=node: self._record(self.edges, node, gradients))
            found = {target for target, _ in node.next_functions if target is not None} - seen
            seen |= found
            waiting += found

    def _record(self, gradients_of: dict[Any, list[Bits]], node: Any, gradients: Any) -> None:
        gradients_of[node] = [None if gradient is None else bits(gradient) or OPAQUE for gradient in gradients]


def compare(call: Sampled, *, loosely: bool = False) -> Comparison:
    """Compare a recorded call with the same unrecorded call, exactly or, with ``loosely``, up to rounding."""
    found = Comparison()
    plain, expected = _alone(call)
    observer = IndependentObserver()
    watched, again = _alone(call, observer.watch)
    marks = list(sys.modules[MODULE].marks)  # type: ignore[attr-defined]
    operands = call.install()
    outcome, events, recording = recorded(call.program, values=VALUES)
    found.wrong += failures(events)
    if outcome.error != plain.error:
        found.wrong.append(f"unrecorded {plain.error}, recorded {outcome.error}")
    if plain.error is not None:
        found.refused = f"{plain.error[0]}: {plain.error[1]}"
    if plain.error is not None or outcome.error is not None:
        return found
    got = _results(outcome, operands)
    found.repeatable = got == expected == again
    if not (found.repeatable or (loosely and _near(got, expected) and _near(again, expected))):
        found.wrong.append(
            "PyTorch's results vary from run to run" if again != expected else "the results differ when recorded"
        )
    passes = [recording.log.pass_(index) for index in range(recording.log.counts()[1])]
    index = next((event.index for event in reversed(passes) if event.kind == "backward" and event.graph >= 0), None)
    if index is None:
        found.wrong.append("no pass was recorded")
        return found
    numbers = recording.numbers(index)
    found.wrong += [f"untied: {node}" for node in untied(numbers.graph)]
    try:
        indexes = paired(numbers.graph, [watched.variables["loss"].grad_fn])
        gradients = Gradients(numbers)
        gradients.check_sums()
    except AssertionError as error:
        found.wrong.append(f"not PyTorch's graph: {error}")
        return found
    found.nodes = len(indexes)
    found.wrong += _line_failures(indexes, numbers.graph, marks)
    if found.repeatable:
        for what in _gradient_failures(indexes, gradients, observer):
            found.gradients += 1
            found.wrong += [what] if what else []
    return found


def _alone(call: Sampled, hook: Any = None) -> tuple[Outcome, list[Bits]]:
    operands = call.install(hook)
    run = unrecorded(call.program)
    return run, _results(run, operands)


def _results(run: Outcome, operands: list[Tensor]) -> list[Bits]:
    """Return the outputs of a run and the gradients of its operands."""
    left = [*leaves(run.variables.get("out")), *(leaf.grad for leaf in operands)]
    return [
        None if tensor is None else bits(tensor if tensor.layout is torch.strided else tensor.to_dense()) for tensor in left
    ]


def _near(mine: list[Bits], theirs: list[Bits]) -> bool:
    """Return whether two runs have equal results up to rounding."""
    if [one and one[:2] for one in mine] != [other and other[:2] for other in theirs]:
        return False
    pairs = [(one, other) for one, other in zip(mine, theirs, strict=True) if one and other]
    return all(np.allclose(np.frombuffer(a[2], a[0]), np.frombuffer(b[2], b[0]), rtol=1e-9, equal_nan=True) for a, b in pairs)


def _line_failures(indexes: dict[Any, int], graph: model.Graph, marks: list[int]) -> list[str]:
    """Return a failure for each node whose recorded line is not the line that made it."""
    wrong = []
    for node, index in indexes.items():
        node_recorded = graph.nodes[index]
        if node_recorded.kind == "op":
            line = PREPARATION if node._sequence_nr() < marks[0] else CALL if node._sequence_nr() < marks[1] else TOTAL
            if node_recorded.line != line:
                wrong.append(f"{node_recorded.op} was recorded with line {node_recorded.line} instead of {line}")
    return wrong


def _gradient_failures(indexes: dict[Any, int], gradients: Gradients, observer: IndependentObserver) -> Iterator[str]:
    """Compare each gradient with the observed one; yield ``""`` if they are equal, else a failure."""
    for node, index in indexes.items():
        seen = [(gradients.used.get((index, at), -1), bits) for at, bits in enumerate(observer.used.get(node, ()))]
        for slot, found in enumerate(observer.edges.get(node, ())):
            if (index, slot) in gradients.edges:
                seen.append((gradients.edges[index, slot], found))
        for at, (row, found) in enumerate(seen):
            if (row < 0) != (found is None):
                yield f"gradient {at} of {node} is {found}, but its row is {row}"
            elif found is not None:
                recorded_bits = gradients.bits(row)
                yield (
                    ""
                    if recorded_bits is None or recorded_bits == found
                    else f"gradient {at} of {node} is {found}, but {recorded_bits} was recorded"
                )

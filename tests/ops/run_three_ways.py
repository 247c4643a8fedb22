"""Run one call three times, alone, alone before a witness and recorded, and compare the three."""

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
from ..tracer.run_twice import Outcome, alone, recorded
from .operator_samples import CALL, MODULE, PREPARATION, TOTAL, Sampled, leaves

KEPT = 1024
"""Elements of a tensor up to which every one is compared."""

OPAQUE: Bits = ("opaque", (), b"")
"""A gradient whose elements the witness cannot read."""


@dataclass
class Judgement:
    """What was compared, and what was found wrong. ``refused`` is what torch said where it does not do the call at all."""

    nodes: int = 0
    gradients: int = 0
    refused: str = ""
    repeatable: bool = True
    wrong: list[str] = field(default_factory=list)


class Witness:
    """Sees the gradients of a backward with hooks that share nothing with the recorder's."""

    def __init__(self) -> None:
        self.used: dict[Any, list[Bits]] = {}
        self.edges: dict[Any, list[Bits]] = {}

    def watch(self, loss: Tensor) -> None:
        """Put hooks on everything below a loss."""
        waiting, seen = [loss.grad_fn], {loss.grad_fn}
        while waiting:
            node: Any = waiting.pop()
            node.register_prehook(lambda gradients, node=node: self._note(self.used, node, gradients))
            node.register_hook(lambda gradients, _, node=node: self._note(self.edges, node, gradients))
            found = {target for target, _ in node.next_functions if target is not None} - seen
            seen |= found
            waiting += found

    def _note(self, where: dict[Any, list[Bits]], node: Any, gradients: Any) -> None:
        where[node] = [None if gradient is None else bits(gradient) or OPAQUE for gradient in gradients]


def judge(call: Sampled, *, loosely: bool = False) -> Judgement:
    """Compare a recorded call with the same call alone: bit for bit, or ``loosely``, where rounding may differ."""
    found = Judgement()
    plain, expected = _alone(call)
    witness = Witness()
    watched, again = _alone(call, witness.watch)
    marks = list(sys.modules[MODULE].marks)  # type: ignore[attr-defined]
    given = call.install()
    told, events, recording = recorded(call.program, values=KEPT)
    found.wrong += failures(events)
    if told.error != plain.error:
        found.wrong.append(f"alone {plain.error}, recorded {told.error}")
    if plain.error is not None:
        found.refused = f"{plain.error[0]}: {plain.error[1]}"
    if plain.error is not None or told.error is not None:
        return found
    got = _left(told, given)
    found.repeatable = got == expected == again
    if not (found.repeatable or (loosely and _near(got, expected) and _near(again, expected))):
        found.wrong.append(
            "torch gives other numbers each time" if again != expected else "it gives other numbers when recorded"
        )
    passes = [recording.log.pass_(index) for index in range(recording.log.counts()[1])]
    index = next((event.index for event in reversed(passes) if event.kind == "backward" and event.graph >= 0), None)
    if index is None:
        found.wrong.append("no pass was recorded")
        return found
    numbers = recording.numbers(index)
    found.wrong += [f"untied: {node}" for node in untied(numbers.graph)]
    try:
        places = paired(numbers.graph, [watched.variables["loss"].grad_fn])
        gradients = Gradients(numbers)
        gradients.check_sums()
    except AssertionError as error:
        found.wrong.append(f"not torch's: {error}")
        return found
    found.nodes = len(places)
    found.wrong += _misplaced(places, numbers.graph, marks)
    if found.repeatable:
        for what in _compared(places, gradients, witness):
            found.gradients += 1
            found.wrong += [what] if what else []
    return found


def _alone(call: Sampled, hook: Any = None) -> tuple[Outcome, list[Bits]]:
    given = call.install(hook)
    run = alone(call.program)
    return run, _left(run, given)


def _left(run: Outcome, given: list[Tensor]) -> list[Bits]:
    """Everything that a run left: its outputs, and the gradients of what it was given."""
    left = [*leaves(run.variables.get("out")), *(leaf.grad for leaf in given)]
    return [
        None if tensor is None else bits(tensor if tensor.layout is torch.strided else tensor.to_dense()) for tensor in left
    ]


def _near(mine: list[Bits], theirs: list[Bits]) -> bool:
    """Whether two runs left the same but for rounding."""
    if [one and one[:2] for one in mine] != [other and other[:2] for other in theirs]:
        return False
    pairs = [(one, other) for one, other in zip(mine, theirs, strict=True) if one and other]
    return all(np.allclose(np.frombuffer(a[2], a[0]), np.frombuffer(b[2], b[0]), rtol=1e-9, equal_nan=True) for a, b in pairs)


def _misplaced(places: dict[Any, int], graph: model.Graph, marks: list[int]) -> list[str]:
    """Nodes whose line is not the one that made them, as their number tells."""
    wrong = []
    for node, place in places.items():
        told = graph.nodes[place]
        if told.kind == "op":
            line = PREPARATION if node._sequence_nr() < marks[0] else CALL if node._sequence_nr() < marks[1] else TOTAL
            if told.line != line:
                wrong.append(f"{told.op} has line {told.line}, and is of line {line}")
    return wrong


def _compared(places: dict[Any, int], gradients: Gradients, witness: Witness) -> Iterator[str]:
    """Hold each gradient against the one that the witness saw: ``""`` for an equal one, else what is wrong."""
    for node, place in places.items():
        seen = [(gradients.used.get((place, at), -1), bits) for at, bits in enumerate(witness.used.get(node, ()))]
        for slot, found in enumerate(witness.edges.get(node, ())):
            if (place, slot) in gradients.edges:
                seen.append((gradients.edges[place, slot], found))
        for at, (row, found) in enumerate(seen):
            if (row < 0) != (found is None):
                yield f"gradient {at} of {node} is {found}, and row {row}"
            elif found is not None:
                told = gradients.bits(row)
                yield "" if told is None or told == found else f"gradient {at} of {node} is {found}, and told is {told}"

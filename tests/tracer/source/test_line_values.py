"""The values of lines, while values that are replaced run code of the program."""

from __future__ import annotations

from typing import Any

from tapedeck.tracer.source.lines import LineValues, StatementValue
from tapedeck.tracer.tensors.lifetimes import Lifetimes


def value_of(content: Any = None) -> StatementValue:
    made = StatementValue()
    made.content, made.sequence_nr = content, 0
    return made


def test_a_value_that_a_finalizer_records_stays_for_the_next_step() -> None:
    values = LineValues(64, Lifetimes())

    class Noisy:
        def __del__(self) -> None:
            values._unassigned[100] = value_of()

    values._unassigned[1] = value_of(Noisy())
    values.assign_to_step()
    values._unassigned |= {line: value_of() for line in range(1, 10)}
    values.assign_to_step()
    assert values._step.keys() == {*range(1, 10)}
    assert values._unassigned.keys() == {100}

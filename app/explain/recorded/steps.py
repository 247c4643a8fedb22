"""Read the first steps of a run for the rules, and find parameters whose gradients are always 0 in them."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Final, Literal

from ... import model, wire
from ...recording import Recording, Tensors

STEPS: Final = 50
"""Largest number of steps that are examined."""
Gradient = Literal["contribution", "grad_used"]


def first_steps(recording: Recording) -> Iterator[wire.StepEvent]:
    """Yield the first steps of a run."""
    for index in range(min(recording.log.counts()[2], STEPS)):
        yield recording.log.step(index)


def always_zero(recording: Recording, gradient: Gradient) -> tuple[set[str], int]:
    """Return the ids of the parameters whose gradient is exactly 0 in all of the first steps that recorded it.

    The second value is the number of steps that were examined.
    """
    zero: dict[int, bool] = {}
    steps = 0
    for step in first_steps(recording):
        tensors = Tensors(step.tensors)
        steps += 1
        for row in step.parameters:
            summary = tensors.summary(getattr(row, gradient))
            if summary is not None and zero.get(row.parameter, True):
                zero[row.parameter] = is_zero(summary)
    return {f"p{parameter}" for parameter, always in zero.items() if always}, steps


def is_zero(summary: model.TensorSummary | None) -> bool:
    """Return whether a tensor has elements and all of them are 0. Without statistics, it counts as not 0."""
    return summary is not None and bool(summary.zeros) and summary.zeros == prod(summary.shape)

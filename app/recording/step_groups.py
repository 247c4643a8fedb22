"""Hold steps of one layout by columns: what they share is said once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from .. import wire
from .table_stack import FloatArray, PresentMask, TableStack, table_layout

MaskedColumn = tuple[FloatArray, PresentMask]
Options = Mapping[str, Any]

_encode = msgspec.msgpack.Encoder().encode


class StepGroup:
    """Steps that differ in numbers alone.

    ``first`` is one of them, of which only what they share is read; ``index`` are their indices, ``rounds`` how often the
    loop that they stand in had gone round, if they stand in one; ``numbers`` the options that are no whole numbers, in the
    order of :func:`split_options`, a row for each step; ``stack`` their tables.
    """

    def __init__(
        self,
        first: wire.StepEvent,
        index: np.ndarray[Any, Any],
        rounds: np.ndarray[Any, Any] | None,
        numbers: np.ndarray[Any, Any],
        stack: TableStack,
    ) -> None:
        self.first = first
        self.index = index
        self.rounds = rounds
        self.stack = stack
        self.rows = {row.parameter: row for row in first.parameters}
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self.index)

    def iteration(self) -> MaskedColumn:
        """The round of each step."""
        return self._unknown() if self.rounds is None else self._known(self.rounds.astype(np.float64))

    def options(self) -> list[str]:
        """The optimizer's options that are numbers."""
        return [name for name, value in (self.first.optimizer or {}).items() if isinstance(value, int | float)]

    def option(self, name: str) -> MaskedColumn:
        """An option of the optimizer over the steps."""
        return self._option(self.first.optimizer or {}, name, 0)

    def rate(self, parameter: int) -> MaskedColumn:
        """The learning rate of a parameter's group over the steps."""
        if not self.first.groups:
            return self.option("lr")
        place = _count(self.first.optimizer or {})
        for group in self.first.groups:
            if parameter in group.parameters:
                return self._option(group.options, "lr", place)
            place += _count(group.options)
        return self._unknown()

    def _option(self, options: Options, name: str, place: int) -> MaskedColumn:
        for option, value in options.items():
            if option == name:
                if type(value) is float:
                    return self._known(self._numbers[:, place])
                return self._known(np.full(len(self), float(value))) if isinstance(value, int) else self._unknown()
            place += type(value) is float
        return self._unknown()

    def _known(self, numbers: FloatArray) -> MaskedColumn:
        return numbers, np.ones(len(self), bool)

    def _unknown(self) -> MaskedColumn:
        return np.full(len(self), np.nan), np.zeros(len(self), bool)


def group_steps(steps: Iterable[wire.StepEvent]) -> Iterator[StepGroup]:
    """Put steps together that are alike."""
    groups: dict[Any, list[tuple[wire.StepEvent, list[float]]]] = {}
    for step in steps:
        numbers: list[float] = []
        shared = split_options(step, numbers)
        rows = _encode((step.loss_row, step.loss_name, step.losses, step.parameters, shared))
        key = (*table_layout(step.tensors), rows, step.iteration is None)
        groups.setdefault(key, []).append((step, numbers))
    for group in groups.values():
        first = group[0][0]
        yield StepGroup(
            first,
            np.array([step.index for step, _ in group], np.int64),
            None if first.iteration is None else np.array([step.iteration[1] for step, _ in group if step.iteration], np.int64),
            np.array([numbers for _, numbers in group], np.float64),
            TableStack.of([step.tensors for step, _ in group]),
        )


def split_options(step: wire.StepEvent, numbers: list[float]) -> tuple[dict[str, Any] | None, list[wire.GroupRow]]:
    """The options of a step's optimizer and of its groups, those that are no whole numbers taken out and put into a list."""
    optimizer = None if step.optimizer is None else _without(step.optimizer, numbers)
    return optimizer, [wire.GroupRow(row.optimizer, row.parameters, _without(row.options, numbers)) for row in step.groups]


def _without(options: Options, numbers: list[float]) -> dict[str, Any]:
    numbers += (value for value in options.values() if type(value) is float)
    return {name: 0.0 if type(value) is float else value for name, value in options.items()}


def _count(options: Options) -> int:
    return sum(type(value) is float for value in options.values())

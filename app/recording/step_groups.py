"""Group the steps of a recording that differ only in their numbers, and read these numbers by columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from .. import wire
from .table_stack import FloatArray, PresentMask, TableStack, table_layout

MaskedColumn = tuple[FloatArray, PresentMask]
"""One number of each step, and a mask of the steps that have it."""
OptionValues = Mapping[str, Any]
"""Options of an optimizer, or of one of its groups, by name."""

_encode = msgspec.msgpack.Encoder().encode


class StepGroup:
    """Steps that differ only in their numbers.

    ``first`` is one of the steps. Only the parts that all steps share are read from it. The other values have a row for each
    step:

    - ``index``: the indices of the steps,
    - ``iterations``: the iterations of the loop they are in, or ``None`` outside a loop,
    - ``numbers``: the options that are floats, in the order of :func:`split_options`,
    - ``stack``: the tensors.
    """

    def __init__(
        self,
        first: wire.StepEvent,
        index: np.ndarray[Any, Any],
        iterations: np.ndarray[Any, Any] | None,
        numbers: np.ndarray[Any, Any],
        stack: TableStack,
    ) -> None:
        self.first = first
        self.index = index
        self.iterations = iterations
        self.stack = stack
        self.rows = {row.parameter: row for row in first.parameters}
        """Rows of the parameters, by the parameter's index."""
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self.index)

    def iteration(self) -> MaskedColumn:
        """Return the iteration of each step."""
        return self._missing() if self.iterations is None else self._present(self.iterations.astype(np.float64))

    def options(self) -> list[str]:
        """Return the names of the optimizer's options that are numbers or booleans."""
        return [name for name, value in (self.first.optimizer or {}).items() if isinstance(value, int | float)]

    def option(self, name: str) -> MaskedColumn:
        """Return an option of the optimizer in each step."""
        return self._option(self.first.optimizer or {}, name, 0)

    def rate(self, parameter: int) -> MaskedColumn:
        """Return the learning rate of a parameter's group in each step."""
        if not self.first.groups:
            return self.option("lr")
        column = _float_count(self.first.optimizer or {})
        for group in self.first.groups:
            if parameter in group.parameters:
                return self._option(group.options, "lr", column)
            column += _float_count(group.options)
        return self._missing()

    def _option(self, options: OptionValues, name: str, column: int) -> MaskedColumn:
        """Return an option by its name. ``column`` is the column of the first float among ``options``."""
        for option, value in options.items():
            if option == name:
                if type(value) is float:
                    return self._present(self._numbers[:, column])
                return self._present(np.full(len(self), float(value))) if isinstance(value, int) else self._missing()
            column += type(value) is float
        return self._missing()

    def _present(self, numbers: FloatArray) -> MaskedColumn:
        return numbers, np.ones(len(self), bool)

    def _missing(self) -> MaskedColumn:
        return np.full(len(self), np.nan), np.zeros(len(self), bool)


def group_steps(steps: Iterable[wire.StepEvent]) -> Iterator[StepGroup]:
    """Yield groups of the steps that differ only in their numbers."""
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
    """Return the options of a step's optimizer and of its groups with all floats set to 0.0.

    Append the floats to ``numbers``, first the optimizer's, then those of its groups.
    """
    optimizer = None if step.optimizer is None else _without_floats(step.optimizer, numbers)
    groups = [wire.GroupRow(row.optimizer, row.parameters, _without_floats(row.options, numbers)) for row in step.groups]
    return optimizer, groups


def _without_floats(options: OptionValues, numbers: list[float]) -> dict[str, Any]:
    numbers += (value for value in options.values() if type(value) is float)
    return {name: 0.0 if type(value) is float else value for name, value in options.items()}


def _float_count(options: OptionValues) -> int:
    return sum(type(value) is float for value in options.values())

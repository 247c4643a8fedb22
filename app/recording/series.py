"""Read one number over all steps: the loss, a parameter, its gradient, or the state of its optimizer.

A key names a number of each step::

    loss            the step's loss             loss:d_loss      the loss of a pass, by the name of its root
    iteration       iteration of the loop       lr, optimizer.…  an option of the optimizer
    p0              a parameter's value if it is a scalar, else its L2 norm
    p0.grad.norm    p0.value p0.value_after p0.grad p0.grad_before p0.grad_used p0.contribution p0.update
                    p0.state.exp_avg, each with .norm .min .max .mean .zeros .nan .inf
    p0.value[3]     an element, by its index in memory order; p0.value[1,2] by its indices
    p0.lr           the learning rate of the parameter's group

A ``*`` matches every parameter, name, state or option: ``p*.grad.norm``, ``loss:*``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct

from ..errors import InvalidInput
from .step_groups import MaskedColumn, StepGroup
from .table_stack import COUNTS, NUMBERS, FloatArray, PresentMask, TableStack

PARAMETER_TENSORS: Final = {
    "value": "value", "value_after": "value_after", "grad": "grad_after", "grad_before": "grad_before",
    "grad_used": "grad_used", "contribution": "contribution", "update": "update",
}  # fmt: skip
"""Names of a parameter's tensors in keys, and in :class:`wire.ParameterRow`."""
DEFAULT_KEYS: Final = ("loss:*", "p*", "lr")
STATISTICS: Final = (*NUMBERS, *COUNTS)
MOST_NUMBERS: Final = 8_000_000
"""Limit on the numbers that are read for one request."""
CHARTED: Final = ("value", "grad", "update")
"""Tensors of each parameter whose curves the page shows."""
CHARTED_PARAMETERS: Final = 40
CHARTED_ELEMENTS: Final = 4
"""Largest number of elements of a parameter that has a curve for each. ``core/curves.js`` repeats these three constants."""

_PARAMETER: Final = re.compile(
    rf"p(?P<index>\d{{1,9}}|\*)"
    rf"(?:\.(?:(?P<tensor>{'|'.join(PARAMETER_TENSORS)})|state\.(?P<state>\w+|\*)))?"
    rf"(?:\.(?P<statistic>{'|'.join(STATISTICS)})|\[(?P<element>\d{{1,9}}(?:,\d{{1,9}})*)\])?"
)

_RATE: Final = re.compile(r"p(\d{1,9}|\*)\.lr")


StepIndices = np.ndarray[Any, np.dtype[np.int64]]
_Piece = tuple[int, FloatArray, PresentMask]
"""Consecutive numbers of a column: the position of the first, the numbers, and a mask of those that exist."""


class StepSeries(Struct, frozen=True):
    """Numbers over steps: ``values[key][i]`` is the number of step ``index[i]``, if ``present[key][i]`` is true."""

    index: StepIndices
    values: dict[str, FloatArray]
    present: dict[str, PresentMask]

    def steps(self, start: int, stop: int) -> StepSeries:
        """Return the numbers of the steps from ``start`` to before ``stop``."""
        first, last = np.searchsorted(self.index, (start, stop)).tolist()
        return StepSeries(
            self.index[first:last],
            {key: column[first:last] for key, column in self.values.items()},
            {key: column[first:last] for key, column in self.present.items()},
        )


def read_each(groups: Iterable[StepGroup], keys: Sequence[str]) -> dict[str, StepSeries]:
    """Read the series of each key over steps, without the keys that no step has.

    Raises :class:`InvalidInput` for a malformed key, or if the keys select more than :data:`MOST_NUMBERS`.
    """
    matchers = {key: _matcher(key) for key in keys}
    pieces: dict[str, dict[str, list[_Piece]]] = {key: {} for key in matchers}
    indices: list[StepIndices] = []
    count = numbers_read = 0
    for group in groups:
        for key, matcher in matchers.items():
            for name, (numbers, mask) in matcher(group):
                # copies, because the columns are views of all numbers of the group
                pieces[key].setdefault(name, []).append((count, np.array(numbers), np.array(mask)))
                numbers_read += len(group)
            if numbers_read > MOST_NUMBERS:
                raise InvalidInput(
                    f"This request reads more than {MOST_NUMBERS:,} numbers: request fewer keys or fewer steps.",
                    where="query.key",
                )
        indices.append(np.array(group.index))
        count += len(group)
    index = np.concatenate(indices) if indices else np.empty(0, np.int64)
    order = np.argsort(index, kind="stable")
    return {key: _assembled(index, order, columns) for key, columns in pieces.items()}


def joined(parts: Iterable[StepSeries]) -> StepSeries:
    """Return several series over the same steps as one."""
    values: dict[str, FloatArray] = {}
    present: dict[str, PresentMask] = {}
    index = np.empty(0, np.int64)
    for part in parts:
        index = part.index
        values |= part.values
        present |= part.present
    return StepSeries(index, values, present)


def _assembled(index: StepIndices, order: StepIndices, columns: dict[str, list[_Piece]]) -> StepSeries:
    """Return the series that consist of these pieces. A piece has the position of its first step in ``index``."""
    values: dict[str, FloatArray] = {}
    present: dict[str, PresentMask] = {}
    for name, pieces in columns.items():
        numbers, mask = np.full(len(index), np.nan), np.zeros(len(index), bool)
        for start, own, has in pieces:
            numbers[start : start + len(own)] = own
            mask[start : start + len(own)] = has
        values[name], present[name] = numbers[order], mask[order]
    return StepSeries(index[order], values, present)


def thinned(series: StepSeries, points: int) -> StepSeries:
    """Keep about ``points`` steps for each key: the first, the last, and the minimum and maximum of each stretch of steps.

    A stretch also keeps its first NaN or Inf. A stretch without numbers keeps one step, which is shown as a gap.
    """
    count = len(series.index)
    if count <= points:
        return series
    edges = np.linspace(0, count, max(1, (points - 2) // 2) + 1).astype(np.int64)
    starts, sizes = edges[:-1], np.diff(edges)
    stretch = np.repeat(np.arange(len(starts)), sizes)
    chosen = np.zeros(count, bool)
    chosen[[0, -1]] = True
    for key, values in series.values.items():
        finite = series.present[key] & np.isfinite(values)
        low, high = np.where(finite, values, np.inf), np.where(finite, values, -np.inf)
        least, greatest = np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)
        for wanted in (low == least[stretch], high == greatest[stretch], series.present[key] & ~finite):
            indices = np.flatnonzero(wanted)
            chosen[indices[np.diff(stretch[indices], prepend=-1) > 0]] = True  # the first of each stretch
    indices = np.flatnonzero(chosen)
    return StepSeries(
        series.index[indices],
        {key: values[indices] for key, values in series.values.items()},
        {key: mask[indices] for key, mask in series.present.items()},
    )


def usual_keys(shapes: Sequence[Sequence[int]]) -> list[str]:
    """Return the keys that are read most often: the default ones, and those of the page's charts for parameters of these
    shapes.

    >>> usual_keys([[], [2]])[4:9]
    ['p0.value', 'p0.grad', 'p0.update', 'p1.value[0]', 'p1.value[1]']
    """
    found = [*DEFAULT_KEYS, "loss"]
    for parameter, shape in enumerate(shapes[:CHARTED_PARAMETERS]):
        count = math.prod(shape)
        elements = [f"[{index}]" for index in range(count)] if shape and 0 < count <= CHARTED_ELEMENTS else [""]
        found += [f"p{parameter}.{tensor}{element}" for tensor in CHARTED for element in elements]
    return found


def available_keys(groups: Iterable[StepGroup]) -> list[str]:
    """Return the keys that these steps have, each in its shortest form."""
    found: dict[str, None] = {"loss": None, "iteration": None}
    for group in groups:
        found |= {f"loss:{name}": None for name in _named_loss_rows(group)}
        for option in group.options():
            found["lr" if option == "lr" else f"optimizer.{option}"] = None
        for row in group.first.parameters:
            found[f"p{row.parameter}"] = None
            for state in row.state:
                found[f"p{row.parameter}.state.{state}"] = None
    return list(found)


_Matcher = Callable[[StepGroup], Iterator[tuple[str, MaskedColumn]]]


def _matcher(key: str) -> _Matcher:
    """Return a function that reads a key from a group of steps. Raises :class:`InvalidInput` for a malformed key."""
    if key == "loss":
        return lambda group: iter([(key, _scalar(group.stack, group.first.loss_row))])
    if key == "iteration":
        return lambda group: iter([(key, group.iteration())])
    if key.startswith("loss:"):
        return lambda group: _losses(group, key.removeprefix("loss:"))
    if key == "lr" or key.startswith("optimizer."):
        return lambda group: _options(group, "lr" if key == "lr" else key.removeprefix("optimizer."))
    if (rate := _RATE.fullmatch(key)) is not None:
        return lambda group: _rates(group, rate[1])
    match = _PARAMETER.fullmatch(key)
    if match is None:
        raise InvalidInput(
            f"Unknown key {key[:60]!r}: the keys are loss, loss:NAME, iteration, lr, optimizer.OPTION, and for each "
            f"parameter p0, p1 … {', '.join(PARAMETER_TENSORS)}, state.NAME and lr, with .{', .'.join(STATISTICS)} "
            "or an element such as [3].",
            where="query.key",
        )
    return lambda group: _parameters(group, **match.groupdict())


def _losses(group: StepGroup, name: str) -> Iterator[tuple[str, MaskedColumn]]:
    for loss, row in _named_loss_rows(group).items():
        if name in (loss, "*"):
            yield f"loss:{loss}", _scalar(group.stack, row)


def _named_loss_rows(group: StepGroup) -> dict[str, int]:
    """Return the rows of the losses that have a name, by name, the loss of the main pass first."""
    first = group.first
    return {**({first.loss_name: first.loss_row} if first.loss_name is not None else {}), **first.losses}


def _options(group: StepGroup, name: str) -> Iterator[tuple[str, MaskedColumn]]:
    for option in group.options():
        if name in (option, "*"):
            yield "lr" if option == "lr" else f"optimizer.{option}", group.option(option)


def _rates(group: StepGroup, index: str) -> Iterator[tuple[str, MaskedColumn]]:
    for parameter in group.rows if index == "*" else [int(index)]:
        numbers, present = group.rate(parameter)
        if present.any():
            yield f"p{parameter}.lr", (numbers, present)


def _parameters(
    group: StepGroup, index: str, tensor: str | None, state: str | None, statistic: str | None, element: str | None
) -> Iterator[tuple[str, MaskedColumn]]:
    for row in group.first.parameters if index == "*" else [group.rows[int(index)]] if int(index) in group.rows else []:
        if state is None:
            rows = {f".{tensor}" if tensor else "": getattr(row, PARAMETER_TENSORS[tensor or "value"])}
        else:
            rows = {f".state.{name}": state_row for name, state_row in row.state.items() if state in (name, "*")}
        for name, table_row in rows.items():
            key = f"p{row.parameter}{name}"
            if element is not None:
                yield f"{key}[{element}]", _element(group.stack, table_row, element, key)
            elif statistic is not None:
                yield f"{key}.{statistic}", group.stack.statistic(table_row, statistic)
            else:
                yield key, _scalar(group.stack, table_row)


def _scalar(stack: TableStack, row: int) -> MaskedColumn:
    """Return the value of a scalar, or the L2 norm of a larger tensor."""
    return stack.statistic(row, "mean" if row >= 0 and stack.shape(row) == () else "norm")


def _element(stack: TableStack, row: int, element: str, key: str) -> MaskedColumn:
    if row < 0:
        return stack.element(row, 0)
    shape, indices = stack.shape(row), [int(index) for index in element.split(",")]
    sizes = shape if len(indices) == len(shape) else (int(np.prod(shape)),)
    if len(indices) != len(sizes) or any(index >= size for index, size in zip(indices, sizes, strict=True)):
        raise InvalidInput(f"{key} has the shape {list(shape)}: there is no element [{element}] in it.", where="query.key")
    return stack.element(row, int(np.ravel_multi_index(indices, sizes)))

"""Read how numbers went over the steps: the loss, a parameter, its gradient, its optimizer's state.

A key names a number of every step::

    loss            the step's loss             loss:d_loss      that of a pass whose root has that name
    iteration       rounds of the step's loop   lr, optimizer.…  an option of the optimizer
    p0              a parameter's value if it is a scalar, else its L2 norm
    p0.grad.norm    p0.value p0.value_after p0.grad p0.grad_before p0.grad_used p0.contribution p0.update
                    p0.state.exp_avg, each with .norm .min .max .mean .zeros .nan .inf
    p0.value[3]     an element, by its place in memory order; p0.value[1,2] by its indices
    p0.lr           the learning rate of its group

A ``*`` stands for every parameter, name, state or option: ``p*.grad.norm``, ``loss:*``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct

from ..errors import InvalidInput
from .step_groups import MaskedColumn, StepGroup
from .table_stack import COUNTS, NUMBERS, FloatArray, PresentMask, TableStack

OF_PARAMETER: Final = {
    "value": "value", "value_after": "value_after", "grad": "grad_after", "grad_before": "grad_before",
    "grad_used": "grad_used", "contribution": "contribution", "update": "update",
}  # fmt: skip
"""What a key calls the tensors of a parameter, and what the event calls them."""
USUAL: Final = ("loss:*", "p*", "lr")
STATISTICS: Final = (*NUMBERS, *COUNTS)

_PARAMETER: Final = re.compile(
    rf"p(?P<index>\d{{1,9}}|\*)"
    rf"(?:\.(?:(?P<what>{'|'.join(OF_PARAMETER)})|state\.(?P<state>\w+|\*)))?"
    rf"(?:\.(?P<statistic>{'|'.join(STATISTICS)})|\[(?P<element>\d{{1,9}}(?:,\d{{1,9}})*)\])?"
)

_RATE: Final = re.compile(r"p(\d{1,9}|\*)\.lr")


class StepSeries(Struct, frozen=True):
    """FloatArray over steps: ``values[key][i]`` is of step ``index[i]``, where ``known[key][i]`` says that there is one."""

    index: np.ndarray[Any, np.dtype[np.int64]]
    values: dict[str, FloatArray]
    present: dict[str, PresentMask]


def read_series(groups: Sequence[StepGroup], keys: Sequence[str]) -> StepSeries:
    """Read the keys over steps; those of no step are left out of the answer. Raises :class:`InvalidInput` for no key at all."""
    matchers = [_matcher(key) for key in dict.fromkeys(keys)]
    count = sum(len(group) for group in groups)
    index = np.concatenate([group.index for group in groups]) if groups else np.empty(0, np.int64)
    values: dict[str, FloatArray] = {}
    present: dict[str, PresentMask] = {}
    start = 0
    for group in groups:
        for matcher in matchers:
            for key, (numbers, there) in matcher(group):
                if key not in values:
                    values[key], present[key] = np.full(count, np.nan), np.zeros(count, bool)
                values[key][start : start + len(group)] = numbers
                present[key][start : start + len(group)] = there
        start += len(group)
    order = np.argsort(index, kind="stable")
    return StepSeries(
        index[order],
        {key: column[order] for key, column in values.items()},
        {key: column[order] for key, column in present.items()},
    )


def thinned(series: StepSeries, points: int) -> StepSeries:
    """Leave about ``points`` steps for each key: the first, the last, and of each stretch the least and the greatest value.

    A stretch in which a number is not finite keeps the first such; one without numbers keeps a gap.
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
            places = np.flatnonzero(wanted)
            chosen[places[np.diff(stretch[places], prepend=-1) > 0]] = True  # the first of each stretch
    places = np.flatnonzero(chosen)
    return StepSeries(
        series.index[places],
        {key: values[places] for key, values in series.values.items()},
        {key: known[places] for key, known in series.present.items()},
    )


def named(groups: Iterable[StepGroup]) -> list[str]:
    """The keys that these steps have, the shortest way to say each: what a wrong one could have been."""
    found: dict[str, None] = {"loss": None, "iteration": None}
    for group in groups:
        found |= {f"loss:{name}": None for name in _rows_of_losses(group)}
        for option in group.options():
            found["lr" if option == "lr" else f"optimizer.{option}"] = None
        for row in group.first.parameters:
            found[f"p{row.parameter}"] = None
            for state in row.state:
                found[f"p{row.parameter}.state.{state}"] = None
    return list(found)


_Matcher = Callable[[StepGroup], Iterator[tuple[str, MaskedColumn]]]


def _matcher(key: str) -> _Matcher:
    """What reads a key of a group; raises :class:`InvalidInput`."""
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
            f"Unknown key {key[:60]!r}: known are loss, loss:NAME, iteration, lr, optimizer.OPTION, and of each "
            f"parameter p0, p1 … {', '.join(OF_PARAMETER)}, state.NAME and lr, with .{', .'.join(STATISTICS)} "
            "or an element such as [3].",
            where="query.key",
        )
    return lambda group: _parameters(group, **match.groupdict())


def _losses(group: StepGroup, name: str) -> Iterator[tuple[str, MaskedColumn]]:
    for there, row in _rows_of_losses(group).items():
        if name in (there, "*"):
            yield f"loss:{there}", _scalar(group.stack, row)


def _rows_of_losses(group: StepGroup) -> dict[str, int]:
    """The rows of the losses that have a name: the main pass's first."""
    first = group.first
    return {**({first.loss_name: first.loss_row} if first.loss_name is not None else {}), **first.losses}


def _options(group: StepGroup, name: str) -> Iterator[tuple[str, MaskedColumn]]:
    for option in group.options():
        if name in (option, "*"):
            yield "lr" if option == "lr" else f"optimizer.{option}", group.option(option)


def _rates(group: StepGroup, index: str) -> Iterator[tuple[str, MaskedColumn]]:
    for parameter in group.rows if index == "*" else [int(index)]:
        numbers, known = group.rate(parameter)
        if known.any():
            yield f"p{parameter}.lr", (numbers, known)


def _parameters(
    group: StepGroup, index: str, what: str | None, state: str | None, statistic: str | None, element: str | None
) -> Iterator[tuple[str, MaskedColumn]]:
    for row in group.first.parameters if index == "*" else [group.rows[int(index)]] if int(index) in group.rows else []:
        if state is None:
            places = {f".{what}" if what else "": getattr(row, OF_PARAMETER[what or "value"])}
        else:
            places = {f".state.{name}": place for name, place in row.state.items() if state in (name, "*")}
        for name, place in places.items():
            key = f"p{row.parameter}{name}"
            if element is not None:
                yield f"{key}[{element}]", _element(group.stack, place, element, key)
            elif statistic is not None:
                yield f"{key}.{statistic}", group.stack.statistic(place, statistic)
            else:
                yield key, _scalar(group.stack, place)


def _scalar(stack: TableStack, row: int) -> MaskedColumn:
    """A scalar's value; of a larger tensor the L2 norm."""
    return stack.statistic(row, "mean" if row >= 0 and stack.shape(row) == () else "norm")


def _element(stack: TableStack, row: int, element: str, key: str) -> MaskedColumn:
    if row < 0:
        return stack.element(row, 0)
    shape, places = stack.shape(row), [int(place) for place in element.split(",")]
    sizes = shape if len(places) == len(shape) else (int(np.prod(shape)),)
    if len(places) != len(sizes) or any(place >= size for place, size in zip(places, sizes, strict=True)):
        raise InvalidInput(f"{key} has the shape {list(shape)}: there is no element [{element}] in it.", where="query.key")
    return stack.element(row, int(np.ravel_multi_index(places, sizes)))

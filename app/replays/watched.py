"""Build the result of a replay that evaluated an expression: a series of values, or the first true one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct

from .. import wire
from ..recording import json_number
from .request import ReplayRequest

ERRORS: Final = 10
"""Number of different errors of an expression that are listed."""


class WatchedSeries(Struct, frozen=True):
    """The values of an expression in the order in which they were evaluated, by columns.

    ``value`` has a number, a boolean, a text, or ``null`` where the expression raised an error. ``line`` is the line of the
    statement that had just run. ``omitted`` counts later values that are left out.
    """

    step: list[int]
    line: list[int]
    value: list[float | str | bool | None]
    omitted: int


class FoundValue(Struct, frozen=True):
    """The first true value of an expression, its step, and the line after which it was evaluated."""

    step: int
    line: int
    value: float | str | bool


class ExpressionError(Struct, frozen=True):
    """An error that an expression raised: the step and line of its first occurrence, and the number of occurrences."""

    message: str
    step: int
    line: int
    count: int


def watched(request: ReplayRequest, events: Sequence[wire.ExpressionValues]) -> dict[str, Any]:
    """Return the fields of a result: the values of the expression, or the first true value."""
    series = WatchedSeries([], [], [], sum(event.omitted for event in events))
    errors: dict[str, ExpressionError] = {}
    for event in events:
        texts = iter(event.texts)
        steps, lines = (wire.int32(column, "column").tolist() for column in (event.steps, event.lines))
        for step, line, kind, number in zip(steps, lines, event.kinds, np.frombuffer(event.numbers, "<f8"), strict=True):
            value: float | str | bool | None = json_number(float(number))
            if kind == wire.IS_TRUTH:
                value = bool(number)
            elif kind >= wire.IS_TEXT:
                value = next(texts)
            if kind == wire.IS_ERROR:
                first = errors.get(str(value)) or ExpressionError(str(value), step, line, 0)
                errors[first.message] = msgspec.structs.replace(first, count=first.count + 1)
                value = None
            series.step.append(step)
            series.line.append(line)
            series.value.append(value)
    common = {"line": request.line or None, "expression": request.expression, "errors": list(errors.values())[:ERRORS]}
    if request.what == "watch":
        reason = None if series.step or series.omitted else _never_evaluated(request)
        return common | {"watched": series, "reason": reason}
    triples = zip(series.step, series.line, series.value, strict=True)
    return common | {"found": next((FoundValue(*each) for each in triples if each[2] is not None), None)}  # type: ignore[arg-type]


def _never_evaluated(request: ReplayRequest) -> str:
    if request.line:
        return f"No statement of line {request.line} ran up to step {request.step}: choose a line with a statement that runs."
    return f"`{request.expression[:60]}` had no value up to step {request.step}: its names were not defined."

"""Say which rows of the data reach which rows of a node's value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from msgspec import Struct

from .. import model, wire
from ..recording import Recording
from .request import ReplayRequest

Pattern = Literal["apart", "moved", "later", "mixed", "none"]


class ReachedRows(Struct, frozen=True):
    """The rows of the value that change if ``row`` of the data is replaced.

    ``reaches`` has those among the replaced rows, and ``count`` is the number of all of them.
    """

    row: int
    reaches: list[int]
    count: int


class DataDependence(Struct, frozen=True):
    """How the rows of a node's value depend on the rows of the data. The rows of the data lie along ``dimension``.

    ``node`` is the constant in the graph. ``name`` and ``shape`` are those of the data, of which the constant may be a view.
    ``rows`` has up to 32 rows, spread evenly. ``pattern`` is one of:

    - ``apart``: each row reaches only the row with the same index.
    - ``moved``: each row reaches one row, and different rows reach different ones.
    - ``later``: each row reaches no row before its own, and some reach later ones, as the steps of a recurrence do.
    - ``mixed``: rows reach other rows.
    - ``none``: no row reaches any.

    ``mixed_at`` is the first node whose value mixes the rows, ``null`` if it is unknown or if no rows are mixed. ``sentence``
    says all of it.
    """

    node: str | None
    name: str | None
    shape: list[int]
    dimension: int
    pattern: Pattern
    rows: list[ReachedRows]
    mixed_at: str | None
    sentence: str


def dependences(request: ReplayRequest, recording: Recording, event: wire.Dependence) -> dict[str, Any] | None:
    """Return the fields of the result; ``None`` if the event does not belong to the request."""
    if (event.index, event.node, event.dimension) != (request.index, request.node, request.dimension):
        return None
    graph = recording.numbers(request.index).graph
    named = [row for row in event.data if row.name is not None]
    value = _called(graph.nodes[request.node])
    return {
        "node": graph.nodes[request.node].id,
        "dimension": event.dimension,
        "length": event.length,
        "data": [_dependence(row, event.length, graph.nodes, value) for row in named or event.data],
    }


def _dependence(row: wire.DependenceRow, length: int, nodes: Sequence[model.Node], value: str) -> DataDependence:
    rows = np.frombuffer(row.rows, "<i4")
    reached = np.frombuffer(row.reached, np.uint8).reshape(len(rows), length) != 0
    pattern = pattern_of(rows, reached)
    constant = nodes[row.constant] if 0 <= row.constant < len(nodes) else None
    mixes = pattern in ("later", "mixed")
    at = nodes[row.mixed] if mixes and 0 <= row.mixed < len(nodes) and not row.before else None
    name = row.name or (constant.name if constant is not None else None)
    data = f"`{name}`" if name is not None else f"the data of shape {row.shape}"
    return DataDependence(
        node=constant.id if constant is not None else None,
        name=name,
        shape=row.shape,
        dimension=row.dimension,
        pattern=pattern,
        rows=[
            ReachedRows(int(index), rows[each[rows]].tolist(), int(each.sum()))
            for index, each in zip(rows, reached, strict=True)
        ],
        mixed_at=at.id if at is not None else None,
        sentence=_sentence(pattern, data, row.dimension, value) + _where(row.before and mixes, at),
    )


def pattern_of(rows: np.ndarray[Any, Any], reached: np.ndarray[Any, Any]) -> Pattern:
    """Return how rows reach others: ``reached`` has a line for each of ``rows``.

    >>> pattern_of(np.array([0, 1]), np.array([[True, True], [False, True]]))
    'later'
    """
    if not reached.any():
        return "none"
    own = np.arange(reached.shape[1]) == rows[:, None]
    if not (reached & ~own).any():
        return "apart"
    if (reached.sum(1) <= 1).all() and (reached.sum(0) <= 1).all():
        return "moved"
    earlier = np.arange(reached.shape[1]) < rows[:, None]
    return "mixed" if (reached & earlier).any() else "later"


def _sentence(pattern: Pattern, data: str, dimension: int, value: str) -> str:
    rows = f"of {data} along dimension {dimension}"
    match pattern:
        case "apart":
            return f"Each row {rows} reaches only the same row of {value}."
        case "moved":
            return f"Each row {rows} reaches one row of {value}, at another index."
        case "later":
            return f"Each row {rows} also reaches later rows of {value}, but none before its own."
        case "mixed":
            return f"Rows {rows} reach other rows of {value}."
    return f"No row {rows} changes {value}."


def _where(before: bool, node: model.Node | None) -> str:
    if before:
        return " The view of the data that the graph reads already mixes them."
    if node is None:
        return ""
    return f" They are first mixed by {_called(node)}{f' on line {node.line}' if node.line is not None else ''}."


def _called(node: model.Node) -> str:
    return f"`{node.name}`" if node.name else f"`{(node.call or node.op).rpartition('.')[2]}`"

"""Make the answer of a replay from what its process told."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from typing import Any, Final, Literal

import numpy as np
from msgspec import UNSET, Struct, UnsetType, field

from .. import model, wire
from ..recording import Recording, Tensors, number
from .asked import Asked

Verdict = Literal["right", "kink", "wrong", "unknown", "defined"]
VERDICTS: Final[tuple[Verdict, ...]] = ("right", "kink", "wrong", "unknown", "defined")
PATH: Final = 2_000
"""Steps of a path, at most; more are taken evenly."""


class Difference(Struct, frozen=True):
    """Where a replay first came to something else than the recording has."""

    step: int
    name: str
    recorded: Any
    replayed: Any
    sentence: str


class Place(Struct, frozen=True):
    """An axis of a surface: an element of a parameter (``None``: it is a scalar); ``key`` names it in the answer."""

    key: str
    id: str
    name: str | None
    element: list[int] | None


class CheckedElement(Struct, frozen=True):
    """A gradient beside the slope of the loss. ``left`` and ``right`` are the slopes to either side.

    ``verdict``: ``right`` within the tolerance; ``kink``: the loss bends here, and torch's gradient lies between its two
    slopes, or is what torch makes of several bends in one place; ``defined``: torch defines it to be another than the slope, as
    the gradient of a padding row, and it is what that definition comes to; ``wrong``; ``unknown``: the loss or the gradient is
    not finite here. ``part`` is ``re`` or ``im`` of a complex element.
    """

    element: list[int]
    recorded: float | str
    computed: float | str
    left: float | str
    right: float | str
    tolerance: float | str
    verdict: Verdict
    part: Literal["re", "im"] | None = None


class CheckedLeaf(Struct, frozen=True):
    """What a check found of a leaf: the worst verdict of the elements that it looked at, ``checked`` of ``of``.

    ``definitions`` are what elements are ``defined`` by, such as ``padding_idx``.
    """

    id: str
    name: str | None
    shape: list[int]
    dtype: str
    verdict: Verdict
    checked: int
    of: int
    elements: list[CheckedElement]
    definitions: list[str] = []


class Factor(Struct, frozen=True):
    """The derivative of an output of a node by what an edge leads to.

    ``values`` has the shape ``of`` the output and then that ``by`` which it is derived. ``diagonal``: each element depends
    only on the one at its own place, and ``values`` holds just these.
    """

    output: int
    of: list[int]
    by: list[int]
    diagonal: bool
    values: Any


class FactoredEdge(Struct, frozen=True):
    """An edge of a node with its factors. ``gradient`` is the recorded one; ``product`` what arrived times the factors.

    ``equal``: the node, called again with what arrived, gives the recorded gradient to the bit. The product can differ from
    it by rounding, since it adds in another order.
    """

    edge: str
    slot: int
    target: str
    input: int
    factors: list[Factor]
    product: model.TensorSummary | None
    gradient: model.TensorSummary | None
    equal: bool


class Replay(Struct, frozen=True, kw_only=True, rename={"index": "pass"}):
    """A replay. Once it is done, ``repeatable`` says whether its numbers are the recorded ones (null: nobody knows).

    ``reason`` is why there is no answer. A surface has ``grid`` by key, ``loss`` over it (of two axes, a row for each value
    of the first; null where it cannot be computed), ``at`` with the recorded point, and ``path``; a check has ``right`` (false:
    a gradient is wrong; null: none is known to be, and not all could be judged), the ``precision`` of the differences,
    ``gradient_precision``, the coarsest that the pass itself went through, and ``leaves``; factors have ``node``, ``arrived``
    and ``edges``. ``owner_key`` is what a new caller is known by, who may stop with it what goes on.
    """

    id: str
    what: model.ReplayKind
    step: int
    index: int
    status: Literal["queued", "running", "done"] = "done"
    repeatable: bool | None = None
    difference: Difference | None = None
    reason: str | None = None
    fixed: str | UnsetType = UNSET
    loss_name: str | UnsetType | None = UNSET
    parameters: list[Place] | UnsetType = UNSET
    grid: dict[str, list[float | str]] | UnsetType = UNSET
    loss: list[Any] | UnsetType = UNSET
    at: dict[str, Any] | UnsetType = UNSET
    path: dict[str, list[Any]] | UnsetType = UNSET
    right: bool | UnsetType | None = UNSET
    precision: str | UnsetType = UNSET
    gradient_precision: str | UnsetType = UNSET
    functions: list[str] | UnsetType = UNSET
    leaves: list[CheckedLeaf] | UnsetType = UNSET
    node: str | UnsetType = UNSET
    arrived: list[model.TensorSummary | None] | UnsetType = UNSET
    edges: list[FactoredEdge] | UnsetType = UNSET
    links: dict[str, str] = field(default_factory=dict)
    owner_key: str | UnsetType = UNSET


def answered(asked: Asked, recording: Recording, answers: Sequence[wire.Answer]) -> Replay:
    """What a replay came to that has proved itself."""
    common: dict[str, Any] = {
        "id": asked.id, "what": asked.what, "step": asked.step, "index": asked.index, "repeatable": True,
    }  # fmt: skip
    for answer in answers:
        if isinstance(answer, wire.Refused):
            return Replay(**common, reason=answer.reason)
    found: dict[str, Any] | None = None
    match asked.what:
        case "surface":
            surface = next((answer for answer in answers if isinstance(answer, wire.Surface)), None)
            found = None if surface is None else _surface(asked, recording, surface)
        case "check":
            checked = [answer for answer in answers if isinstance(answer, wire.Checked)]
            found = _check(asked, recording, checked) if checked else None
        case "factors":
            factors = next((answer for answer in answers if isinstance(answer, wire.Factors)), None)
            found = None if factors is None else _factors(asked, recording, factors)
    if found is None:
        return Replay(**common, reason="The replay did not tell what it was asked for.")
    return Replay(**common, **found)


def fixed(asked: Asked) -> str:
    """What stays as it was while leaves take other values."""
    return (
        f"The loss with the data and the random state of step {asked.step} fixed, and with whatever is cut off from its graph: "
        "the recorded calls, carried out again by torch."
    )


def _surface(asked: Asked, recording: Recording, told: wire.Surface) -> dict[str, Any] | None:
    targets = asked.targets
    axes = [np.frombuffer(axis, "<f8") for axis in told.axes]
    if told.index != asked.index or len(axes) != len(targets) or any(len(axis) != asked.points for axis in axes):
        return None
    numbers = recording.numbers(asked.index)
    root = numbers.value(numbers.node_index(numbers.graph.roots[0]))
    recorded = None if root is None or root.values is None else next(_leaves(root.values))
    slopes = [_slope(recording, asked.index, target.parameter, target.flat) for target in targets]
    if recorded is not None and recorded != number(told.loss):
        return {"reason": "The loss, evaluated again, is not the recorded one."}
    if any(slope is not None and slope != number(mine) for slope, mine in zip(slopes, told.slope, strict=True)):
        return {"reason": "The gradient, evaluated again, is not the recorded one."}
    values = np.frombuffer(told.losses, "<f8").reshape([len(axis) for axis in axes])
    failed = np.frombuffer(told.failed, np.uint8).reshape(values.shape) != 0
    step = recording.log.step(asked.step)
    keys = [target.key for target in targets]
    gradient = [number(slope) for slope in told.slope]
    return {
        "fixed": fixed(asked),
        "loss_name": step.loss_name if step.main == asked.index else None,
        "parameters": [
            Place(target.key, f"p{target.parameter}", target.name, None if target.element is None else list(target.element))
            for target in targets
        ],
        "grid": {key: [number(float(value)) for value in axis] for key, axis in zip(keys, axes, strict=True)},
        "loss": _listed(values, failed),
        "at": {key: number(value) for key, value in zip(keys, told.at, strict=True)}
        | {"loss": number(told.loss), "grad": gradient[0] if len(keys) == 1 else dict(zip(keys, gradient, strict=True))},
        "path": path(asked, recording),
    }


def path(asked: Asked, recording: Recording) -> dict[str, list[Any]]:
    """The way of the parameters over the steps that have the same loss, each with its own data, where elements were kept."""
    log = recording.log
    name = log.step(asked.step).loss_name
    count = log.counts()[2]
    steps = range(count) if count <= PATH else np.unique(np.linspace(0, count - 1, PATH).round().astype(int)).tolist()
    found: dict[str, list[Any]] = {"step": [], **{target.key: [] for target in asked.targets}, "loss": []}
    for index in steps:
        event = log.step(index)
        rows = {row.parameter: row.value for row in event.parameters}
        if event.loss_name != name or not all(target.parameter in rows for target in asked.targets):
            continue
        tensors = Tensors(event.tensors)
        arrays = [tensors.array(rows[target.parameter]) for target in asked.targets]
        loss = tensors.array(event.loss_row)
        if any(array is None for array in arrays):
            continue
        found["step"].append(index)
        for target, array in zip(asked.targets, arrays, strict=True):
            assert array is not None
            found[target.key].append(number(float(array.reshape(-1)[target.flat])))
        found["loss"].append(number(float(loss.reshape(-1)[0])) if loss is not None and loss.size == 1 else None)
    return found


def _slope(recording: Recording, index: int, parameter: int, flat: int) -> float | str | None:
    """The recorded gradient of an element in a pass, if it was kept."""
    numbers = recording.numbers(index)
    for place, node in enumerate(numbers.graph.nodes):
        if node.parameter == f"p{parameter}":
            used = numbers.used(place)
            if used is not None and used.values is not None:
                values = list(_leaves(used.values))
                return values[flat] if flat < len(values) else None
    return None


def _leaves(values: Any) -> Any:
    if isinstance(values, list):
        for value in values:
            yield from _leaves(value)
    else:
        yield values


def _listed(values: np.ndarray[Any, Any], failed: np.ndarray[Any, Any]) -> list[Any]:
    if values.ndim > 1:
        return [_listed(row, gone) for row, gone in zip(values, failed, strict=True)]
    return [None if gone else number(float(value)) for value, gone in zip(values, failed, strict=True)]


def _check(asked: Asked, recording: Recording, told: Sequence[wire.Checked]) -> dict[str, Any]:
    leaves = [checked_leaf(recording, each) for each in told if each.index == asked.index]
    return {
        "fixed": fixed(asked),
        "right": right({leaf.verdict for leaf in leaves}),
        "precision": told[0].precision,
        "gradient_precision": told[0].own,
        "functions": list(told[0].functions),
        "leaves": leaves,
    }


def right(verdicts: Set[Verdict]) -> bool | None:
    """Whether gradients with these verdicts are right; ``None`` where nobody can say.

    >>> right({"right", "kink", "defined"}), right({"right", "wrong", "unknown"}), right({"right", "unknown"})
    (True, False, None)
    """
    return False if "wrong" in verdicts else None if "unknown" in verdicts else True


def checked_leaf(recording: Recording, told: wire.Checked) -> CheckedLeaf:
    """A leaf with the verdicts on its elements."""
    parameter = next(each for each in recording.parameters() if each.id == f"p{told.parameter}")
    is_complex = "complex" in parameter.dtype
    count = math.prod(parameter.shape)
    names = ("recorded", "central", "left", "right", "tolerance")
    columns = [np.frombuffer(getattr(told, name), "<f8").tolist() for name in names]
    elements: list[CheckedElement] = []
    for at, place in enumerate(np.frombuffer(told.elements, "<i8").tolist()):
        flat, part = divmod(place, 2) if is_complex else (place, 0)
        if flat < count:
            where = [int(each) for each in np.unravel_index(flat, parameter.shape)] if parameter.shape else []
            recorded, central, left, right, tolerance = (number(column[at]) for column in columns)
            side: Literal["re", "im"] | None = None if not is_complex else "im" if part else "re"
            verdict = VERDICTS[told.verdict[at]]
            elements.append(CheckedElement(where, recorded, central, left, right, tolerance, verdict, side))
    order: tuple[Verdict, ...] = ("wrong", "unknown", "kink", "defined", "right")
    worst: Verdict = next((verdict for verdict in order if any(each.verdict == verdict for each in elements)), "unknown")
    name = parameter.names[0] if parameter.names else None
    of = 2 * count if is_complex else count
    definitions = list(told.definitions)
    return CheckedLeaf(parameter.id, name, parameter.shape, parameter.dtype, worst, len(elements), of, elements, definitions)


def _factors(asked: Asked, recording: Recording, told: wire.Factors) -> dict[str, Any] | None:
    if told.index != asked.index or told.node != asked.node:
        return None
    numbers, tensors = recording.numbers(asked.index), Tensors(told.tensors)
    graph = numbers.graph
    node = graph.nodes[asked.node]
    edges: list[FactoredEdge] = []
    products = {product.slot: product for product in told.products}
    for place, edge in enumerate(graph.edges):
        if edge.source != node.id or not edge.gradient or edge.slot not in products:
            continue
        product, gradient = products[edge.slot], numbers.edge(place)
        given = tensors.summary(product.given)
        edges.append(
            FactoredEdge(
                edge=edge.id,
                slot=edge.slot,
                target=edge.target,
                input=edge.input,
                factors=[
                    factor
                    for row in told.factors
                    if row.slot == edge.slot and (factor := _factor(row, tensors, tensors.shape(product.given)))
                ],
                product=tensors.summary(product.summed),
                gradient=gradient,
                equal=_equal(given, gradient),
            )
        )
    return {"node": node.id, "arrived": [numbers.used(asked.node, at) for at in range(node.outputs)], "edges": edges}


def _equal(given: model.TensorSummary | None, recorded: model.TensorSummary | None) -> bool:
    if given is None or recorded is None or given.shape != recorded.shape:
        return False
    if recorded.values is not None:
        return bool(given.values == recorded.values)
    return (given.min, given.max, given.norm) == (recorded.min, recorded.max, recorded.norm)


def _factor(row: wire.FactorRow, tensors: Tensors, by: list[int]) -> Factor | None:
    array = tensors.array(row.row)
    if array is None:
        return None
    of = list(array.shape[: array.ndim - len(by)])
    square = array.reshape(math.prod(of), math.prod(by))
    diagonal = of == by and len(square) > 1 and not np.any(square[~np.eye(len(square), dtype=bool)])
    shown = np.diagonal(square).reshape(of) if diagonal else array
    return Factor(row.output, of, by, bool(diagonal), _finite(shown.tolist()))


def _finite(value: Any) -> Any:
    return [_finite(item) for item in value] if isinstance(value, list) else number(value)

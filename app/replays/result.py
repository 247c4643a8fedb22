"""Build the result of a replay from the events of its process."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from typing import Any, Final, Literal

import numpy as np
from msgspec import UNSET, Struct, UnsetType, field

from .. import model, wire
from ..recording import Recording, Tensors, json_number, json_values
from .dependence import DataDependence, dependences
from .request import ReplayRequest
from .watched import ExpressionError, FoundValue, WatchedSeries, watched

Verdict = Literal["right", "kink", "wrong", "unknown", "defined"]
VERDICTS: Final[tuple[Verdict, ...]] = ("right", "kink", "wrong", "unknown", "defined")
PATH: Final = 2_000
"""Largest number of steps of a path. A longer path is reduced to evenly spaced steps."""


class Difference(Struct, frozen=True):
    """The first difference between a replay and the recording. ``name`` is the value that differs in step ``step``."""

    step: int
    name: str
    recorded: Any
    replayed: Any
    sentence: str


class SurfaceAxis(Struct, frozen=True):
    """An axis of a surface: an element of a parameter, or a scalar if ``element`` is ``null``.

    ``key`` is the name of the axis in the result.
    """

    key: str
    id: str
    name: str | None
    element: list[int] | None


class CheckedElement(Struct, frozen=True):
    """The recorded gradient of an element and the computed slope of the loss, by central differences.

    ``left`` and ``right`` are the one-sided slopes. ``tolerance`` is the largest accepted difference. ``part`` is ``re`` or
    ``im`` for a complex element. ``verdict`` is one of:

    - ``right``: the gradient equals the slope within the tolerance.
    - ``kink``: the loss has a kink here, and the gradient lies between the two slopes or combines several kinks.
    - ``defined``: the gradient differs from the slope because PyTorch defines it so, for example for a padding row.
    - ``wrong``: none of these explains the gradient.
    - ``unknown``: the loss or the gradient is not finite here.
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
    """The check of a leaf. ``verdict`` is the worst verdict on its checked elements.

    ``checked`` is the number of checked elements, ``of`` the number of all elements. The real and the imaginary part of a
    complex element count separately. ``definitions`` names the causes of the verdict ``defined``, such as ``padding_idx``.
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
    """The derivative of an output of a node with respect to the tensor at the other end of an edge.

    ``of`` is the shape of the output, ``by`` the shape of that tensor. ``values`` has the shape ``of + by``. If ``diagonal``
    is true, each element of the output depends only on the element with the same index, and ``values`` has the shape ``of``.
    """

    output: int
    of: list[int]
    by: list[int]
    diagonal: bool
    values: Any


class FactoredEdge(Struct, frozen=True):
    """An edge of a node with its factors.

    ``gradient`` is the recorded gradient on the edge, ``product`` the arrived gradient times the factors. The product can
    differ by rounding, because it is summed in another order. ``equal`` is true if the node, called again with the arrived
    gradient, returns exactly the recorded gradient.
    """

    edge: str
    slot: int
    target: str
    input: int
    factors: list[Factor]
    product: model.TensorSummary | None
    gradient: model.TensorSummary | None
    equal: bool


class ListedElement(Struct, frozen=True):
    """An element of a tensor, by its index along each dimension."""

    element: list[int]
    value: float | str


class Distribution(Struct, frozen=True):
    """The distribution of a tensor's elements, or of the magnitudes of complex elements.

    ``counts`` has the number of finite elements in each of 24 bins of equal width, from ``low`` to ``high``: the smallest
    and the largest finite element. There is one bin if both are equal, and none if no element is finite.
    ``largest`` has up to five finite elements of largest magnitude, the largest first. ``bad`` is the first element that is
    NaN or infinite.
    """

    shape: list[int]
    low: float | str
    high: float | str
    counts: list[int]
    largest: list[ListedElement]
    bad: ListedElement | None


class Replay(Struct, frozen=True, kw_only=True, rename={"index": "pass"}):
    """A replay and its result.

    ``repeatable`` is true if the replay repeated the recorded numbers, and ``null`` if that is unknown. If it is false,
    ``difference`` has the first difference. ``reason`` explains why there is no result. ``fixed`` describes the values that the
    replay kept constant. ``owner_key`` identifies a caller that had no key; it is needed to cancel the replay. ``queue`` is
    present while the replay waits for its turn.

    A surface has ``parameters`` (its axes), ``grid`` (the values of each axis, by key) and ``loss``. The loss has one number
    per grid point, or ``null`` where it cannot be computed. With two axes it has a row for each value of the first. ``at`` is
    the recorded point, ``path`` the values of the parameters over the steps.

    A check has ``leaves`` and ``right``. ``right`` is ``false`` if a gradient is wrong, and ``null`` if none is wrong but some
    could not be judged. ``precision`` is the dtype of the differences, ``gradient_precision`` the coarsest dtype in the pass
    itself. ``functions`` names the custom ``autograd.Function`` classes in the pass.

    The result of ``watch`` and ``seek`` has ``line``, ``expression`` and ``errors``, and either the values (``watched``) or the
    first true one (``found``), which is ``null`` if there is none. Such a replay does not belong to a pass. If possible, it
    runs the program without recording it. Then less is compared with the recording than for other replays: the loss of each
    step and its number of passes; the parameters and gradients of the first step, of every hundredth and of the last; and the
    parameters after the last step, except those whose names were then bound to other tensors. If any of these differ, or if the
    program starts threads, is traced or compiled, or has a loss that is not a single real number, everything is recorded and
    compared.

    A replay of kind ``step`` or ``elements`` has no further fields. After ``step``, request the step itself again: it is whole
    as long as the server remembers it. After ``elements``, ``why`` explains the elements.

    Factors have ``node``, ``arrived`` (the gradient at each output of the node) and ``edges``.

    A distribution has ``node``, ``value`` (the distribution of the node's value) and ``gradients`` (those of the gradients at
    its first 16 outputs, after hooks). Each is ``null`` if the tensor is not available.

    A dependence has ``node``, the ``dimension`` of its value along which the rows lie, their number ``length``, and ``data``:
    an entry for each dimension of the node's data that has as many rows. Data without a name in the program counts only if
    there is no other.
    """

    id: str
    what: model.ReplayKind
    step: int
    index: int | None
    status: Literal["queued", "running", "done"] = "done"
    repeatable: bool | None = None
    difference: Difference | None = None
    reason: str | None = None
    fixed: str | UnsetType = UNSET
    loss_name: str | UnsetType | None = UNSET
    parameters: list[SurfaceAxis] | UnsetType = UNSET
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
    value: Distribution | UnsetType | None = UNSET
    gradients: list[Distribution | None] | UnsetType = UNSET
    dimension: int | UnsetType = UNSET
    length: int | UnsetType = UNSET
    data: list[DataDependence] | UnsetType = UNSET
    line: int | UnsetType | None = UNSET
    expression: str | UnsetType = UNSET
    watched: WatchedSeries | UnsetType = UNSET
    found: FoundValue | UnsetType | None = UNSET
    errors: list[ExpressionError] | UnsetType = UNSET
    links: dict[str, str] = field(default_factory=dict)
    owner_key: str | UnsetType = UNSET
    queue: model.QueuePosition | UnsetType = UNSET


def result_of(request: ReplayRequest, recording: Recording, answers: Sequence[wire.Answer]) -> Replay:
    """Return the result of a replay that has repeated the recorded numbers."""
    common: dict[str, Any] = {
        "id": request.id, "what": request.what, "step": request.step, "repeatable": True,
        "index": None if request.expression else request.index,
    }  # fmt: skip
    for answer in answers:
        if isinstance(answer, wire.Refused):
            return Replay(**common, reason=answer.reason)
    found: dict[str, Any] | None = None
    match request.what:
        case "surface":
            surface = next((answer for answer in answers if isinstance(answer, wire.Surface)), None)
            found = None if surface is None else _surface(request, recording, surface)
        case "check":
            checked = [answer for answer in answers if isinstance(answer, wire.Checked)]
            found = _check(request, recording, checked) if checked else None
        case "factors":
            factors = next((answer for answer in answers if isinstance(answer, wire.Factors)), None)
            found = None if factors is None else _factors(request, recording, factors)
        case "distribution":
            distributions = next((answer for answer in answers if isinstance(answer, wire.Distributions)), None)
            found = None if distributions is None else _distributions(request, recording, distributions)
        case "dependence":
            depends = next((answer for answer in answers if isinstance(answer, wire.Dependence)), None)
            found = None if depends is None else dependences(request, recording, depends)
        case "watch" | "seek":
            found = watched(request, [answer for answer in answers if isinstance(answer, wire.ExpressionValues)])
        case "step" | "elements":
            found = {"index": None}
    if found is None:
        return Replay(**common, reason="The replay ended without a result.")
    return Replay(**common | found)


def fixed(request: ReplayRequest) -> str:
    """Return a sentence about the values that stay constant while leaves take other values."""
    return (
        f"The data, the random state and all detached values of step {request.step} stay fixed. "
        "PyTorch computes the recorded calls again."
    )


def _surface(request: ReplayRequest, recording: Recording, event: wire.Surface) -> dict[str, Any] | None:
    targets = request.targets
    axes = [np.frombuffer(axis, "<f8") for axis in event.axes]
    if event.index != request.index or len(axes) != len(targets) or any(len(axis) != request.points for axis in axes):
        return None
    numbers = recording.numbers(request.index)
    root = numbers.value(numbers.node_index(numbers.graph.roots[0]))
    recorded = None if root is None or root.values is None else next(_leaves(root.values))
    slopes = [_slope(recording, request.index, target.parameter, target.flat) for target in targets]
    if recorded is not None and recorded != json_number(event.loss):
        return {"reason": "The recomputed loss differs from the recorded loss."}
    if any(slope is not None and slope != json_number(mine) for slope, mine in zip(slopes, event.slope, strict=True)):
        return {"reason": "The recomputed gradient differs from the recorded gradient."}
    values = np.frombuffer(event.losses, "<f8").reshape([len(axis) for axis in axes])
    failed = np.frombuffer(event.failed, np.uint8).reshape(values.shape) != 0
    step = recording.log.step(request.step)
    keys = [target.key for target in targets]
    gradient = [json_number(slope) for slope in event.slope]
    return {
        "fixed": fixed(request),
        "loss_name": step.loss_name if step.main == request.index else None,
        "parameters": [
            SurfaceAxis(
                target.key, f"p{target.parameter}", target.name, None if target.element is None else list(target.element)
            )
            for target in targets
        ],
        "grid": {key: [json_number(float(value)) for value in axis] for key, axis in zip(keys, axes, strict=True)},
        "loss": _listed(values, failed),
        "at": {key: json_number(value) for key, value in zip(keys, event.at, strict=True)}
        | {"loss": json_number(event.loss), "grad": gradient[0] if len(keys) == 1 else dict(zip(keys, gradient, strict=True))},
        "path": path(request, recording),
    }


def path(request: ReplayRequest, recording: Recording) -> dict[str, list[Any]]:
    """Return the values of the targets and the loss over all steps whose loss has the same name as in the requested step.

    Steps in which the elements were not recorded are left out.
    """
    log = recording.log
    name = log.step(request.step).loss_name
    count = log.counts()[2]
    steps = range(count) if count <= PATH else np.unique(np.linspace(0, count - 1, PATH).round().astype(int)).tolist()
    found: dict[str, list[Any]] = {"step": [], **{target.key: [] for target in request.targets}, "loss": []}
    for index in steps:
        event = log.step(index)
        rows = {row.parameter: row.value for row in event.parameters}
        if event.loss_name != name or not all(target.parameter in rows for target in request.targets):
            continue
        tensors = Tensors(event.tensors)
        arrays = [tensors.array(rows[target.parameter]) for target in request.targets]
        loss = tensors.array(event.loss_row)
        if any(array is None for array in arrays):
            continue
        found["step"].append(index)
        for target, array in zip(request.targets, arrays, strict=True):
            assert array is not None
            found[target.key].append(json_number(float(array.reshape(-1)[target.flat])))
        found["loss"].append(json_number(float(loss.reshape(-1)[0])) if loss is not None and loss.size == 1 else None)
    return found


def _slope(recording: Recording, index: int, parameter: int, flat: int) -> float | str | None:
    """Return the recorded gradient of an element in a pass, or ``None`` if it was not recorded."""
    numbers = recording.numbers(index)
    for position, node in enumerate(numbers.graph.nodes):
        if node.parameter == f"p{parameter}":
            used = numbers.used(position)
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
    return [None if gone else json_number(float(value)) for value, gone in zip(values, failed, strict=True)]


def _check(request: ReplayRequest, recording: Recording, event: Sequence[wire.Checked]) -> dict[str, Any]:
    leaves = [checked_leaf(recording, each) for each in event if each.index == request.index]
    return {
        "fixed": fixed(request),
        "right": all_right({leaf.verdict for leaf in leaves}),
        "precision": event[0].precision,
        "gradient_precision": event[0].own,
        "functions": list(event[0].functions),
        "leaves": leaves,
    }


def all_right(verdicts: Set[Verdict]) -> bool | None:
    """Return whether gradients with these verdicts are all right; ``None`` if some could not be judged.

    >>> all_right({"right", "kink", "defined"}), all_right({"right", "wrong", "unknown"}), all_right({"right", "unknown"})
    (True, False, None)
    """
    return False if "wrong" in verdicts else None if "unknown" in verdicts else True


def checked_leaf(recording: Recording, event: wire.Checked) -> CheckedLeaf:
    """Return a leaf with the verdicts on its elements."""
    parameter = next(each for each in recording.parameters() if each.id == f"p{event.parameter}")
    is_complex = "complex" in parameter.dtype
    count = math.prod(parameter.shape)
    names = ("recorded", "central", "left", "right", "tolerance")
    columns = [np.frombuffer(getattr(event, name), "<f8").tolist() for name in names]
    elements: list[CheckedElement] = []
    for at, index in enumerate(np.frombuffer(event.elements, "<i8").tolist()):
        flat, part = divmod(index, 2) if is_complex else (index, 0)
        if flat < count:
            where = [int(each) for each in np.unravel_index(flat, parameter.shape)] if parameter.shape else []
            recorded, central, left, right, tolerance = (json_number(column[at]) for column in columns)
            side: Literal["re", "im"] | None = None if not is_complex else "im" if part else "re"
            verdict = VERDICTS[event.verdict[at]]
            elements.append(CheckedElement(where, recorded, central, left, right, tolerance, verdict, side))
    order: tuple[Verdict, ...] = ("wrong", "unknown", "kink", "defined", "right")
    worst: Verdict = next((verdict for verdict in order if any(each.verdict == verdict for each in elements)), "unknown")
    name = parameter.names[0] if parameter.names else None
    of = 2 * count if is_complex else count
    definitions = list(event.definitions)
    return CheckedLeaf(parameter.id, name, parameter.shape, parameter.dtype, worst, len(elements), of, elements, definitions)


def _factors(request: ReplayRequest, recording: Recording, event: wire.Factors) -> dict[str, Any] | None:
    if event.index != request.index or event.node != request.node:
        return None
    numbers, tensors = recording.numbers(request.index), Tensors(event.tensors)
    graph = numbers.graph
    node = graph.nodes[request.node]
    edges: list[FactoredEdge] = []
    products = {product.slot: product for product in event.products}
    for index, edge in enumerate(graph.edges):
        if edge.source != node.id or not edge.gradient or edge.slot not in products:
            continue
        product, gradient = products[edge.slot], numbers.edge(index)
        given = tensors.summary(product.given)
        edges.append(
            FactoredEdge(
                edge=edge.id,
                slot=edge.slot,
                target=edge.target,
                input=edge.input,
                factors=[
                    factor
                    for row in event.factors
                    if row.slot == edge.slot and (factor := _factor(row, tensors, tensors.shape(product.given)))
                ],
                product=tensors.summary(product.summed),
                gradient=gradient,
                equal=_equal(given, gradient),
            )
        )
    return {"node": node.id, "arrived": [numbers.used(request.node, at) for at in range(node.outputs)], "edges": edges}


def _distributions(request: ReplayRequest, recording: Recording, event: wire.Distributions) -> dict[str, Any] | None:
    if event.index != request.index or event.node != request.node:
        return None
    numbers = recording.numbers(request.index)
    node = numbers.graph.nodes[request.node]
    pairs = [(event.value, numbers.value(request.node))]
    pairs += [(row, numbers.used(request.node, at)) for at, row in enumerate(event.gradients[: node.outputs])]
    if not all(_same_range(row, recorded) for row, recorded in pairs):
        return {"reason": "The recomputed tensor differs from the recorded one."}
    value, *gradients = [None if row is None else _distribution(row) for row, _ in pairs]
    return {"node": node.id, "value": value, "gradients": gradients}


def _same_range(row: wire.DistributionRow | None, recorded: model.TensorSummary | None) -> bool:
    """Return whether a tensor has the recorded shape, minimum and maximum, as far as these were recorded."""
    if row is None or recorded is None:
        return True
    if row.shape != recorded.shape:
        return False
    known = recorded.min is not None and row.bad is None and "complex" not in recorded.dtype
    return not known or (json_number(row.low), json_number(row.high)) == (recorded.min, recorded.max)


def _distribution(row: wire.DistributionRow) -> Distribution:
    def listed(position: int, value: float) -> ListedElement:
        element: list[int] = []
        for size in reversed(row.shape):
            position, at = divmod(position, size)
            element.insert(0, at)
        return ListedElement(element, json_number(value))

    return Distribution(
        shape=row.shape,
        low=json_number(row.low),
        high=json_number(row.high),
        counts=row.counts,
        largest=[listed(*each) for each in row.largest],
        bad=None if row.bad is None else listed(*row.bad),
    )


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
    return Factor(row.output, of, by, bool(diagonal), json_values(shown))

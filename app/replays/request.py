"""Read the request for a replay: resolve its names and fill in its defaults."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from typing import Any, Final, get_args

import msgspec
import numpy as np
from msgspec import Struct

from .. import model, wire
from ..errors import InvalidInput, NotFound, UnreadableInput
from ..recording import MOST_ELEMENTS, Recording

POINTS: Final = (101, 201)
"""Default and largest number of points of a surface over one element."""
GRID: Final = (21, 41)
"""Default and largest number of points of each axis of a surface over two elements."""
ELEMENTS: Final = (16, 256)
"""Default and largest number of elements that a check examines in each leaf."""
FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "surface": ("step", "what", "pass", "parameters", "points", "ranges"),
    "check": ("step", "what", "pass", "parameters", "elements"),
    "factors": ("step", "what", "pass", "node"),
    "distribution": ("step", "what", "pass", "node"),
    "dependence": ("step", "what", "pass", "node", "dimension"),
    "watch": ("step", "what", "line", "expression"),
    "seek": ("step", "what", "line", "expression"),
    "step": ("step", "what"),
    "elements": ("step", "what"),
}
OF_A_PASS: Final = ("surface", "check", "factors", "distribution", "dependence")
"""The kinds of replays that compute something for one pass."""
MOST_DIMENSION: Final = 63
"""Largest index of the dimension of a dependence. PyTorch's tensors have at most 64 dimensions."""
EXPRESSION_LENGTH: Final = 1_000
"""Largest number of characters of a watched expression."""
_INDEX: Final = re.compile(r"\s*\d{1,9}\s*(?:,\s*\d{1,9}\s*)*\]")
"""The index of an element after its opening bracket."""


class ReplayTarget(Struct, frozen=True):
    """An element of a parameter, or a whole parameter in a check. ``element`` is ``None`` for a scalar.

    ``low`` and ``high`` are the range of a surface's axis, if it is known.
    """

    parameter: int
    name: str | None
    shape: tuple[int, ...]
    element: tuple[int, ...] | None
    low: float | None = None
    high: float | None = None

    @property
    def key(self) -> str:
        """The name of the element in a result.

        >>> ReplayTarget(0, "m", (), None).key, ReplayTarget(1, "w", (2, 3), (0, 2)).key
        ('p0', 'p1[0,2]')
        """
        return f"p{self.parameter}" + ("" if self.element is None else f"[{','.join(map(str, self.element))}]")

    @property
    def flat(self) -> int:
        """The index of the element in the flattened tensor."""
        return int(np.ravel_multi_index(self.element, self.shape)) if self.element else 0


class ReplayRequest(Struct, frozen=True):
    """A replay to run. ``index`` is the index of the pass, ``node`` the index of a node in its graph.

    ``line`` is the line after which an ``expression`` is evaluated, or 0 for every line. ``dimension`` is that of the rows of
    a ``dependence``.
    """

    what: model.ReplayKind
    step: int
    index: int
    targets: tuple[ReplayTarget, ...] = ()
    points: int = 0
    elements: int = 0
    node: int = 0
    line: int = 0
    expression: str = ""
    dimension: int = 0

    @property
    def id(self) -> str:
        """Identifier of the replay. Neither the order of the fields nor an explicit default changes it."""
        return hashlib.blake2b(msgspec.msgpack.encode(self), digest_size=12).hexdigest()

    def job(self, seconds: float) -> wire.ReplayOrder:
        """Return the instructions for the tracer. A check ends after ``seconds`` with the elements checked so far."""
        targets = [wire.SweepTarget(target.parameter, target.flat, target.low, target.high) for target in self.targets]
        return wire.ReplayOrder(
            self.what, self.step, self.index, targets, self.points, self.elements, self.node, seconds=seconds, line=self.line,
            expression=self.expression, kept=MOST_ELEMENTS if self.what == "elements" else 0, dimension=self.dimension,
        )  # fmt: skip


def read(body: bytes, recording: Recording, capture: model.Capture, lines: int) -> ReplayRequest:
    """Read a request for a replay of a recording, whose program has ``lines`` lines.

    Raises :class:`UnreadableInput` and :class:`InvalidInput`.
    """
    fields = _fields(body)
    what = fields["what"]
    if capture == "graph":
        raise InvalidInput("This run was recorded without numbers (`capture: graph`), so a replay cannot be compared with it.")
    if what in ("watch", "seek"):
        return _watch(fields, recording, lines)
    step = _step(fields.get("step"), recording)
    if what in ("step", "elements"):
        return ReplayRequest(what, step.index, 0)
    index = _pass(fields.get("pass"), step)
    event = recording.log.pass_(index)
    if event.graph < 0:
        raise InvalidInput(f"The graph of pass {index} was not recorded: it was too large.", where="pass")
    graph = recording.graph(event.graph)
    if what in ("factors", "dependence"):
        node = _node(fields.get("node"), graph)
        if graph.nodes[node].kind != "op":
            kind = "a leaf" if graph.nodes[node].kind == "leaf" else "a constant"
            lacks = "has no factors" if what == "factors" else "depends on no data"
            raise InvalidInput(f"n{node} is {kind}: no operation computed it, so it {lacks}.", where="node")
        dimension = _count(fields.get("dimension", 0), 0, MOST_DIMENSION, "dimension")
        return ReplayRequest(what, step.index, index, node=node, dimension=dimension)
    if what == "distribution":
        node = _node(fields.get("node"), graph)
        if graph.nodes[node].kind == "constant":
            raise InvalidInput(f"n{node} is a constant: choose an operation or a leaf.", where="node")
        return ReplayRequest(what, step.index, index, node=node)
    known = {f"p{row.parameter}" for row in step.parameters} & {node.parameter for node in graph.nodes if node.parameter}
    parameters = {each.id: each for each in recording.parameters() if each.id in known}
    if what == "check":
        named = _list(fields.get("parameters", []), "parameters")
        chosen = [_parameter(each, parameters, step.index) for each in named]
        targets = tuple(ReplayTarget(_number(each.id), _name(each), tuple(each.shape), None) for each in chosen)
        elements = _count(fields.get("elements", ELEMENTS[0]), 1, ELEMENTS[1], "elements")
        return ReplayRequest(what, step.index, index, targets, elements=elements)
    _check_loss(recording, index, step.index)
    targets = _targets(fields.get("parameters"), parameters, step.index)
    usual, most = POINTS if len(targets) == 1 else GRID
    points = _count(fields.get("points", usual), 2, most, "points")
    return ReplayRequest(what, step.index, index, _with_ranges(targets, fields.get("ranges")), points)


def _fields(body: bytes) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise UnreadableInput(f"The body is not valid JSON: {error}.") from error
    example = '{"step": 3, "what": "surface", "parameters": ["m"]}'
    if not isinstance(fields, dict):
        raise InvalidInput(f"The body is not an object: send a body such as {example}.")
    what = str(fields.get("what"))
    if what not in get_args(model.ReplayKind):
        raise InvalidInput(
            f"what must be one of {', '.join(get_args(model.ReplayKind))}: send a body such as {example}.", where="what"
        )
    for name in fields:
        if name not in FIELDS[what]:
            raise InvalidInput(f"Unknown field {name[:60]!r}: a {what} has {', '.join(FIELDS[what])}.", where=name[:60])
    return fields


def _watch(fields: dict[str, Any], recording: Recording, lines: int) -> ReplayRequest:
    last = max(recording.log.counts()[2] - 1, 0)
    step = _step(fields.get("step", last), recording)
    line = fields.get("line")
    if line is not None and not (_whole(line) and 1 <= line <= lines):
        raise InvalidInput(f"line must be a line of the program: 1 to {lines}.", where="line")
    expression = fields.get("expression")
    if not isinstance(expression, str) or not expression.strip():
        raise InvalidInput('expression must be a Python expression, such as "w.grad.norm()".', where="expression")
    if len(expression) > EXPRESSION_LENGTH:
        raise InvalidInput(
            f"expression has {len(expression):,} characters: the limit is {EXPRESSION_LENGTH:,}.", where="expression"
        )
    return ReplayRequest(fields["what"], step.index, 0, line=line or 0, expression=expression.strip())


def _step(value: Any, recording: Recording) -> wire.StepEvent:
    count = recording.log.counts()[2]
    if not count:
        raise InvalidInput("This run has no steps, so it cannot be replayed.", where="step")
    if not _whole(value) or not 0 <= value < count:
        which = "the only one is 0" if count == 1 else f"they are 0 to {count - 1}"
        raise InvalidInput(f"step must be the index of a step of this run: {which}.", where="step")
    return recording.log.step(value)


def _pass(value: Any, step: wire.StepEvent) -> int:
    if value is None:
        if step.main < 0:
            raise InvalidInput(f"Step {step.index} has no pass: choose another step.", where="step")
        return step.main
    if not _whole(value) or value not in step.passes:
        raise InvalidInput(f"The passes of step {step.index} are {', '.join(map(str, step.passes[:20]))}.", where="pass")
    return int(value)


def _node(value: Any, graph: model.Graph) -> int:
    found = next((index for index, node in enumerate(graph.nodes) if node.id == value), None)
    if found is None or not isinstance(value, str):
        raise InvalidInput(f"node must be the id of a node of {graph.id}: n0 to n{len(graph.nodes) - 1}.", where="node")
    return found


def _check_loss(recording: Recording, index: int, step: int) -> None:
    if recording.log.pass_(index).summary:
        return  # the root was not recorded: the replay checks whether it is a single number
    numbers = recording.numbers(index)
    roots = numbers.graph.roots
    value = numbers.value(numbers.node_index(roots[0])) if len(roots) == 1 else None
    if value is None or math.prod(value.shape) != 1:
        if value is not None:
            start = f"starts at a tensor of shape {value.shape}, not at a single number"
        else:
            start = f"starts at {len(roots)} tensors" if len(roots) > 1 else "starts at a tensor whose value was not recorded"
        raise InvalidInput(f"Step {step} has no loss to draw: pass {index} {start}.", where="step")


def _targets(value: Any, parameters: Mapping[str, model.Parameter], step: int) -> tuple[ReplayTarget, ...]:
    if value is None:
        scalars = [each for each in parameters.values() if math.prod(each.shape) == 1]
        if not 1 <= len(scalars) == len(parameters) <= 2:
            raise InvalidInput(
                f'Name one or two elements of parameters, such as "parameters": ["{_example(parameters)}"].', where="parameters"
            )
        value = [each.id for each in scalars]
    given = _list(value, "parameters")
    if not 1 <= len(given) <= 2:
        raise InvalidInput("A surface has one or two elements of parameters as its axes.", where="parameters")
    targets = tuple(_target(each, parameters, step) for each in given)
    if len({target.key for target in targets}) < len(targets):
        raise InvalidInput("The two elements of a surface must differ.", where="parameters")
    return targets


def _target(text: Any, parameters: Mapping[str, model.Parameter], step: int) -> ReplayTarget:
    element: tuple[int, ...] | None = None
    found = _find(text, parameters)
    if found is None and isinstance(text, str):
        name, _, index = text.rpartition("[")
        if _INDEX.fullmatch(index):
            found = _find(name.rstrip(), parameters)
            element = tuple(int(part) for part in index[:-1].split(","))
    if found is None:
        found = _parameter(text, parameters, step)
    if "float" not in found.dtype:
        raise InvalidInput(f"{_shown(found)} is {found.dtype}: the axes of a surface are real numbers.", where="parameters")
    shape = tuple(found.shape)
    if math.prod(shape) == 0:
        raise InvalidInput(f"{_shown(found)} has no elements.", where="parameters")
    if element is None and shape:
        if math.prod(shape) > 1:
            first = ",".join("0" for _ in shape)
            raise InvalidInput(
                f"{_shown(found)} has the shape {list(shape)}: name one of its elements, such as {_shown(found)}[{first}].",
                where="parameters",
            )
        element = tuple(0 for _ in shape)
    if element is not None and (len(element) != len(shape) or any(at >= size for at, size in zip(element, shape, strict=True))):
        raise InvalidInput(
            f"{_shown(found)} has the shape {list(shape)}, so it has no element {list(element[:8])}.", where="parameters"
        )
    return ReplayTarget(_number(found.id), _name(found), shape, element)


def _parameter(text: Any, parameters: Mapping[str, model.Parameter], step: int) -> model.Parameter:
    found = _find(text, parameters)
    if found is None:
        known = ", ".join(f"{each.id} ({_name(each)})" if each.names else each.id for each in list(parameters.values())[:20])
        wanted = f"parameter {text[:60]!r}" if isinstance(text, str) else "such parameter"
        existing = f"there are {known}" if known else "it has none"
        raise InvalidInput(f"There is no {wanted} in this pass of step {step}: {existing}.", where="parameters")
    return found


def _find(text: Any, parameters: Mapping[str, model.Parameter]) -> model.Parameter | None:
    if not isinstance(text, str):
        return None
    return parameters.get(text) or next((each for each in parameters.values() if text in each.names), None)


def _with_ranges(targets: tuple[ReplayTarget, ...], value: Any) -> tuple[ReplayTarget, ...]:
    if value is None:
        return targets
    given = _list(value, "ranges")
    if len(given) != len(targets):
        raise InvalidInput("Give a range for each parameter: [low, high], or null.", where="ranges")
    return tuple(target if each is None else _within(target, each) for target, each in zip(targets, given, strict=True))


def _within(target: ReplayTarget, value: Any) -> ReplayTarget:
    numbers = isinstance(value, list) and len(value) == 2 and all(_is_number(each) for each in value)
    if not numbers or not value[0] < value[1]:
        raise InvalidInput("A range must be two numbers, [low, high].", where="ranges")
    return msgspec.structs.replace(target, low=float(value[0]), high=float(value[1]))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e38


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > 1_000:
        raise InvalidInput(f"{where} must be a list.", where=where)
    return value


def _count(value: Any, low: int, high: int, where: str) -> int:
    if not _whole(value) or not low <= value <= high:
        raise InvalidInput(f"{where} must be a whole number from {low} to {high}.", where=where)
    return int(value)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(id: str) -> int:
    return int(id.removeprefix("p"))


def _name(parameter: model.Parameter) -> str | None:
    return parameter.names[0] if parameter.names else None


def _shown(parameter: model.Parameter) -> str:
    return _name(parameter) or parameter.id


def _example(parameters: Mapping[str, model.Parameter]) -> str:
    for each in parameters.values():
        index = ",".join("0" for _ in each.shape)
        return _shown(each) + (f"[{index}]" if index else "")
    raise NotFound("This pass has no parameters.")

"""Find the local derivatives of a node from the numbers of a pass, by a rule and the options that fit these numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import combinations, islice, permutations, product
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from .. import model
from ..formulas import GRADIENTS, IN_EVALUATION, RULES, LocalRule, joining, splitting
from ..formulas.evaluate import evaluate, gradient
from ..formulas.functions import Array
from ..formulas.moving import SPLITTING
from ..formulas.transposed import derivatives_of
from ..recording.pass_numbers import PassNumbers, TensorForm
from .literals import literals

MOST_CANDIDATES: Final = 120
"""Largest number of combinations of options that are tried for a node."""
_UNITS: Final = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float64": 2.0**-53}
"""Unit roundoff by dtype. Other dtypes have that of float32."""

Along = Literal["row", "column"]
"""A row has the derivatives of one element of a result, a column those by one element of an operand."""
Entries = list[tuple[int, float]]
"""Positions in a flattened tensor, each with a derivative."""
_Failures: Final = (KeyError, ValueError, IndexError, TypeError, ZeroDivisionError, np.linalg.LinAlgError)
"""Exceptions that NumPy raises for operands or options that do not fit."""


class Derivative(NamedTuple):
    """The derivative of the element ``at`` of an output, flattened, by an element of an operand."""

    output: int
    at: int
    factor: float


class LocalDerivatives:
    """The derivatives of one node's result, by its operands. Operands have the names that the rule gives them."""

    def __init__(self, numbers: PassNumbers, node: int, lines: Sequence[str]) -> None:
        self._numbers = numbers
        self._node = numbers.graph.nodes[node]
        self._index = node
        self._lines = lines
        self._lines_of: dict[tuple[str | int, ...], Array | None] = {}
        self._factors_of: dict[str, Array] = {}
        self._proved: set[str] = set()
        """The operands for which the rule gives the recorded gradient."""

    @cached_property
    def rule(self) -> LocalRule | None:
        """The rule of the node, if there is one."""
        if self._node.kind != "op":
            return None
        edges = self._numbers.edges_from(self._index)
        op, outputs = self._node.op, self._node.outputs
        if op == IN_EVALUATION.op and (form := self._saved_form("result1")) is not None and 0 in form.shape:
            return IN_EVALUATION
        return RULES.get(op) or splitting(op, outputs) or joining(op, 1 + max((edge.slot for _, edge in edges), default=-1))

    def _saved_form(self, name: str) -> TensorForm | None:
        """Return the shape and dtype of a saved tensor; ``None`` if there is none."""
        at = self._node.saved.index(name) if name in self._node.saved else -1
        return self._numbers.form("saved", self._index, at) if at >= 0 else None

    @cached_property
    def edges(self) -> Mapping[str, tuple[int, model.Edge]]:
        """The edges of the node by the names of their operands, each with its index."""
        names = list(self.rule.gradients) if self.rule is not None else []
        found = [(at, edge) for at, edge in self._numbers.edges_from(self._index) if 0 <= edge.slot < len(names)]
        return {names[edge.slot]: (at, edge) for at, edge in found}

    def target(self, operand: str) -> tuple[int, int] | None:
        """Return the node that computed an operand and the index of its output; ``None`` for a number in the program."""
        found = self.edges.get(operand)
        return None if found is None else (int(found[1].target[1:]), found[1].input)

    @cached_property
    def known(self) -> Mapping[str, Any]:
        """The operands, saved tensors and result, as far as they were recorded; NaN where only the shape is known."""
        numbers, names = self._numbers, dict[str, Any]()
        for operand in self.edges:
            target = self.target(operand)
            if target is None:
                continue
            first = target[1] == 0
            array = numbers.array("value", target[0]) if first else None
            if array is None:
                array = self._moved(*target)
            if array is not None:
                names[operand] = array
            else:
                form = numbers.form("value", target[0]) if first else None
                form = form or numbers.form("edge", self.edges[operand][0])
                if form is not None and "complex" not in form.dtype:
                    names[operand] = np.broadcast_to(np.nan, tuple(form.shape))
        for at, name in enumerate(self._node.saved):
            if (array := numbers.array("saved", self._index, at)) is not None and not np.isnan(array).all():
                form = numbers.form("saved", self._index, at)
                mask = form is not None and form.dtype == "bool"
                names[re.sub(r"\[(\d+)\]", r"\1", name)] = array.astype(bool) if mask else array
        if (array := numbers.array("value", self._index)) is not None:
            names["result"] = array
        return names

    def _moved(self, node: int, output: int) -> Array | None:
        """Return a result of an operation that only moves elements: a transpose in a linear layer, or a part of a split."""
        local = LocalDerivatives(self._numbers, node, self._lines)
        if local.rule is None or not local.rule.plain or list(local.rule.gradients) != ["self"] or local.options is None:
            return None
        source, result = local.known.get("self"), local.grads.get(output)
        if source is None or result is None or source.size < result.size or np.isnan(source).all():
            return None
        counted = np.arange(1.0, result.size + 1).reshape(result.shape)
        known = {**local.known, **local.options, **local.gradients(output, counted)}
        places = gradient(local.rule, "self", known["grad"], known, source.shape).reshape(-1)
        moved = places != 0
        if not np.array_equal(np.sort(places[moved]), counted.reshape(-1)):
            return None  # it combines elements, as an interpolation does
        found = np.empty(result.size)
        found[places[moved].astype(int) - 1] = source.reshape(-1)[moved]
        return found.reshape(result.shape)

    @cached_property
    def grads(self) -> Mapping[int, Array]:
        """The gradients that the node used, by output; empty if one was not recorded."""
        outputs = [at for at in range(self._node.outputs) if self._numbers.form("used", self._index, at) is not None]
        found = {at: array for at in outputs if (array := self._numbers.array("used", self._index, at)) is not None}
        return found if len(found) == len(outputs) and not any(np.isnan(each).any() for each in found.values()) else {}

    @cached_property
    def grad(self) -> Array | None:
        """The gradient that the node used; ``None`` if it was not recorded, or if the node has several."""
        return self.grads[0] if list(self.grads) == [0] else None

    def gradients(self, output: int, grad: Array | None) -> dict[str, Any]:
        """Return the gradients of all outputs by name in the rule: ``grad`` for one, and zeros or ``None`` for the others."""
        rule = self.rule
        names = [name for name in GRADIENTS if rule is not None and any(name in code for code in rule.gradients.values())]
        like = next(iter(self.grads.values()), np.zeros(()))
        none = None if self._node.op in SPLITTING else np.zeros(like.shape)
        others = {at: np.zeros(each.shape) for at, each in self.grads.items()}
        return {name: grad if at == output else others.get(at, none) for at, name in enumerate(names)}

    @cached_property
    def options(self) -> Mapping[str, Any] | None:
        """The options with which the rule gives the recorded gradients; ``None`` if no options do."""
        rule, grads = self.rule, self.grads
        if rule is None or not grads:
            return None
        sent = {
            operand: array
            for operand, (at, edge) in self.edges.items()
            if edge.gradient and (array := self._numbers.array("edge", at)) is not None
        }
        if not sent:
            return None
        for candidate in islice(self._candidates(rule), MOST_CANDIDATES):
            options = self._fitted(candidate, sent)
            known = {**self.known, **options}
            given = {operand: self._gives(rule, operand, known, array) for operand, array in sent.items()}
            if False not in given.values() and True in given.values():
                self._proved = {operand for operand, equal in given.items() if equal}
                return options
        return None

    def _fitted(self, options: Mapping[str, Any], sent: Mapping[str, Array]) -> Mapping[str, Any]:
        """Return options with numbers in place of texts that read the recorded gradient."""
        known = {**self.known, "grad": self.grad, "sent": next(iter(sent.values()))}
        return {
            name: evaluate(value, known) if isinstance(value, str) and "sent" in value else value
            for name, value in options.items()
        }

    def _gives(self, rule: LocalRule, operand: str, known: Mapping[str, Any], sent: Array) -> bool | None:
        """Return whether a rule gives a recorded gradient, up to rounding; ``None`` if it reads unrecorded numbers."""
        given = {**self.gradients(-1, None), **{GRADIENTS[at]: each for at, each in self.grads.items()}}
        sizes = {name: None if each is None else np.abs(each) for name, each in given.items()}
        grad = np.concatenate([each.reshape(-1) for each in self.grads.values()])
        try:
            found = gradient(rule, operand, given.get("grad"), {**known, **given}, sent.shape)
            size = gradient(rule, operand, sizes.get("grad"), {**known, **sizes}, sent.shape)
        except _Failures:
            return False
        unknown = any(np.isnan(known[name]).all() for name in rule.needs[operand] if isinstance(known.get(name), np.ndarray))
        if unknown and np.isnan(found).any():
            return None
        if found.shape != sent.shape or np.isnan(sent).any() or np.isnan(found).any():
            return False
        bound = rounding_bound(self._dtype(operand), grad.size, np.maximum(np.abs(size), np.abs(found)))
        largest = float(np.abs(sent).max(initial=0.0))
        largest = largest if math.isfinite(largest) else 0.0
        slack = 32 * _UNITS.get(self._dtype(operand), 2.0**-24) * max(largest, float(np.abs(grad).max(initial=0.0)))
        with np.errstate(invalid="ignore"):
            return bool(((np.abs(found - sent) <= bound + slack) | (found == sent)).all())

    def _dtype(self, operand: str) -> str:
        found = self._numbers.form("edge", self.edges[operand][0])
        return found.dtype if found is not None else "float32"

    def _candidates(self, rule: LocalRule) -> Iterator[dict[str, Any]]:
        """Yield options to try, those in the program's text first."""
        first, result = next(iter(self.edges), None), next(iter(self.grads.values())).shape
        shape = tuple(np.shape(self.known[first])) if first is not None and first in self.known else result
        needed = {name for operand in self.edges for name in rule.needs[operand]}
        wanted = [name for name in sorted(needed) if name not in self.known]
        written = literals(self._lines, self._node)
        choices = [_choices(name, rule, shape, result, written) for name in wanted]
        for values in product(*choices):
            yield dict(zip(wanted, values, strict=True))

    def _provides(self, operand: str) -> bool:
        """Return whether the derivatives by an operand are known."""
        rule = self.rule
        if rule is None or not self.grads or self.options is None or operand not in rule.gradients:
            return False
        unproved = operand in self.edges and self.edges[operand][1].gradient and operand not in self._proved
        return not unproved and self.shape(operand) is not None

    def shape(self, operand: str) -> tuple[int, ...] | None:
        """Return the shape of an operand."""
        form = self._numbers.form("edge", self.edges[operand][0]) if operand in self.edges else None
        if form is not None:
            return tuple(form.shape)
        return tuple(np.shape(self.known[operand])) if operand in self.known else None

    def column(self, operand: str, element: int) -> list[Derivative] | None:
        """Return the elements of the results that an operand's element influences, with the derivatives."""
        if not self._provides(operand):
            return None
        found: list[Derivative] = []
        for output in self.grads:
            line = self._line("column", operand, element, output, {})
            if line is None:
                return None
            found += [Derivative(output, at, factor) for at, factor in _entries(line)]
        return found

    def row(self, operand: str, element: int, output: int = 0) -> Entries | None:
        """Return the elements of an operand that influence an element of a result, with the derivatives."""
        if not self._provides(operand) or output not in self.grads:
            return None
        found = self._line("row", operand, element, output, {})
        return None if found is None else _entries(found)

    def _line(self, along: Along, operand: str, element: int, output: int, replaced: Mapping[str, Array]) -> Array | None:
        """Return the derivatives of one element of a result, or by one element of an operand; ``None`` if they do not exist.

        ``replaced`` has numbers to use instead of the recorded ones.
        """
        key: tuple[str | int, ...] = (along, operand, element, output, *replaced)
        if key not in self._lines_of:
            self._lines_of[key] = self._read_line(along, operand, element, output, replaced)
        return self._lines_of[key]

    def _read_line(self, along: Along, operand: str, element: int, output: int, replaced: Mapping[str, Array]) -> Array | None:
        rule, shape, result = self.rule, self.shape(operand), self.grads[output].shape
        if rule is None or shape is None:
            return None
        known = {**self.known, **replaced, **(self.options or {})}
        try:
            if self.whole(operand) == result:
                values = self._elementwise(operand, known) if replaced else self._factors(operand)
                places = _places(shape, result)
                if along == "column":
                    return np.where(places == element, values, 0.0)
                found = np.zeros(math.prod(shape))
                found[places[element]] = values[element]
                return found
            if along == "column":
                known |= self.gradients(output, None)
                return derivatives_of(rule, operand, known, result, shape, element, output)
            unit = np.zeros(result)
            unit.reshape(-1)[element] = 1.0
            known |= self.gradients(output, unit)
            return gradient(rule, operand, known.get("grad"), known, shape).reshape(-1)
        except _Failures:
            return None

    def whole(self, operand: str) -> tuple[int, ...] | None:
        """Return the shape in which an operation works element by element; ``None`` if it does not.

        This is the shape of the result, or that of the operand for a loss, which then adds up its elements.
        """
        shape, grad = self.shape(operand), self.grad
        if self.rule is None or not self.rule.elementwise or grad is None or shape is None:
            return None
        both = np.broadcast_shapes(shape, grad.shape)
        return both if both in (shape, grad.shape) else None

    def _factors(self, operand: str) -> Array:
        """Return the derivatives of an operation that works element by element, for each element of the result."""
        if operand not in self._factors_of:
            self._factors_of[operand] = self._elementwise(operand, {**self.known, **(self.options or {})})
        return self._factors_of[operand]

    def _elementwise(self, operand: str, known: Mapping[str, Any]) -> Array:
        assert self.rule is not None
        assert self.grad is not None
        shape = self.grad.shape
        found = np.asarray(evaluate(self.rule.gradients[operand], {**known, "grad": np.ones(shape)}), np.float64)
        return np.broadcast_to(found, shape).reshape(-1)

    def row_length(self, element: int) -> int:
        """Return the number of elements that influence an element of the first result."""
        rule = self.rule
        return sum(len(self.row(operand, element) or ()) for operand in (rule.sums if rule is not None else ()))

    def reads(self, operand: str, result: int, element: int, along: Along, output: int = 0) -> list[tuple[str, int]]:
        """Return the elements from which a derivative was computed: for each, an operand's name in the rule and a position.

        ``along`` says whether the caller reads the derivatives of one ``result`` or those by one ``element`` of the operand.
        """
        rule, grad, whole = self.rule, self.grad, self.whole(operand)
        if rule is None or self.shape(operand) is None:
            return []
        found: list[tuple[str, int]] = []
        for name in rule.needs[operand] + (("result",) if "result" in rule.gradients[operand] else ()):
            array = self.known.get(name)
            if array is None or name not in (*self.edges, "result"):
                continue
            if whole is not None and grad is not None:
                found.append((name, int(_places(array.shape, whole)[result if whole == grad.shape else element])))
            elif (place := self._place(operand, name, result, element, along, output)) is not None:
                found.append((name, place))
        return found

    def _place(self, operand: str, name: str, result: int, element: int, along: Along, output: int) -> int | None:
        """Return the element of an operand that is itself a derivative, as in a product of matrices; else ``None``."""
        array = self.known[name]
        line, at = (result, element) if along == "row" else (element, result)
        counted = {name: np.arange(1.0, array.size + 1).reshape(array.shape)}
        counts, values = self._line(along, operand, line, output, counted), self._line(along, operand, line, output, {})
        if counts is None or values is None:
            return None
        place = float(counts[at])
        if not place.is_integer() or not 1 <= place <= array.size:
            return None
        return int(place) - 1 if array.reshape(-1)[int(place) - 1] == values[at] else None


def rounding_bound(dtype: str, terms: int, size: Any) -> Any:
    """Return the largest difference that rounding makes in a sum of products whose sizes add up to ``size``."""
    return (terms + 16) * _UNITS.get(dtype, 2.0**-24) * size + 1e-37


def _entries(numbers: Array) -> Entries:
    places = np.flatnonzero(numbers)
    return list(zip(places.tolist(), numbers[places].tolist(), strict=True))


def _places(shape: tuple[int, ...], result: tuple[int, ...]) -> Array:
    """Return for each element of a result the element of an operand that was broadcast to it."""
    return np.broadcast_to(np.arange(math.prod(shape)).reshape(shape), result).reshape(-1)


def _choices(
    name: str, rule: LocalRule, shape: tuple[int, ...], result: tuple[int, ...], written: Mapping[str, Sequence[Any]]
) -> list[Any]:
    """Return the values that an option may have: those in the program's text, and those that the shapes allow."""
    ndim = len(shape)
    known = [*written.get(name, ())]
    match name:
        case "dim":
            groups = (dims for count in range(2, ndim + 1) for dims in combinations(range(ndim), count))
            return [*known, *range(max(ndim, len(result))), *groups] or [0]
        case "dim0" | "dim1":
            return [*known, *range(ndim)]
        case "dims":
            orders = [dims for dims in permutations(range(ndim)) if tuple(shape[each] for each in dims) == result]
            reduced = [dims for count in range(1, ndim + 1) for dims in combinations(range(ndim), count)]
            return [*known, *(orders if "unpermuted" in rule.gradients["self"] else reduced)]
        case "index" | "start":
            return [*known, *range(min(max((*shape, *result), default=1), 64))]
        case "padding" if rule.op == "ConstantPadNdBackward0" and len(result) == ndim:
            return [*known, *_paddings(shape, result)]
        case "step":
            return [1, *known, 2, 3]
        case "shifts":
            return [*known, *range(1, min(max(shape, default=1), 32))]
        case "diagonal":
            return [*known, 0, 1, -1]
    numbers = [*rule.options.get(name, ())]
    return [*known, *numbers, *(value for value in written.get("", ()) if value not in numbers)] or [0]


def _paddings(shape: tuple[int, ...], result: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield the paddings that enlarge ``shape`` to ``result``: alike on both sides, only behind, and only in front.

    Each padding begins with the last dimension.
    """
    more = [whole - inner for whole, inner in zip(result, shape, strict=True)][::-1]
    for fronts in ([each // 2 for each in more], [0] * len(more), more):
        yield tuple(size for front, both in zip(fronts, more, strict=True) for size in (front, both - front))

"""Find the local derivatives of a node from the numbers of a pass: its rule, its options, and the products they give."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import combinations, islice, permutations, product
from typing import Any, Final, Literal

import numpy as np

from .. import model
from ..formulas import RULES, LocalRule, joining
from ..formulas.evaluate import evaluate, gradient
from ..formulas.functions import Array
from ..formulas.transposed import derivatives_of
from ..recording.pass_numbers import PassNumbers
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


class LocalDerivatives:
    """The derivatives of one node's result, by its operands. ``operands`` are the names of its slots."""

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
        # joined constants have no edges, so their slots are missing
        whole = sorted(edge.slot for _, edge in edges) == list(range(len(edges)))
        return RULES.get(self._node.op) or (joining(self._node.op, len(edges)) if whole else None)

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
            if (array := numbers.array("value", target[0])) is not None or (array := self._moved(target[0])) is not None:
                names[operand] = array
            else:
                form = numbers.form("value", target[0]) or numbers.form("edge", self.edges[operand][0])
                if form is not None and "complex" not in form.dtype:
                    names[operand] = np.broadcast_to(np.nan, tuple(form.shape))
        for at, name in enumerate(self._node.saved):
            if (array := numbers.array("saved", self._index, at)) is not None and not np.isnan(array).all():
                names[name] = array
        if (array := numbers.array("value", self._index)) is not None:
            names["result"] = array
        return names

    def _moved(self, node: int) -> Array | None:
        """Return the value of an operation inside a call that only moves elements, such as a transpose in a linear layer."""
        local = LocalDerivatives(self._numbers, node, self._lines)
        if local.rule is None or not local.rule.plain or list(local.rule.gradients) != ["self"] or local.options is None:
            return None
        source, grad = local.known.get("self"), local.grad
        if source is None or grad is None or source.size != grad.size or np.isnan(source).all():
            return None
        counted = np.arange(1.0, grad.size + 1).reshape(grad.shape)
        places = gradient(local.rule, "self", counted, {**local.known, **local.options}, source.shape).astype(int).reshape(-1)
        found = np.full(grad.size + 1, np.nan)
        found[places] = source.reshape(-1)
        return found[1:].reshape(grad.shape)

    @cached_property
    def grad(self) -> Array | None:
        """The gradient that the node used; ``None`` if it was not recorded, or if the node has several."""
        used = [self._numbers.array("used", self._index, at) for at in range(self._node.outputs)]
        there = [array for array in used if array is not None]
        return there[0] if len(there) == 1 and used[0] is not None and not np.isnan(there[0]).any() else None

    @cached_property
    def options(self) -> Mapping[str, Any] | None:
        """The options with which the rule gives the recorded gradients; ``None`` if none does."""
        rule, grad = self.rule, self.grad
        if rule is None or grad is None:
            return None
        sent = {
            operand: array
            for operand, (at, edge) in self.edges.items()
            if edge.gradient and (array := self._numbers.array("edge", at)) is not None
        }
        if not sent:
            return None
        for options in islice(self._candidates(rule, grad), MOST_CANDIDATES):
            known = {**self.known, **options}
            given = {operand: self._gives(rule, operand, grad, known, array) for operand, array in sent.items()}
            if False not in given.values() and True in given.values():
                self._proved = {operand for operand, equal in given.items() if equal}
                return options
        return None

    def _gives(self, rule: LocalRule, operand: str, grad: Array, known: Mapping[str, Any], sent: Array) -> bool | None:
        """Return whether a rule gives a recorded gradient, up to rounding; ``None`` if it reads unrecorded numbers."""
        try:
            found = gradient(rule, operand, grad, known, sent.shape)
            size = gradient(rule, operand, np.abs(grad), known, sent.shape)
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

    def _candidates(self, rule: LocalRule, grad: Array) -> Iterator[dict[str, Any]]:
        """Yield options to try, those in the program's text first."""
        first = next(iter(self.edges), None)
        shape = tuple(np.shape(self.known[first])) if first is not None and first in self.known else grad.shape
        needed = {name for operand in self.edges for name in rule.needs[operand]}
        wanted = [name for name in sorted(needed) if name not in self.known]
        written = literals(self._lines, self._node)
        choices = [_choices(name, rule, shape, grad.shape, written) for name in wanted]
        for values in product(*choices):
            yield dict(zip(wanted, values, strict=True))

    def _provides(self, operand: str) -> bool:
        """Return whether the derivatives by an operand are known."""
        rule = self.rule
        if rule is None or self.grad is None or self.options is None or operand not in rule.gradients:
            return False
        unproved = operand in self.edges and self.edges[operand][1].gradient and operand not in self._proved
        return not unproved and self.shape(operand) is not None

    def shape(self, operand: str) -> tuple[int, ...] | None:
        """Return the shape of an operand."""
        form = self._numbers.form("edge", self.edges[operand][0]) if operand in self.edges else None
        if form is not None:
            return tuple(form.shape)
        return tuple(np.shape(self.known[operand])) if operand in self.known else None

    def column(self, operand: str, element: int) -> Entries | None:
        """Return the elements of the result that an operand's element influences, with the derivatives."""
        found = self._line("column", operand, element, {}) if self._provides(operand) else None
        return None if found is None else _entries(found)

    def row(self, operand: str, element: int) -> Entries | None:
        """Return the elements of an operand that influence an element of the result, with the derivatives."""
        found = self._line("row", operand, element, {}) if self._provides(operand) else None
        return None if found is None else _entries(found)

    def _line(self, along: Along, operand: str, element: int, replaced: Mapping[str, Array]) -> Array | None:
        """Return the derivatives of one element of a result, or by one element of an operand; ``None`` if they do not exist.

        ``replaced`` has numbers to use instead of the recorded ones.
        """
        key: tuple[str | int, ...] = (along, operand, element, *replaced)
        if key not in self._lines_of:
            self._lines_of[key] = self._read_line(along, operand, element, replaced)
        return self._lines_of[key]

    def _read_line(self, along: Along, operand: str, element: int, replaced: Mapping[str, Array]) -> Array | None:
        rule, grad, shape = self.rule, self.grad, self.shape(operand)
        if rule is None or grad is None or shape is None:
            return None
        known = {**self.known, **replaced, **(self.options or {})}
        try:
            if rule.elementwise:
                values = self._elementwise(operand, known) if replaced else self._factors(operand)
                places = _places(shape, grad.shape)
                if along == "column":
                    return np.where(places == element, values, 0.0)
                found = np.zeros(math.prod(shape))
                found[places[element]] = values[element]
                return found
            if along == "column":
                return derivatives_of(rule, operand, known, grad.shape, shape, element)
            unit = np.zeros(grad.shape)
            unit.reshape(-1)[element] = 1.0
            return gradient(rule, operand, unit, known, shape).reshape(-1)
        except _Failures:
            return None

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
        """Return the number of elements that influence an element of the result."""
        rule = self.rule
        return sum(len(self.row(operand, element) or ()) for operand in (rule.sums if rule is not None else ()))

    def reads(self, operand: str, result: int, element: int, along: Along) -> list[tuple[str, int]]:
        """Return the elements from which a derivative was computed: for each, an operand's name in the rule and a position.

        ``along`` says whether the caller reads the derivatives of one ``result`` or those by one ``element`` of the operand.
        """
        rule, grad = self.rule, self.grad
        if rule is None or grad is None or self.shape(operand) is None:
            return []
        found: list[tuple[str, int]] = []
        for name in rule.needs[operand] + (("result",) if "result" in rule.gradients[operand] else ()):
            array = self.known.get(name)
            if array is None or name not in (*self.edges, "result"):
                continue
            if rule.elementwise:
                found.append((name, int(_places(array.shape, grad.shape)[result])))
            elif (place := self._place(operand, name, result, element, along)) is not None:
                found.append((name, place))
        return found

    def _place(self, operand: str, name: str, result: int, element: int, along: Along) -> int | None:
        """Return the element of an operand that is itself a derivative, as in a product of matrices; else ``None``."""
        array = self.known[name]
        line, at = (result, element) if along == "row" else (element, result)
        counted = {name: np.arange(1.0, array.size + 1).reshape(array.shape)}
        counts, values = self._line(along, operand, line, counted), self._line(along, operand, line, {})
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
            return [*known, *range(ndim), *groups] or [0]
        case "dim0" | "dim1":
            return [*known, *range(ndim)]
        case "dims":
            orders = [dims for dims in permutations(range(ndim)) if tuple(shape[each] for each in dims) == result]
            reduced = [dims for count in range(1, ndim + 1) for dims in combinations(range(ndim), count)]
            return [*known, *(orders if "unpermuted" in rule.gradients["self"] else reduced)]
        case "index" | "start":
            return [*known, *range(min(max(shape, default=1), 64))]
        case "step":
            return [1, *known, 2, 3]
        case "shifts":
            return [*known, *range(1, min(max(shape, default=1), 32))]
        case "diagonal":
            return [*known, 0, 1, -1]
    numbers = [*rule.options.get(name, ())]
    return [*known, *numbers, *(value for value in written.get("", ()) if value not in numbers)] or [0]

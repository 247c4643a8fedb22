"""Find the local derivatives of a node from the numbers of a pass: its rule, its options, and the products they give."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import combinations, islice, permutations, product
from typing import Any, Final

import numpy as np

from .. import model
from ..formulas import RULES, LocalRule, joining
from ..formulas.evaluate import derivatives, evaluate, gradient
from ..formulas.functions import Array
from ..recording.pass_numbers import PassNumbers
from .literals import literals

MOST_CANDIDATES: Final = 120
"""Largest number of combinations of options that are tried for a node."""
MOST_CALLS: Final = 1_024
"""Largest number of elements of a result whose derivatives are computed one by one."""
MOST_DERIVATIVES: Final = 1 << 18
"""Largest number of derivatives of a node."""
_UNITS: Final = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float64": 2.0**-53}
"""Unit roundoff by dtype. Other dtypes have that of float32."""

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
        self._matrices: dict[str, Array | None] = {}
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
            summary = numbers.value(target[0])
            if (array := numbers.array("value", target[0])) is not None:
                names[operand] = array
            else:
                summary = summary or numbers.edge(self.edges[operand][0])
                if summary is not None and "complex" not in summary.dtype:
                    names[operand] = np.broadcast_to(np.nan, tuple(summary.shape))
        for at, name in enumerate(self._node.saved):
            if (array := numbers.array("saved", self._index, at)) is not None and not np.isnan(array).all():
                names[name] = array
        if (array := numbers.array("value", self._index)) is not None:
            names["result"] = array
        return names

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
        found = self._numbers.edge(self.edges[operand][0])
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

    def matrix(self, operand: str) -> Array | None:
        """Return the derivatives of each element of the result (rows) by each element of an operand (columns)."""
        if operand not in self._matrices:
            self._matrices[operand] = self._read_matrix(operand, self.known)
        return self._matrices[operand]

    def _read_matrix(self, operand: str, known: Mapping[str, Any]) -> Array | None:
        rule, grad, options = self.rule, self.grad, self.options
        if rule is None or grad is None or options is None or operand not in rule.gradients:
            return None
        shape = self.shape(operand)
        if operand in self.edges and self.edges[operand][1].gradient and operand not in self._proved:
            return None
        if shape is None or grad.size * math.prod(shape) > MOST_DERIVATIVES:
            return None
        known = {**known, **options}
        try:
            if rule.elementwise:
                return _elementwise(rule, operand, grad.shape, known, shape)
            if grad.size > MOST_CALLS:
                return None
            return derivatives(rule, operand, known, grad.shape, shape)
        except _Failures:
            return None

    def shape(self, operand: str) -> tuple[int, ...] | None:
        """Return the shape of an operand."""
        found = self._numbers.edge(self.edges[operand][0]) if operand in self.edges else None
        if found is not None:
            return tuple(found.shape)
        return tuple(np.shape(self.known[operand])) if operand in self.known else None

    def column(self, operand: str, element: int) -> Entries | None:
        """Return the elements of the result that an operand's element influences, with the derivatives."""
        matrix = self.matrix(operand)
        return None if matrix is None else _entries(matrix[:, element])

    def row(self, operand: str, element: int) -> Entries | None:
        """Return the elements of an operand that influence an element of the result, with the derivatives."""
        matrix = self.matrix(operand)
        return None if matrix is None else _entries(matrix[element])

    def row_length(self, element: int) -> int:
        """Return the number of elements that influence an element of the result."""
        rule = self.rule
        return sum(len(self.row(operand, element) or ()) for operand in (rule.sums if rule is not None else ()))

    def reads(self, operand: str, result: int, element: int) -> list[tuple[str, int]]:
        """Return the elements from which a derivative was computed: for each, an operand's name in the rule and a position."""
        rule, grad = self.rule, self.grad
        shape = self.shape(operand)
        if rule is None or grad is None or shape is None:
            return []
        found: list[tuple[str, int]] = []
        for name in rule.needs[operand] + (("result",) if "result" in rule.gradients[operand] else ()):
            array = self.known.get(name)
            if array is None or name not in (*self.edges, "result"):
                continue
            if rule.elementwise:
                places = np.broadcast_to(np.arange(array.size).reshape(array.shape), grad.shape).reshape(-1)
                found.append((name, int(places[result])))
            elif (place := self._place(operand, name, result, element)) is not None:
                found.append((name, place))
        return found

    def _place(self, operand: str, name: str, result: int, element: int) -> int | None:
        """Return the element of an operand that is itself a derivative, as in a product of matrices; else ``None``."""
        key = f"{operand} {name}"
        array = self.known[name]
        if key not in self._matrices:
            counted = np.arange(1.0, array.size + 1).reshape(array.shape)
            self._matrices[key] = self._read_matrix(operand, {**self.known, name: counted})
        counts, values = self._matrices[key], self.matrix(operand)
        if counts is None or values is None:
            return None
        place = float(counts[result, element])
        if not place.is_integer() or not 1 <= place <= array.size:
            return None
        return int(place) - 1 if array.reshape(-1)[int(place) - 1] == values[result, element] else None


def rounding_bound(dtype: str, terms: int, size: Any) -> Any:
    """Return the largest difference that rounding makes in a sum of products whose sizes add up to ``size``."""
    return (terms + 16) * _UNITS.get(dtype, 2.0**-24) * size + 1e-37


def _entries(numbers: Array) -> Entries:
    places = np.flatnonzero(numbers)
    return list(zip(places.tolist(), numbers[places].tolist(), strict=True))


def _elementwise(
    rule: LocalRule, operand: str, result: tuple[int, ...], known: Mapping[str, Any], shape: tuple[int, ...]
) -> Array:
    """Return the derivatives of an operation that works element by element."""
    values = np.broadcast_to(np.asarray(evaluate(rule.gradients[operand], {**known, "grad": np.ones(result)})), result)
    count = math.prod(shape)
    places = np.broadcast_to(np.arange(count).reshape(shape), result).reshape(-1)
    rows = np.zeros((math.prod(result), count))
    rows[np.arange(len(places)), places] = values.reshape(-1)
    return rows


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

"""Find the first step and node at which two recordings differ."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any, Final, Literal

import numpy as np
from msgspec import Struct

from .. import model, wire
from .recording import Recording
from .structure import title
from .tensors import Tensors, json_number

Where = Literal["structure", "value", "gradient", "parameter"]
Ours = tuple[Where, str, str | None, int | None, int]
"""A tensor to compare: where it is, its name, the id of its node, its line, and its row."""

STATISTICS: Final = ("norm", "minimum", "maximum")
"""The statistics that are compared for a tensor whose elements were not recorded, in this order."""
SAFETY: Final = 8.0
"""Factor in the default tolerance, for the constants that its formula leaves out."""
UNIT_ROUNDOFF: Final[dict[str, float]] = {
    "float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8,
    "complex128": 2.0**-53, "complex64": 2.0**-24, "complex32": 2.0**-11, "float8_e4m3fn": 2.0**-4, "float8_e4m3fnuz": 2.0**-4,
    "float8_e5m2": 2.0**-3, "float8_e5m2fnuz": 2.0**-3, "float8_e8m0fnu": 0.5,
}  # fmt: skip
"""The largest relative error of rounding to a dtype."""


class Divergence(Struct, frozen=True):
    """The first difference between two runs, in the order in which a step computes: values, gradients, parameters.

    ``where`` is ``structure`` if the runs build different graphs, or ``null`` if no difference was found. ``first`` and
    ``second`` are the numbers of the two runs: the elements that differ most, or the statistic that ``name`` names if the
    elements were not recorded. ``difference`` is relative to the largest element; ``tolerance`` is the largest difference that
    counts as equal there. ``compared`` is the number of steps that were compared, and ``complete`` is false if the time for
    the comparison ran out.
    """

    where: Where | None
    sentence: str
    compared: int
    complete: bool
    step: int | None = None
    name: str | None = None
    node: str | None = None
    line: int | None = None
    first: float | str | None = None
    second: float | str | None = None
    difference: float | str | None = None
    tolerance: float | None = None


def first_divergence(
    first: Recording, second: Recording, tolerance: float | None = None, *, seconds: float = math.inf
) -> Divergence:
    """Compare two recordings step by step, and return where they differ first.

    Two numbers differ if their distance is more than ``tolerance`` times the largest element of both tensors. By default, the
    tolerance is 0 as long as both runs compute in the same dtypes. From the first tensor with different dtypes on, it is
    8·u·√n, where u is the unit roundoff of the coarser dtype and n the number of operations so far: rounding errors that are
    independent grow with √n (Higham and Mary, "A New Approach to Probabilistic Rounding Error Analysis", 2019). The comparison
    ends after ``seconds``.
    """
    return _Comparison(first, second, tolerance).run(seconds)


class _Comparison:
    def __init__(self, first: Recording, second: Recording, tolerance: float | None) -> None:
        self._runs = first, second
        self._tolerance = tolerance
        self._roundoff = 0.0
        self._operations = 0
        self._step = 0

    def run(self, seconds: float) -> Divergence:
        counts = [run.log.counts()[2] for run in self._runs]
        end = time.monotonic() + seconds
        for self._step in range(min(counts)):
            found = self._compare_step()
            if found is not None:
                return found
            if time.monotonic() > end:
                compared = self._step + 1
                sentence = (
                    f"The first {compared} steps are equal. There was no time to compare the other {max(counts) - compared}."
                )
                return Divergence(None, sentence, compared, complete=False)
        self._step = min(counts)
        if counts[0] != counts[1]:
            return self._differ("structure", f"the first run has {counts[0]} steps, the second {counts[1]}")
        return Divergence(None, self._equal(counts[0]), counts[0], complete=True)

    def _equal(self, steps: int) -> str:
        if not steps:
            return "Neither run has a step to compare."
        within = "" if not self._allowed() else f", within a tolerance of {self._allowed():.2g} at the end"
        return f"All {steps} steps are equal{within}." if steps > 1 else f"The only step is equal{within}."

    def _allowed(self) -> float:
        if self._tolerance is not None:
            return self._tolerance
        return SAFETY * self._roundoff * math.sqrt(max(self._operations, 1))

    def _compare_step(self) -> Divergence | None:
        one, two = (run.log.step(self._step) for run in self._runs)
        if len(one.passes) != len(two.passes):
            return self._differ("structure", f"the first run has {len(one.passes)} passes there, the second {len(two.passes)}")
        for indices in zip(one.passes, two.passes, strict=True):
            found = self._compare_pass(*(run.log.pass_(index) for run, index in zip(self._runs, indices, strict=True)))
            if found is not None:
                return found
        return self._compare_tensors(_parameters(one), one.tensors, _parameters(two), two.tensors)

    def _compare_pass(self, one: wire.PassEvent, two: wire.PassEvent) -> Divergence | None:
        if min(one.graph, two.graph) < 0:
            same = one.graph == two.graph
            return None if same else self._differ("structure", "only one of the graphs was small enough to be recorded")
        graphs = [run.graph(event.graph) for run, event in zip(self._runs, (one, two), strict=True)]
        for ours, theirs in zip(graphs[0].nodes, graphs[1].nodes, strict=False):
            if (ours.op, ours.kind, ours.outputs) != (theirs.op, theirs.kind, theirs.outputs):
                return self._differ("structure", f"{ours.op} in the first run is {theirs.op} in the second", node=ours)
        if [_ends(edge) for edge in graphs[0].edges] != [_ends(edge) for edge in graphs[1].edges]:
            return self._differ("structure", "the edges of the graphs differ")
        made = wire.int32(self._runs[0].log.graph(one.graph).made, "made")
        pairs = [_of_pass(event, graph, made) for event, graph in zip((one, two), graphs, strict=True)]
        self._operations += sum(node.kind == "op" for node in graphs[0].nodes)
        return self._compare_tensors(pairs[0], one.tensors, pairs[1], two.tensors)

    def _compare_tensors(
        self, ours: Iterator[Ours], our_table: wire.TensorTable, theirs: Iterator[Ours], their_table: wire.TensorTable
    ) -> Divergence | None:
        first, second = Tensors(our_table), Tensors(their_table)
        for (where, name, node, line, row), (_, _, _, _, other) in zip(ours, theirs, strict=False):
            if row < 0 or other < 0:
                continue
            shapes = first.shape(row), second.shape(other)
            if shapes[0] != shapes[1]:
                return self._differ("structure", f"{name} has the shapes {shapes[0]} and {shapes[1]}", line=line)
            self._meet(first.dtype(row), second.dtype(other))
            numbers = _furthest(first, row, second, other)
            if numbers is not None and numbers[3] > self._allowed():
                name = numbers[0] + name
                return self._differ(where, name, node_id=node, line=line, numbers=numbers[1:3], difference=numbers[3])
        return None

    def _meet(self, one: str, two: str) -> None:
        """Remember the roundoff of dtypes that differ."""
        if one != two:
            self._roundoff = max(self._roundoff, UNIT_ROUNDOFF.get(one, 0.0), UNIT_ROUNDOFF.get(two, 0.0))

    def _differ(
        self,
        where: Where,
        name: str,
        *,
        node: model.Node | None = None,
        node_id: str | None = None,
        line: int | None = None,
        numbers: tuple[float, float] | None = None,
        difference: float | None = None,
    ) -> Divergence:
        line = node.line if node is not None else line
        at = f" (line {line})" if line else ""
        sentence = f"The runs first differ in step {self._step}: {name}{at}"
        one, two = (None, None) if numbers is None else map(json_number, numbers)
        if numbers is not None:
            sentence += f" is {one} in the first run and {two} in the second"
        return Divergence(
            where,
            f"{sentence}.",
            self._step,
            complete=True,
            step=self._step,
            name=name,
            node=node.id if node is not None else node_id,
            line=line,
            first=one,
            second=two,
            difference=None if difference is None else json_number(difference),
            tolerance=self._allowed() if difference is not None else None,
        )


def _ends(edge: model.Edge) -> tuple[str, int, str, int]:
    return edge.source, edge.slot, edge.target, edge.input


def _of_pass(event: wire.PassEvent, graph: model.Graph, made: np.ndarray[Any, np.dtype[np.int32]]) -> Iterator[Ours]:
    """Yield the tensors of a pass: values in the order in which they were made, then gradients in the order of the pass."""
    values, arrived = wire.int32(event.value, "value"), wire.int32(event.arrived, "arrived")
    order = list(range(len(graph.nodes)))[::-1]  # close to the order in which they were made
    if len(made) == len(graph.nodes):
        order = sorted(order, key=made.tolist().__getitem__)
    for index in order:
        node = graph.nodes[index]
        yield "value", f"the value of {title(node)}", node.id, node.line, int(values[index])
    first_output = np.concatenate(([0], np.cumsum([node.outputs for node in graph.nodes])))
    for index in wire.int32(event.order, "order").tolist():
        node = graph.nodes[index]
        for output in range(node.outputs):
            name = f"the gradient at {title(node)}"
            yield "gradient", name, node.id, node.line, int(arrived[first_output[index] + output])


def _parameters(step: wire.StepEvent) -> Iterator[Ours]:
    for row in step.parameters:
        name = row.name or f"p{row.parameter}"
        yield "parameter", f"{name}.grad", None, None, row.grad_after
        yield "parameter", f"{name} after the update", None, None, row.value_after


def _furthest(first: Tensors, row: int, second: Tensors, other: int) -> tuple[str, float, float, float] | None:
    """Return the two numbers that differ most, their name, and their difference relative to the largest element.

    For a tensor whose elements were not recorded, the norms are compared, then the minima and the maxima. Two equal
    infinities, or two NaN, count as equal.
    """
    statistic = ""
    one, two = first.array(row), second.array(other)
    if one is None or two is None:
        mine, others = _statistics(first, row), _statistics(second, other)
        at = next((index for index, pair in enumerate(zip(mine, others, strict=False)) if pair[0] != pair[1]), 0)
        if min(len(mine), len(others)) == 0:
            return None
        statistic = f"the {STATISTICS[at]} of "
        one, two = np.array(mine[at : at + 1]), np.array(others[at : at + 1])
    kind = np.complex128 if np.iscomplexobj(one) or np.iscomplexobj(two) else np.float64
    ours, theirs = one.reshape(-1).astype(kind), two.reshape(-1).astype(kind)
    if not ours.size:
        return None
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    with np.errstate(all="ignore"):
        apart = np.where(same, 0.0, np.abs(ours - theirs))
        apart = np.where(np.isnan(apart), np.inf, apart)
        finite = np.abs(np.concatenate((ours, theirs)))
        finite = finite[np.isfinite(finite)]
    at = int(apart.argmax())
    largest = float(finite.max()) if finite.size else 0.0
    relative = float(apart[at]) / largest if largest else float(apart[at])
    shown = (ours[at], theirs[at]) if kind is np.float64 else (np.abs(ours[at]), np.abs(theirs[at]))
    return statistic, float(shown[0]), float(shown[1]), relative


def _statistics(tensors: Tensors, row: int) -> list[float]:
    summary = tensors.summary(row)
    numbers = () if summary is None else (summary.norm, summary.min, summary.max)
    return [float(number) for number in numbers if number is not None]

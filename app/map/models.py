"""Read the modules of a model as rows: how large their gradients, their parameters and their updates are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from msgspec import structs

from .. import model, wire
from ..errors import InvalidInput, NotFound
from ..recording import Recording, default_graph
from ..recording.tensors import Tensors, json_number
from .chosen_pass import chosen_pass
from .module_tree import Module
from .pass_states import pass_states
from .trees import KnownGraph, known_graph
from .trend import LEAST_MODULES, Named, band, longest_sequence, trend

MOST_ROWS: Final = 2_000
"""Largest number of modules in an answer."""
MOST_PARAMETERS: Final = 10_000
"""Largest number of parameters in an answer."""


def read_models(
    recording: Recording, step: int | None = None, pass_index: int | None = None, opened: Collection[str] | None = None
) -> model.ModelRows:
    """Return the modules that took part in a pass, in the order of the map: from the loss downwards.

    Default: the main pass of the last step, or the last pass with a graph. ``opened`` are the paths of open modules. If given,
    the answer has only the outermost modules, and modules and parameters inside open modules. Some modules are always open: the
    outermost ones, those around the reference, and the only module inside an open one. Raises :class:`NotFound` for a missing
    step or pass and for a run without passes, and :class:`InvalidInput` if both a step and a pass are given.
    """
    if step is not None and pass_index is not None:
        raise InvalidInput("Both a pass and a step are given: give one of them.", where="pass")
    passed = _pass(recording, step, pass_index)
    known = known_graph(recording.log, recording.log.graph(passed.graph))
    return _Rows(known, passed, _step_of(recording, passed)).read(opened)


def _pass(recording: Recording, step: int | None, pass_index: int | None) -> wire.PassEvent:
    if pass_index is not None:
        event = recording.log.pass_(pass_index)
        found = chosen_pass(recording, event.graph, pass_index, None) if event.graph >= 0 else None
    else:
        choice = default_graph(recording, step)
        found = recording.log.pass_(choice.index) if choice is not None and choice.kind == "pass" else None
    if found is None:
        raise NotFound("No backward pass with a graph was recorded there: choose another step, or call `backward()`.")
    return found


def _step_of(recording: Recording, passed: wire.PassEvent) -> wire.StepEvent | None:
    """Return the step of a pass; ``None`` if the program ended during the step."""
    try:
        event = recording.log.step(passed.step)
    except NotFound:
        return None
    return event if passed.index in event.passes else None


@dataclass(slots=True)
class _Sum:
    """Sums over the parameters of a module: elements, tensors, squares of norms, and the extremes of the gradients' norms.

    A sum is ``None`` as long as nothing was recorded.
    """

    elements: int = 0
    tensors: int = 0
    gradient: float | None = None
    value: float | None = None
    update: float | None = None
    least: float = math.inf
    greatest: float = -math.inf

    def add(self, parameter: _ParameterNumbers) -> None:
        self.elements += math.prod(parameter.shape)
        self.tensors += 1
        self.gradient = _plus(self.gradient, _square(parameter.gradient))
        self.value = _plus(self.value, _square(parameter.value))
        self.update = _plus(self.update, _square(parameter.update))
        if parameter.gradient is not None:
            self.least = min(self.least, parameter.gradient)
            self.greatest = max(self.greatest, parameter.gradient)

    def merge(self, other: _Sum) -> None:
        self.elements += other.elements
        self.tensors += other.tensors
        self.gradient = _plus(self.gradient, other.gradient)
        self.value = _plus(self.value, other.value)
        self.update = _plus(self.update, other.update)
        self.least, self.greatest = min(self.least, other.least), max(self.greatest, other.greatest)


@dataclass(frozen=True, slots=True)
class _ParameterNumbers:
    """The numbers of a parameter: L2 norms, ``None`` where nothing was recorded."""

    node: int
    parameter: int
    name: str
    shape: list[int]
    gradient: float | None
    value: float | None
    update: float | None


class _Rows:
    def __init__(self, known: KnownGraph, passed: wire.PassEvent, step: wire.StepEvent | None) -> None:
        self._tree = known.tree
        self._passed = passed
        self._step = step
        self._modules = known.modules
        self._states = pass_states(known.tree.graph, passed)
        self._tensors = Tensors(passed.tensors)
        self._step_tensors = Tensors(step.tensors) if step is not None else None
        self._step_rows = {row.parameter: row for row in step.parameters} if step is not None else {}
        self._value_rows = wire.int32(passed.value, "value")
        self._sums = [_Sum() for _ in self._modules.modules]
        self._own = [[self._numbers(leaf) for leaf in module.leaves] for module in self._modules.modules]
        for index in range(len(self._sums) - 1, -1, -1):
            for parameter in self._own[index]:
                self._sums[index].add(parameter)
            if (parent := self._modules.modules[index].parent) >= 0:
                self._sums[parent].merge(self._sums[index])

    def read(self, opened: Collection[str] | None) -> model.ModelRows:
        kept = [index for index in self._in_order() if self._sums[index].tensors]
        sequence = self._sequence(kept)
        gradients = {index: _root(self._sums[index].gradient) for index in kept}
        reference = self._reference(kept, sequence)
        open_ = set(kept) if opened is None else self._open(kept, opened, reference)
        visible = [index for index in kept if (parent := self._modules.modules[index].parent) < 0 or parent in open_]
        shown = visible[:MOST_ROWS]
        row_of = {index: row for row, index in enumerate(shown)}
        arriving = self._arriving()
        room = MOST_PARAMETERS
        rows = []
        around = {self._modules.modules[index].parent for index in kept}
        for index in shown:
            with_parameters = index in open_
            room -= len(self._own[index]) * with_parameters
            row = self._row(index, row_of, gradients[index], gradients.get(reference), arriving.get(index))
            own = [_parameter(each, row.path) for each in self._own[index]] if with_parameters and room >= 0 else []
            inner = index in around or bool(self._own[index])
            rows.append(structs.replace(row, own=own, inner=inner))
        return model.ModelRows(
            graph=f"g{self._passed.graph}",
            pass_=self._passed.index,
            step=self._step.index if self._step is not None else None,
            rows=rows,
            outside=[_parameter(self._numbers(leaf), "") for leaf in self._modules.outside[:MOST_ROWS]],
            reference=row_of.get(reference),
            trend=self._trend(sequence, gradients, row_of, around),
            omitted=len(visible) - len(shown),
        )

    def _open(self, kept: Sequence[int], opened: Collection[str], reference: int) -> set[int]:
        """Return the modules that are open: those with the given paths, the outermost ones, and those around the reference.

        The only module inside an open module is open too.
        """
        modules = self._modules.modules
        open_ = {index for index in kept if modules[index].path in opened}
        siblings = Counter(modules[index].parent for index in kept)
        for index in kept:
            parent = modules[index].parent
            if parent < 0 or (parent in open_ and siblings[parent] == 1):
                open_.add(index)
        around = modules[reference].parent if reference >= 0 else -1
        while around >= 0:
            open_.add(around)
            around = modules[around].parent
        return open_

    # ------------------------------------------------------------------ numbers

    def _numbers(self, leaf: int) -> _ParameterNumbers:
        graph = self._tree.graph
        parameter = int(graph.parameter[leaf])
        row = self._step_rows.get(parameter)
        tensors, value_row, update = self._tensors, int(self._value_rows[leaf]), None
        if row is not None and self._step_tensors is not None:
            tensors, value_row, update = self._step_tensors, row.value, self._step_tensors.norm(row.update)
        return _ParameterNumbers(
            leaf,
            parameter,
            graph.text("name", leaf) or f"p{parameter}",
            tensors.shape(value_row) if value_row >= 0 else [],
            self._states.norm(leaf),
            tensors.norm(value_row),
            update,
        )

    def _arriving(self) -> dict[int, float]:
        """Return for each module the norm of the gradients that arrive at it from outside, or that start the pass in it."""
        graph, position = self._tree.graph, self._tree.order.position
        source, target = position[graph.source], position[graph.target]
        tensor = graph.output_start[graph.target] + graph.input
        root_at, root_tensor = position[graph.roots], graph.output_start[graph.roots]
        outputs = int(graph.output_start[-1]) or 1
        pairs = []
        for level in self._modules.levels:
            padded = np.append(level, -1)  # a node that is not an operation has the module -1
            entering = graph.gradient & (padded[target] >= 0) & (padded[target] != padded[source])
            pairs.append(padded[target][entering].astype(np.int64) * outputs + tensor[entering])
            started = padded[root_at] >= 0
            pairs.append(padded[root_at][started].astype(np.int64) * outputs + root_tensor[started])
        distinct = np.unique(np.concatenate(pairs)) if pairs else np.zeros(0, np.int64)
        norms = self._states.norms[distinct % outputs]
        known = norms != -1.0
        module = (distinct // outputs)[known]
        sums = np.bincount(module, norms[known] ** 2, minlength=len(self._sums))
        return {index: math.sqrt(float(sums[index])) for index in np.unique(module).tolist()}

    # ------------------------------------------------------------------ rows

    def _in_order(self) -> list[int]:
        """Return the modules from the loss downwards, each followed by those inside it."""
        modules = self._modules.modules
        inside: dict[int, list[int]] = {}
        for index, each in enumerate(modules):
            inside.setdefault(each.parent, []).append(index)
        for children in inside.values():
            children.sort(key=lambda index: modules[index].last)
        waiting = list(inside.get(-1, ()))
        found = []
        while waiting:
            found.append(waiting.pop())
            waiting += inside.get(found[-1], ())
        return found

    def _row(
        self,
        index: int,
        row_of: dict[int, int],
        gradient: float | None,
        reference: float | None,
        arrives: float | None,
    ) -> model.ModuleRow:
        module, sums = self._modules.modules[index], self._sums[index]
        value, update = _root(sums.value), _root(sums.update)
        relative = gradient / reference if gradient is not None and reference else None
        return model.ModuleRow(
            path=module.path,
            name=self._name(module),
            group=f"m:{module.path}",
            parent=row_of.get(module.parent),
            calls=module.calls,
            nodes=module.nodes,
            parameters=sums.elements,
            tensors=sums.tensors,
            gradient=_json(gradient),
            value=_json(value),
            update=_json(update),
            ratio=_json(update / value) if update is not None and value else None,
            spread=None if sums.greatest < sums.least else [_json(sums.least), _json(sums.greatest)],
            arrives=_json(arrives),
            relative=_json(relative),
            band=None if relative is None else band(relative),
            own=[],
            node=f"n{int(self._tree.order.nodes[module.last])}" if module.last >= 0 else None,
        )

    def _name(self, module: Module) -> str:
        around = self._modules.modules[module.parent].path + "." if module.parent >= 0 else ""
        return module.path.removeprefix(around)

    def _full_name(self, module: Module) -> str:
        """Return the name of a module. If it is only a number, put the name of the module around it before the number.

        ``blocks.7`` is the name of the module ``7`` in ``model.blocks``.
        """
        name = self._name(module)
        if not name.isdecimal() or module.parent < 0:
            return name
        return f"{self._name(self._modules.modules[module.parent])}.{name}"

    # ------------------------------------------------------------------ the trend

    def _sequence(self, kept: Sequence[int]) -> list[int]:
        modules = self._modules.modules
        named = [Named(self._name(modules[index]), modules[index].parent, modules[index].nodes) for index in kept]
        return [kept[each] for each in longest_sequence(named)]

    def _reference(self, kept: Sequence[int], sequence: Sequence[int]) -> int:
        """Return the module with which the others are compared: the first of the sequence with a finite gradient above 0.

        Without a sequence, it is the first such module that has parameters of its own. Return -1 if there is none.
        """
        for index in sequence or kept:
            gradient = _root(self._sums[index].gradient)
            if gradient is not None and math.isfinite(gradient) and gradient > 0 and (sequence or self._own[index]):
                return index
        return -1

    def _trend(
        self, sequence: Sequence[int], gradients: dict[int, float | None], row_of: dict[int, int], around: Collection[int]
    ) -> model.GradientTrend | None:
        known = [index for index in sequence if gradients[index] is not None]
        if len(known) < LEAST_MODULES:
            return None
        norms = np.array([gradients[index] for index in known], np.float64)
        names = [self._full_name(self._modules.modules[index]) for index in known]
        unit = "block" if known[0] in around else "layer"
        return trend(names, norms, unit, [row_of[index] for index in known if index in row_of])


def _parameter(numbers: _ParameterNumbers, around: str) -> model.ModuleParameter:
    ratio = numbers.update / numbers.value if numbers.update is not None and numbers.value else None
    return model.ModuleParameter(
        id=f"p{numbers.parameter}",
        node=f"n{numbers.node}",
        name=numbers.name.removeprefix(around + "."),
        shape=numbers.shape,
        gradient=_json(numbers.gradient),
        value=_json(numbers.value),
        update=_json(numbers.update),
        ratio=_json(ratio),
    )


def _json(value: float | None) -> float | str | None:
    return None if value is None else json_number(value)


def _square(norm: float | None) -> float | None:
    return None if norm is None else norm * norm


def _plus(first: float | None, second: float | None) -> float | None:
    return second if first is None else first if second is None else first + second


def _root(squares: float | None) -> float | None:
    return None if squares is None else math.sqrt(squares)

"""Read the values of variables, steps and nodes from the recording of a program with probes."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import cached_property
from typing import Any, Final

import numpy as np

from ... import model
from ...errors import NotFound
from ...recording import PassNumbers, title
from ...runs.run import RecordedRun
from ..cells.probes import ProbedProgram
from ..document import Scope
from . import nodes
from .language import BindingError, DifferenceQuotient, of_tensor
from .recorded_values import array_of, attribute_of

MOST_PASSES: Final = 200
"""Largest number of passes that are searched for a node, the last one first."""
_PHASES_BEFORE: Final = ("forward", "loss")


class Observed:
    """A recording of a lesson. ``differences`` has the numbers that were computed by replays of it."""

    def __init__(
        self, recorded: RecordedRun, program: ProbedProgram, differences: Mapping[DifferenceQuotient, float] | None = None
    ) -> None:
        self.recorded = recorded
        self.program = program
        self._differences = differences or {}
        self._recording = recorded.recording

    @property
    def error(self) -> str | None:
        """The type of the exception that ended the program."""
        return self.recorded.error.type if self.recorded.error else None

    @property
    def variables(self) -> Set[str]:
        """The names that the program assigns to."""
        return self._assigned.keys()

    # -- at the end of a cell

    def at_end(self, path: str, cell: int | None) -> Any:
        """Return the value of a variable, attribute or element at the end of a cell; by default of the last one."""
        tensor, attribute = of_tensor(path)
        found = self._probe(tensor, cell)
        if found is not None:
            return attribute_of(found.text, found.tensor, [] if attribute is None else [attribute])
        if attribute is None and self._is_none(tensor, cell):
            return None
        if self.recorded.error is None:
            raise BindingError(f"`{path}` has no value at the end of cell {self._cell(cell) + 1} of the recording.")
        return self._before_the_error(path)

    def tensor_at_end(self, path: str, cell: int | None) -> model.TensorSummary | None:
        """Return the tensor that a path refers to at the end of a cell; ``None`` if it is no tensor."""
        found = self._probe(path, cell)
        return found.tensor if found is not None else None

    def _cell(self, cell: int | None) -> int:
        return len(self.program.cells) - 1 if cell is None else cell

    def _probe(self, path: str, cell: int | None) -> model.Line | None:
        lines = self.program.lines.get((self._cell(cell), path))
        return self._lines.get(lines[1]) if lines else None

    def _is_none(self, path: str, cell: int | None) -> bool:
        lines = self.program.lines.get((self._cell(cell), path))
        found = self._lines.get(lines[0]) if lines else None
        return found is not None and found.text == "True"

    @cached_property
    def _lines(self) -> dict[int, model.Line]:
        return {line.line: line for line in self._recording.some_lines(0) if line.file is None}

    @cached_property
    def _assigned(self) -> dict[str, list[int]]:
        """The lines of the program that bind each name. A program that cannot be parsed binds none."""
        found: dict[str, list[int]] = {}
        try:
            tree = ast.parse(self.program.program.text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return found
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    for name in ast.walk(target):
                        if isinstance(name, ast.Name):
                            found.setdefault(name.id, []).append(node.lineno)
        return found

    # -- after a line, or before the exception

    def at_line(self, path: str, line: int) -> Any:
        """Return the value of a variable after the last run of ``line``, a line number of the program without probes."""
        root, chain = _split(path)
        return self._of_lines(root, chain, self.program.line(line))

    def _before_the_error(self, path: str) -> Any:
        root, chain = _split(path)
        if chain[:1] == ["grad"]:
            return self.in_step(path, self.step_index(-1), "backward")
        return self._of_lines(root, chain, self.program.cells[-1][1])

    def _of_lines(self, root: str, chain: Sequence[str | int], last: int) -> Any:
        lines = [line for line in self._assigned.get(root, []) if line <= last and line in self._lines]
        if not lines:
            raise BindingError(f"No value of `{root}` was recorded up to there.")
        found = self._lines[max(lines)]
        return attribute_of(found.text, found.tensor, chain)

    # -- in a step

    def step_index(self, index: int) -> int:
        """Return the index of a step, which may be given from the end as a negative number."""
        count = self.recorded.counts[2] + self.recorded.unfinished
        chosen = index + count if index < 0 else index
        if not 0 <= chosen < count:
            raise BindingError(f"There is no step {index}: the recording has {count}.")
        return chosen

    def last_step(self, scope: Scope | None) -> int:
        """Return the last step without a pass below the cell of a scope, or 0 if there is none."""
        stop = self.program.cells[scope.cell][1] if scope is not None else None
        last = self.step_index(-1)
        while last > 0 and stop is not None and any((line or 0) > stop for line in self._pass_lines(last)):
            last -= 1
        return last

    def _pass_lines(self, step: int) -> list[int | None]:
        return [each.line for each in self.recorded.step(step).passes]

    def in_step(self, path: str, index: int, phase: str | None) -> Any:
        """Return the value of a variable in a phase of a step; by default after its forward work and its passes."""
        step = self.recorded.step(index)
        root, chain = _split(path)
        row = next((each for each in step.parameters if root in (each.name, each.id)), None)
        if row is not None and chain[:1] == ["grad"]:
            return attribute_of(None, row.grad_before if phase in _PHASES_BEFORE else row.grad_after, chain[1:])
        if phase == "update":
            moved = next((each.to for each in step.rebinds if each.name == root), None)
            after = moved or (row.value_after if row is not None else None)
            if after is not None:
                return attribute_of(None, after, chain)
        if row is not None:
            return attribute_of(None, row.value, chain)
        if step.loss is not None and root in (step.loss_name, "loss"):
            return attribute_of(None, step.loss, chain)
        if root in step.losses:
            return attribute_of(None, step.losses[root], chain)
        for line in sorted(self._assigned.get(root, []), reverse=True):
            if (value := step.values.get(str(line))) is not None:
                return attribute_of(value.text, value.tensor, chain)
        raise BindingError(f"Step {index} has no value of `{root}`.")

    # -- in the graph

    def call(
        self, name: str, arguments: Sequence[Any], options: Mapping[str, Any], *, step: int | None, cell: int | None
    ) -> Any:
        """Return the result of a function of the language. ``step`` or ``cell`` chooses the pass to read."""
        function: Callable[..., Any] = getattr(self, f"_call_{name}")
        try:
            return function(*arguments, step=step, cell=cell, **options)
        except TypeError as error:
            raise BindingError(f"`{name}({', '.join(map(str, arguments))})` has arguments that do not fit: {error}.") from error

    def difference(self, wanted: DifferenceQuotient) -> Any:
        """Return a slope or a difference quotient."""
        if wanted not in self._differences:
            raise BindingError(f"The loss has no slope over `{wanted.parameter}`, or the program could not be repeated.")
        return np.float64(self._differences[wanted])

    def _call_node(self, name: str, at: int | None = None, *, step: int | None, cell: int | None) -> dict[str, Any]:
        numbers, index = self._find(name, at, step, cell)
        return {
            "grad": lambda: array_of(numbers.arrived(index)),
            "value": lambda: array_of(numbers.value(index)),
            "op": numbers.graph.nodes[index].op,
        }

    def _call_edge(self, source: str, target: str, at: int | None = None, *, step: int | None, cell: int | None) -> Any:
        for numbers in self._passes(step, cell):
            sources, targets = (self._ids(numbers.graph, name) for name in (source, target))
            edges = [
                index
                for index, edge in enumerate(numbers.graph.edges)
                if edge.source in sources and edge.target in targets and edge.gradient
            ]
            if edges:
                if at is not None and not 0 <= at < len(edges):
                    raise BindingError(f"There are {len(edges)} edges from `{source}` to `{target}`: none has the index {at}.")
                return array_of(numbers.edge(edges[at or 0]))
        raise BindingError(f"There is no edge from `{source}` to `{target}`.")

    def _ids(self, graph: model.Graph, name: str) -> set[str]:
        return {graph.nodes[index].id for index in nodes.find(graph, self._recording.program, name)}

    def _call_leaf(self, name: str, *, step: int | None, cell: int | None) -> dict[str, Any]:
        parameter = next((each for each in self._recording.parameters() if name in each.names), None)
        if parameter is None:
            raise BindingError(f"`{name}` was never bound to a leaf.")
        last = self.step_index(-1) if step is None else step
        for index in range(last, -1, -1):
            row = next((each for each in self.recorded.step(index).parameters if each.id == parameter.id), None)
            if row is not None:
                return {"grad": array_of(row.grad_after), "value": array_of(row.value_after or row.value), "is_leaf": True}
        raise BindingError(f"No step has the leaf that `{name}` was bound to first.")

    def _call_state(self, name: str, key: str, *, step: int | None, cell: int | None) -> Any:
        rows = self.recorded.step(self.step_index(-1) if step is None else step).parameters
        row = next((each for each in rows if name in (each.name, each.id)), None)
        if row is None or key not in row.state:
            has = ", ".join(row.state) if row is not None else "no such parameter"
            raise BindingError(f"The optimizer's state has no `{key}` for `{name}`: it has {has}.")
        return array_of(row.state[key])

    def _call_leaves(self, name: str, *, step: int | None, cell: int | None) -> list[str]:
        numbers, index = self._find(name, None, step, cell)
        graph = numbers.graph
        return [title(graph.nodes[each]) for each in nodes.below(graph, index) if graph.nodes[each].kind == "leaf"]

    def _find(self, name: str, at: int | None, step: int | None, cell: int | None) -> tuple[PassNumbers, int]:
        """Return the last pass whose graph has a node with a name, and the index of the node."""
        problem: BindingError | None = None
        for numbers in self._passes(step, cell):
            try:
                return numbers, nodes.find_one(numbers.graph, self._recording.program, name, at)
            except BindingError as error:
                problem = problem or error
        raise problem or BindingError(f"There is no pass, so there is no node `{name}`.")

    def _passes(self, step: int | None, cell: int | None) -> Iterator[PassNumbers]:
        """Yield the passes of a step, or those until the end of a cell, the last one first.

        The main pass of a step comes before its other passes.
        """
        stop = self.program.cells[cell][1] if cell is not None else None
        if step is not None:
            event = self.recorded.step(step)
            indices = sorted(
                (each.index for each in event.passes), key=lambda index: (index == event.main, index), reverse=True
            )
        else:
            count = self.recorded.counts[1]
            indices = list(range(count - 1, max(-1, count - 1 - MOST_PASSES), -1))
        for index in indices:
            event_of_pass = self._recording.log.pass_(index)
            if event_of_pass.graph < 0 or (stop is not None and event_of_pass.line > stop):
                continue
            try:
                yield self._recording.numbers(index)
            except NotFound:
                continue


def _split(path: str) -> tuple[str, list[str | int]]:
    """Return the name, and the attributes and indices of a path.

    >>> _split("m.grad[0]")
    ('m', ['grad', 0])
    """
    found = re.fullmatch(r"(\w+)((?:\.\w+|\[-?\d+\])*)", path)
    if found is None:
        raise BindingError(f"`{path}` is not a variable of the program.")
    parts = re.findall(r"\.(\w+)|\[(-?\d+)\]", found[2])
    return found[1], [name or int(index) for name, index in parts]

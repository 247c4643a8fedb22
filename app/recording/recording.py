"""Read a recording: make the nouns of the model from packed events, each only when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Final, TypeVar, overload

import numpy as np
from msgspec import UNSET, structs

from .. import model, wire
from ..errors import InvalidInput, NotFound
from .log import Log
from .pass_numbers import PassNumbers
from .series import USUAL, StepSeries, named, read_series, thinned
from .structure import index_or_none, read_formulas, read_graph, title
from .tensors import Tensors

S = TypeVar("S", bound=wire.Signal)

NAMED: Final = 40
"""Keys that are named to who asked for one that is not there."""


ORDERS = 3
"""Orders of derivatives through which a node tells whose formula made it: no text needs more, and no stack holds all."""


class Recording:
    """All that was recorded of a run, as the nouns of the model. ``limits`` says what is too large for one answer."""

    def __init__(self, log: Log, program: str, limits: model.Limits | None = None) -> None:
        self.log: Log = log
        self.program = program
        self._limits = limits or model.Limits()
        self._read_graph = lru_cache(maxsize=16)(self._graph)
        self._structure = lru_cache(maxsize=16)(self._read_structure)
        self._read_values = lru_cache(maxsize=16)(self._values_of)

    def graph(self, index: int) -> model.Graph:
        """The structure ``g{index}``; raises :class:`NotFound`."""
        return self._read_graph(index)

    def _graph(self, index: int) -> model.Graph:
        graph, formulas = self._structure(index)
        if not formulas:
            return graph
        nodes = [
            node if first[0] < 0 else structs.replace(node, backward_of=self._formula(*first, ORDERS))
            for node, first in zip(graph.nodes, formulas, strict=True)
        ]
        return structs.replace(graph, nodes=nodes)

    def _read_structure(self, index: int) -> tuple[model.Graph, list[tuple[int, int]]]:
        event = self.log.graph(index)
        return read_graph(event), read_formulas(event)

    def _formula(self, index: int, place: int, orders: int) -> model.Formula:
        """A node whose formula made others, with so many orders of those that made it."""
        graph, formulas = self._structure(index)
        node = graph.nodes[place]
        if orders > 1 and formulas and formulas[place][0] >= 0:
            node = structs.replace(node, backward_of=self._formula(*formulas[place], orders - 1))
        return model.Formula(graph.id, node)

    def pass_(self, index: int, *, whole: bool = False) -> model.Pass:
        """A pass with its numbers, which are left out above ``answer_nodes`` unless ``whole``; raises :class:`NotFound`."""
        event = self.log.pass_(index)
        if event.graph < 0:
            place = (event.index, event.step, event.kind, index_or_none(event.parent), "", index_or_none(event.line))
            return model.Pass(*place, order=[], nodes={}, edges={})
        graph = self.graph(event.graph)
        numbers = PassNumbers(event, graph) if whole or self.small(event.graph) else None
        return model.Pass(
            index=event.index,
            step=event.step,
            kind=event.kind,
            parent=index_or_none(event.parent),
            graph=graph.id,
            line=index_or_none(event.line),
            order=[f"n{place}" for place in wire.int32(event.order, "order").tolist()],
            nodes=numbers.nodes() if numbers else UNSET,
            edges=numbers.edges() if numbers else UNSET,
            failed=f"n{event.failed}" if event.failed >= 0 else None,
        )

    def small(self, graph: int) -> bool:
        """Whether a pass over a graph has few enough nodes to be told with its numbers in one answer."""
        return len(self.graph(graph).nodes) <= self._limits.answer_nodes

    def numbers(self, index: int) -> PassNumbers:
        """The numbers of a pass, each read when it is asked for."""
        event = self.log.pass_(index)
        if event.graph < 0:
            raise NotFound(f"Pass {index} has no graph.")
        return PassNumbers(event, self.graph(event.graph))

    def step(self, index: int) -> model.Step:
        """A step, its passes with it; raises :class:`NotFound`."""
        event = self.log.step(index)
        tensors = Tensors(event.tensors)
        summary = tensors.summary
        values = _values(event, tensors)
        return model.Step(
            index=event.index,
            iteration=model.Iteration(*event.iteration) if event.iteration else None,
            lines={"forward": event.forward, "loss": event.loss, "backward": event.backward, "update": event.update},
            values=values,
            main=event.main,
            loss=summary(event.loss_row),
            loss_name=event.loss_name,
            losses={name: summary(row) for name, row in event.losses.items()},
            passes=[self.pass_(place) for place in event.passes],
            parameters=[
                model.ParameterStep(
                    id=f"p{row.parameter}",
                    name=row.name,
                    value=summary(row.value),
                    contribution=summary(row.contribution),
                    grad_before=summary(row.grad_before),
                    grad_after=summary(row.grad_after),
                    value_after=summary(row.value_after),
                    state={key: summary(place) for key, place in row.state.items()},
                    grad_used=summary(row.grad_used),
                    update=summary(row.update),
                )
                for row in event.parameters
            ],
            rebinds=_rebinds(event, tensors),
            optimizer=event.optimizer,
            groups=[
                model.OptimizerGroup(group.optimizer, [f"p{parameter}" for parameter in group.parameters], group.options)
                for group in event.groups
            ],
            earlier={line: value for line, value in self.earlier(index).items() if line not in values},
        )

    def earlier(self, step: int) -> dict[str, model.EarlierValue]:
        """What the values of lines were when a step began: of each that of the last step in which it had run."""
        found: dict[str, model.EarlierValue] = {}
        for line, before in sorted(self.log.previous_line_steps(step).items()):
            value = self._read_values(before)[str(line)]
            found[str(line)] = model.EarlierValue(before, value.text, value.tensor)
        return found

    def leaf(self, index: int, parameter: str) -> str | None:
        """The node of a parameter in a pass; ``None`` where it has none, and for no pass at all (-1)."""
        graph = self.log.pass_(index).graph if index >= 0 else -1
        nodes = self.graph(graph).nodes if graph >= 0 else []
        return next((node.id for node in nodes if node.parameter == parameter), None)

    def series(
        self, keys: Sequence[str] = (), start: int = 0, count: int | None = None, points: int | None = None
    ) -> StepSeries:
        """How numbers went over the steps, see :mod:`.series`; with ``points``, thinned to about so many for each key.

        Raises :class:`InvalidInput` for a key that no step of the run has.
        """
        there = self.log.counts()[2]
        stop = there if count is None else min(there, start + count)
        read = read_series(list(self.log.step_groups(start, stop)), keys or USUAL)
        if absent := [key for key in dict.fromkeys(keys) if "*" not in key and key not in read.values]:
            whole = list(self.log.step_groups(0, there))
            known = read_series(whole, absent).values
            for key in absent:
                if whole and key not in known:
                    names = named(whole)
                    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
                    raise InvalidInput(
                        f"No step has {key[:60]!r}: this run has {', '.join(names[:NAMED])}{more}.", where="query.key"
                    )
                read.values[key], read.present[key] = np.full(len(read.index), np.nan), np.zeros(len(read.index), bool)
        return read if points is None else thinned(read, points)

    def _values_of(self, step: int) -> dict[str, model.LineValue]:
        event = self.log.step(step)
        return _values(event, Tensors(event.tensors))

    def rebinds(self, step: int) -> list[model.Rebind]:
        """The names that moved in a step."""
        event = self.log.step(step)
        return _rebinds(event, Tensors(event.tensors)) if event.rebinds else []

    def lines(self) -> list[model.Line]:
        """The last value of each line, in the order of lines, the program's own first."""
        event = self.log.lines()
        if event is None:
            return []
        tensors = Tensors(event.tensors)
        read = [
            model.Line(
                line=row.line,
                file=row.file,
                text=line_text(row, tensors),
                tensor=tensors.summary(row.row),
                graph=f"g{row.graph}" if row.graph >= 0 else None,
                step=index_or_none(row.at),
            )
            for row in event.rows
        ]
        return sorted(read, key=lambda line: (line.file or "", line.line))

    def parameters(self) -> list[model.Parameter]:
        """Every parameter, with all the names that it had."""
        found: dict[int, model.Parameter] = {}
        for event in self.log.others():
            if isinstance(event, wire.ParameterEvent):
                names = found[event.index].names if event.index in found else []
                if event.name is not None and event.name not in names:
                    names = [*names, event.name]
                found[event.index] = model.Parameter(
                    f"p{event.index}", names, event.shape, event.dtype, index_or_none(event.line)
                )
        return [found[index] for index in sorted(found)]

    def cells(self, program: model.Program) -> list[model.Cell]:
        """The program's cells with their outputs, where they came to their end."""
        outputs: dict[int, str | None] = {}
        printed: dict[int, list[str]] = {}
        for event in self.log.others():
            if isinstance(event, wire.CellEvent):
                outputs[event.index] = event.output
            elif isinstance(event, wire.OutputEvent):
                printed.setdefault(event.cell, []).append(event.text)
        return [
            model.Cell(index, start, end, outputs.get(index), "".join(printed.get(index, ())))
            for index, (start, end) in enumerate(program.cells)
        ]

    def stdout(self) -> str:
        """All that the program printed, as far as it was kept."""
        return "".join(event.text for event in self.log.others() if isinstance(event, wire.OutputEvent))

    @overload
    def signals(self) -> list[wire.Signal]: ...

    @overload
    def signals(self, kind: type[S]) -> list[S]: ...

    def signals(self, kind: type[wire.Signal] = wire.Signal) -> Sequence[wire.Signal]:
        """Return the signals of one kind, or all of them, in the order in which they were emitted."""
        return [event for event in self.log.others() if isinstance(event, kind)]

    def graphs(self) -> list[model.GraphSize]:
        """The sizes of all graphs."""
        return [
            model.GraphSize(f"g{event.index}", len(event.kind), len(event.gradient))
            for event in map(self.log.graph, range(self.log.counts()[0]))
        ]

    def last_pass(self, graph: int, *, before: int) -> int | None:
        """The last pass over a graph before a pass, among the thousand before it; ``None`` if there is none."""
        for index in range(min(before, self.log.counts()[1]) - 1, max(-1, before - 1_001), -1):
            if graph >= 0 and self.log.pass_(index).graph == graph:
                return index
        return None

    def source(self, line: int | None) -> str | None:
        """The text of a line of the program, without its indentation."""
        lines = self._source
        return lines[line - 1].strip() if line is not None and 1 <= line <= len(lines) else None

    @cached_property
    def _source(self) -> list[str]:
        return self.program.splitlines()

    def node(self, pass_index: int, node: str) -> model.NodeDetail:
        """All about one node in one pass; raises :class:`NotFound`."""
        numbers = self.numbers(pass_index)
        place = numbers.node_index(node)
        graph = numbers.graph
        found = graph.nodes[place]
        order = [f"n{at}" for at in wire.int32(numbers.event.order, "order").tolist()]

        def flow(edge: int, other: str) -> model.Flow:
            drawn = graph.edges[edge]
            end = graph.nodes[numbers.node_index(other)]
            return model.Flow(drawn.id, other, title(end), drawn.slot, drawn.input, numbers.edge(edge))

        return model.NodeDetail(
            node=found,
            numbers=numbers.node(place),
            saved=[model.Saved(name, numbers.saved(place, slot)) for slot, name in enumerate(found.saved)],
            incoming=[flow(at, edge.source) for at, edge in enumerate(graph.edges) if edge.target == node],
            outgoing=[flow(at, edge.target) for at, edge in enumerate(graph.edges) if edge.source == node],
            rank=order.index(node) if node in order else None,
            source=self.source(found.line),
        )


def line_text(line: wire.LineRow, tensors: Tensors) -> str:
    """The text at a line's end: its repr where that was recorded, else one made from the tensor."""
    if line.text is not None:
        return line.text
    summary = tensors.summary(line.row)
    return "" if summary is None else str(summary.values) if summary.values is not None else f"{summary.shape} {summary.dtype}"


def phase(line: wire.LineRow, step: wire.StepEvent) -> model.Phase:
    """The phase of a step in which a line ran last."""
    parts = (step.forward, step.loss, step.backward, step.update)
    place = next((at for at, lines in enumerate(parts) if line.line in lines), 0)
    passes = step.passes.index(step.main) if step.main in step.passes else 0
    ran = 0 if line.at <= passes else 2 if line.at <= len(step.passes) else 3
    return model.PHASES[max(place, ran)]


def _values(event: wire.StepEvent, tensors: Tensors) -> dict[str, model.LineValue]:
    return {
        str(line.line): model.LineValue(line_text(line, tensors), tensors.summary(line.row), phase(line, event))
        for line in event.values
        if line.file is None
    }


def _rebinds(event: wire.StepEvent, tensors: Tensors) -> list[model.Rebind]:
    return [
        model.Rebind(
            name=row.name,
            line=row.line,
            source=f"p{row.parameter}",
            to=tensors.summary(row.row),
            graph=f"g{row.graph}" if row.graph >= 0 else None,
            uses_gradient=row.uses_gradient,
        )
        for row in event.rebinds
    ]

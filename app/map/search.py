"""Search a whole graph: by names, operations, modules, lines and parameters, and by conditions on the gradients of a pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from .. import model
from ..errors import InvalidInput
from ..recording import Recording
from ..recording.tensors import json_number
from .chosen_pass import chosen_pass, passes_over
from .columns import Bools, Longs, StructureColumns
from .pass_states import PassStates, pass_states
from .query import Compared, LineNumber, Marked, Term, Text, needs_pass, read_query
from .text_index import TEXT_FIELDS, TextIndex
from .tree import index_in
from .trees import KnownGraph, known_graph

MOST_HITS: Final = 1_000
"""Largest number of hits in an answer. Further ones are only counted."""


def search(
    recording: Recording, graph: int, query: str, limit: int = MOST_HITS, pass_index: int | None = None, step: int | None = None
) -> model.GraphSearch:
    """Return the nodes of a graph that a query describes, in the order in which the map shows them: from the loss downwards.

    A condition refers to a pass, or to the pass of a step over this graph. Raises :class:`NotFound` for a missing graph, pass
    or step, and :class:`InvalidInput` for an invalid query, or a condition without a pass.
    """
    terms = read_query(query)
    event = recording.log.graph(graph)
    passed = chosen_pass(recording, graph, pass_index, step)
    if passed is None and needs_pass(terms):
        reached = next(passes_over(recording, graph, 0), None)
        remedy = (
            f"add `pass={reached.index}` or `step={reached.step}` to the address."
            if reached is not None
            else "no backward pass reached this graph. Search for names, operations or lines instead."
        )
        raise InvalidInput(f"The query has a condition on gradients: {remedy}", where="q")
    known = known_graph(recording.log, event)
    states = None if passed is None else pass_states(known.tree.graph, passed)
    matcher = _Matcher(known.tree.graph, known.texts, recording.program, states)
    found = [matcher.reasons(term) for term in terms]
    nodes = _nodes(found, known.texts, _hidden(known.tree.graph, found))
    hits = _Hits(known, states, found, nodes[:limit].tolist()).all()
    return model.GraphSearch(f"g{graph}", passed.index if passed is not None else None, query, len(nodes), hits)


@dataclass(frozen=True, slots=True)
class _Reason:
    """The nodes that meet a term by one of their fields."""

    field: model.SearchField
    nodes: Bools


class _Matcher:
    """Finds the nodes that meet a term."""

    def __init__(self, graph: StructureColumns, texts: TextIndex, program: str, states: PassStates | None) -> None:
        self._graph = graph
        self._texts = texts
        self._program = program
        self._states = states

    def reasons(self, term: Term) -> list[_Reason]:
        """Return the ways in which nodes meet a term, the most specific first."""
        match term:
            case Text(text):
                return self._with_text(text)
            case LineNumber(number):
                return [_Reason("line", self._in_program & (self._graph.line == number))]
            case Compared():
                assert self._states is not None
                return [_Reason("gradient", self._states.compared(term))]
            case Marked(state):
                assert self._states is not None
                return [
                    _Reason("gradient", self._states.gradient_is(state)),
                    _Reason("value", self._states.value_is(state)),
                ]

    @property
    def _in_program(self) -> Bools:
        return self._graph.texts("file") < 0

    def _with_text(self, text: str) -> list[_Reason]:
        graph = self._graph
        strings = self._texts.strings_with(text)
        found: list[_Reason] = []
        if (number := index_in(text[1:])) >= 0 and text[0] in "np":
            column = np.arange(graph.count) if text[0] == "n" else graph.parameter
            found.append(_Reason("id", column == number))
        for field in TEXT_FIELDS:
            nodes = self._texts.nodes_with(field, strings)
            if field == "name":
                leaves = graph.parameter >= 0
                found += [_Reason("parameter", nodes & leaves), _Reason("name", nodes & ~leaves)]
            else:
                found.append(_Reason(field, nodes))
        lines = [index_in(text)]
        if not any(reason.nodes.any() for reason in found if reason.field != "id"):
            lines += [number for number, line in enumerate(model.program_lines(self._program), 1) if text in line.lower()]
        most = max(int(graph.line.max(initial=0)), *lines, 0)
        marked: Bools = np.zeros(most + 2, bool)  # the last entry is for nodes without a line
        marked[[line for line in lines if line > 0]] = True
        found.append(_Reason("line", marked[np.maximum(graph.line, -1)] & self._in_program))
        return found


def _hidden(graph: StructureColumns, found: list[list[_Reason]]) -> Bools:
    """Return the nodes that are no hits: transposes of parameters, which a map does not show, unless a term has their id."""
    hidden = graph.transposes
    for reason in (reason for reasons in found for reason in reasons if reason.field == "id"):
        hidden = hidden & ~reason.nodes
    return hidden


def _nodes(found: list[list[_Reason]], texts: TextIndex, hidden: Bools) -> Longs:
    """Return the nodes that meet all terms, in the order of the map."""
    kept: Bools | None = None
    for reasons in found:
        some = np.logical_or.reduce([reason.nodes for reason in reasons])
        kept = some if kept is None else kept & some
    assert kept is not None
    in_order = texts.in_picture_order
    return in_order[(kept & ~hidden)[in_order]]


class _Hits:
    """Describes the nodes that were found. Each column is read once for all nodes."""

    def __init__(self, known: KnownGraph, states: PassStates | None, found: list[list[_Reason]], nodes: list[int]) -> None:
        graph = known.tree.graph
        self._tree = known.tree
        self._shown_at = known.texts.shown_at
        self._states = states
        self._texts: dict[model.SearchField, dict[int, int]] = {
            field: dict(zip(nodes, graph.texts(field)[nodes].tolist(), strict=True)) for field in TEXT_FIELDS
        }
        self._fields = [_first_fields(reasons, nodes) for reasons in found]
        self._nodes = nodes

    def all(self) -> list[model.SearchHit]:
        """Return the hits."""
        graph, nodes = self._tree.graph, self._nodes
        positions = self._shown_at[nodes]
        shown = self._tree.order.nodes[positions] if len(self._tree.order.nodes) else positions
        columns = (graph.kind[nodes], graph.line[nodes], graph.parameter[nodes], positions, shown)
        rows = zip(nodes, *(column.tolist() for column in columns), zip(*self._fields, strict=True), strict=True)
        return [self._hit(*row) for row in rows]

    def _hit(
        self, node: int, kind: int, line: int, parameter: int, position: int, shown: int, fields: Sequence[model.SearchField]
    ) -> model.SearchHit:
        norm = self._states.norm(node) if self._states is not None else None
        return model.SearchHit(
            node=f"n{node}",
            kind=("op", "leaf", "constant")[kind],
            name=self._text("name", node),
            op=self._text("op", node) or "",
            line=line if line >= 0 else None,
            parameter=f"p{parameter}" if parameter >= 0 else None,
            matches=[model.SearchMatch(field, self._text(field, node)) for field in fields],
            way=[group.id for group in self._tree.way_to(position)[1:-1]] if position >= 0 else [],
            reveal=f"n{shown}" if position >= 0 else None,
            norm=None if norm is None else json_number(norm),
        )

    def _text(self, field: model.SearchField, node: int) -> str | None:
        column: model.SearchField = "name" if field == "parameter" else field
        index = self._texts.get(column, {}).get(node, -1)
        return self._tree.graph.strings[index] if index >= 0 else None


def _first_fields(reasons: list[_Reason], nodes: list[int]) -> list[model.SearchField]:
    """Return for each node the field of the first reason that holds for it."""
    which = np.argmax([reason.nodes[nodes] for reason in reasons], axis=0)
    return [reasons[index].field for index in which.tolist()]

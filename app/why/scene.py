"""Read the parts of a recording that an explanation needs, each once."""

from __future__ import annotations

import ast
import math
import time
from collections.abc import Iterator
from functools import cached_property
from typing import Final

from .. import model, wire
from ..errors import NotFound, OverBudget
from ..explain.program.syntax import Syntax
from ..formulas.functions import Array
from ..recording import MOST_ELEMENTS, Recording
from ..recording.pass_numbers import Kind, PassNumbers
from .address import NumberAddress
from .answer import WhyLink
from .literals import text_of
from .local import Entries, LocalDerivatives
from .names import factor_name, node_name, number_of, with_element

MOST_NODES: Final = 20_000
"""Largest number of nodes of a graph whose numbers are explained."""
SECONDS: Final = 2.0
"""Limit of an explanation, in seconds of processor time."""
LONGEST_WAY: Final = 200
"""Largest number of plain operations that are skipped in a row."""


class PassScene:
    """One pass: its numbers, and the local derivatives of its nodes."""

    def __init__(self, recording: Recording, index: int, deadline: float) -> None:
        self.recording = recording
        self._deadline = deadline
        self.index = index
        self.event: wire.PassEvent = recording.log.pass_(index)
        sizes = recording.log.graph_sizes()
        if self.event.graph >= 0 and sizes[self.event.graph][0] > MOST_NODES:
            raise NotFound(f"The graph of pass {index} has more than {MOST_NODES:,} nodes, too many to explain a number.")
        self.numbers: PassNumbers = recording.numbers(index)
        self.graph = self.numbers.graph
        self.lines = model.program_lines(recording.program)
        self._locals: dict[int, LocalDerivatives] = {}

    def local(self, node: int) -> LocalDerivatives:
        """Return the local derivatives of a node. Raises :class:`OverBudget` when the question takes too long."""
        if time.thread_time() > self._deadline:
            raise OverBudget(f"The explanation takes more than {SECONDS:g} s. Ask for one element of a smaller tensor.")
        if node not in self._locals:
            self._locals[node] = LocalDerivatives(self.numbers, node, self.lines)
        return self._locals[node]

    @cached_property
    def roots(self) -> frozenset[int]:
        """The nodes where the pass starts."""
        return frozenset(int(root[1:]) for root in self.graph.roots)

    @cached_property
    def root(self) -> str:
        """The name of the loss."""
        root = self.graph.nodes[int(self.graph.roots[0][1:])] if self.graph.roots else None
        return "loss" if root is None else node_name(self.lines, root)

    def name(self, node: int, output: int = 0) -> str:
        """Return the name of a node's result. A result after the first one has its own variable, or the index of its output."""
        found = self.graph.nodes[node]
        if output == 0:
            return node_name(self.lines, found)
        parts = self.parts(node)
        if output < len(parts):
            return parts[output]
        return f"{text_of(self.lines, found) or found.op}[{output}]"

    def parts(self, node: int) -> list[str]:
        """Return the variables to which a line binds all results of a node; empty if it does not."""
        found = self.graph.nodes[node]
        if found.outputs < 2 or found.name is None or found.line is None or found.origin is not None:
            return []
        for statement in self._syntax.statements(ast.Assign):
            target = statement.targets[0]
            if statement.lineno == found.line and isinstance(target, ast.Tuple) and len(target.elts) == found.outputs:
                names = [self._syntax.text(each) for each in target.elts]
                return names if names[0] == found.name else []
        return []

    @cached_property
    def _syntax(self) -> Syntax:
        return Syntax(self.recording.program)

    def gradient_name(self, node: int, flat: int, shape: tuple[int, ...], output: int = 0) -> str:
        """Return the name of the gradient of the loss with respect to an element of a node's result."""
        return f"∂{factor_name(self.root)}/∂{factor_name(with_element(self.name(node, output), flat, shape))}"

    def gradient(self, node: int, output: int, flat: int) -> WhyLink:
        """Return the link to the gradient at an element: the used one or, if it was not recorded, the one that arrived."""
        used = self.numbers.array("used", node, output)
        array = used if used is not None else self.numbers.array("arrived", node, output)
        return self._link(
            NumberAddress("node", "grad", node, output=output),
            array,
            flat,
            lambda node, flat, shape: self.gradient_name(node, flat, shape, output),
        )

    def value(self, node: int, flat: int, output: int = 0) -> WhyLink:
        """Return the link to an element of a result of a node."""
        array = self.numbers.array("value", node) if output == 0 else None
        return self._link(
            NumberAddress("node", "value", node, output=output),
            array,
            flat,
            lambda node, flat, shape: with_element(self.name(node, output), flat, shape),
        )

    def _link(self, address: NumberAddress, array: Array | None, flat: int, name: object) -> WhyLink:
        shape = () if array is None else tuple(array.shape)
        here = address.at(flat, shape)
        here = NumberAddress(
            here.owner, here.part, here.index, here.name, here.output, here.element, self.event.step, self.index, here.state
        )
        value = None if array is None else number_of(array.reshape(-1)[flat])
        return WhyLink(here.of, name(address.index, flat, shape), value, here.href, here.step, here.pass_)  # type: ignore[operator]

    def incoming(self, node: int, output: int) -> list[tuple[int, model.Edge]]:
        """Return the edges along which gradients arrive at an output, in the order in which the engine ran their sources."""
        found = [(at, edge) for at, edge in self.numbers.edges_to(node) if edge.gradient and edge.input == output]
        return sorted(found, key=lambda each: (self._ranks.get(int(each[1].source[1:]), -1), each[1].slot))

    @cached_property
    def _ranks(self) -> dict[int, int]:
        return {node: rank for rank, node in enumerate(wire.int32(self.event.order, "order").tolist())}

    def operand_of(self, edge: model.Edge) -> str | None:
        """Return the rule's name of the operand to which an edge leads."""
        local = self.local(int(edge.source[1:]))
        names = list(local.rule.gradients) if local.rule is not None else []
        return names[edge.slot] if 0 <= edge.slot < len(names) else None

    def behind_gradient(self, node: int, output: int, flat: int) -> tuple[int, int, int, list[str]]:
        """Follow a gradient back through plain operations, such as views.

        Return the node, output and element where it was made, and the names of the operations that were skipped.
        """
        skipped: list[str] = []
        for _ in range(LONGEST_WAY):
            edges = self.incoming(node, output)
            if len(edges) != 1 or self.changed(node, output) or node in self.roots:
                break
            source = int(edges[0][1].source[1:])
            local, operand = self.local(source), self.operand_of(edges[0][1])
            if local.rule is None or not local.rule.plain or operand is None:
                break
            entries = local.column(operand, flat)
            if entries is None or len(entries) != 1 or entries[0].factor != 1.0:
                break
            skipped.append(self.graph.nodes[source].op)
            node, (output, flat, _) = source, entries[0]
        return node, output, flat, skipped

    def behind_value(self, node: int, flat: int, output: int = 0) -> tuple[int, int, int, list[str]]:
        """Follow an element of a result back through plain operations, to an element that was recorded.

        Return its node, output and element, and the names of the operations that were skipped.
        """
        found: tuple[int, int, int, list[str]] = (node, output, flat, [])
        skipped: list[str] = []
        for _ in range(LONGEST_WAY):
            local = self.local(node)
            if local.rule is None or not local.rule.plain:
                break
            rows = [(operand, local.row(operand, flat, output)) for operand in local.rule.sums]
            operand, entries = next(((name, row) for name, row in rows if row or row is None), rows[0])
            target = local.target(operand)
            if target is None or entries is None or len(entries) != 1 or entries[0][1] != 1.0:
                break
            skipped.append(self.graph.nodes[node].op)
            node, output, flat = *target, entries[0][0]
            if output == 0 and self.numbers.array("value", node) is not None:  # an operation inside a call has no value
                found = (node, output, flat, list(skipped))
        return found

    def lacks_elements(self, node: int) -> bool:
        """Return whether an operation has a tensor that was recorded without its elements, which a replay can record."""
        if self.recording.enlarged(self.event.step):
            return False
        numbers, found = self.numbers, self.graph.nodes[node]
        tensors: list[tuple[Kind, int, int]] = [("value", node, 0)]
        tensors += [("used", node, at) for at in range(found.outputs)] + [("saved", node, at) for at in range(len(found.saved))]
        for at, edge in numbers.edges_from(node):
            tensors += [("edge", at, 0), ("value", int(edge.target[1:]), 0)]
        forms = [form for each in tensors if numbers.array(*each) is None and (form := numbers.form(*each)) is not None]
        return any(1 < math.prod(form.shape) <= MOST_ELEMENTS and "complex" not in form.dtype for form in forms)

    def changed(self, node: int, output: int) -> bool:
        """Return whether a hook of the program changed the gradient that arrived."""
        arrived, used = self.numbers.array("arrived", node, output), self.numbers.array("used", node, output)
        return arrived is not None and used is not None and not _same(arrived, used)


def _same(first: Array, second: Array) -> bool:
    return first.shape == second.shape and first.tobytes() == second.tobytes()


class Scene:
    """A recording with the passes that have been read. It is used for one question."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._passes: dict[int, PassScene] = {}
        self._deadline = time.thread_time() + SECONDS

    def pass_(self, index: int) -> PassScene:
        """Return a pass. Raises :class:`NotFound` if there is none with a graph."""
        if index not in self._passes:
            self._passes[index] = PassScene(self.recording, index, self._deadline)
        return self._passes[index]

    @cached_property
    def syntax(self) -> Syntax:
        """The syntax tree of the program."""
        return Syntax(self.recording.program)

    @cached_property
    def parameters(self) -> dict[str, model.Parameter]:
        """The parameters by id."""
        return {each.id: each for each in self.recording.parameters()}

    def parameter(self, name: str) -> model.Parameter | None:
        """Return the parameter with an id or a name; the latest one, if several had the name."""
        if name in self.parameters:
            return self.parameters[name]
        return next((each for each in reversed(self.parameters.values()) if name in each.names), None)

    def steps_before(self, step: int, most: int) -> Iterator[int]:
        """Yield the indices of at most ``most`` steps before ``step``, the latest first."""
        yield from range(step - 1, max(-1, step - 1 - most), -1)


__all__ = ["Entries", "PassScene", "Scene"]

"""Answer a replay order about a pass: a loss surface, a gradient check, or the local factors of a node."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ... import wire
from ..backward.passes import OpenPass
from ..emitter import Emitter
from ..forward.mode import ForwardMode
from ..tensors.snapshot import Snapshot
from .dependence import dependence
from .distribution import distribution
from .factors import local_factors
from .gradcheck import GradientCheck
from .operands import CannotReplay
from .point import RecordedPoint
from .surface import surface
from .tape import Tape
from .unobserved import unobserved

MAX_GRAPHS = 200
"""Largest number of graphs that are checked if the order is for every graph. Some programs make a new graph in each step."""

OF_A_NODE = {
    "factors": "The node's factors cannot be computed",
    "distribution": "The distribution of its elements cannot be computed",
    "dependence": "The rows on which it depends cannot be found",
}
"""The kinds of orders that name a node, each with the beginning of its refusal."""


class ReplayFinished(BaseException):
    """Raised to stop the program once the replay is complete."""


class ReplayedStep:
    """The step of a replay order. The program is stopped after this step."""

    def __init__(self, order: wire.ReplayOrder, emitter: Emitter) -> None:
        self._order = order
        self._emitter = emitter
        self.answered = order.records_again
        """True once the replay was answered or refused, and for an order that only records again."""

    def step_ending(self, index: int) -> None:
        """Refuse the replay if its step is about to be emitted and no pass has answered it."""
        if index == self._order.step and not self._order.every and not self.answered:
            reason = "The node did not run in this pass." if self._order.what in OF_A_NODE else "The pass was interrupted."
            self._emitter.emit(wire.Refused(self._order.index, reason))

    def step_ended(self, index: int) -> None:
        """Raise :class:`ReplayFinished` after the step that the order names."""
        if index == self._order.step and not self._order.every:
            self._emitter.flush()
            raise ReplayFinished


class ReplayAnswerer:
    """Observes each pass, and answers the order while its pass runs (for a node) or after it.

    The program is left unchanged: leaves are replaced by copies, and random generators are restored.
    """

    def __init__(
        self,
        order: wire.ReplayOrder,
        *,
        emitter: Emitter,
        tape: Tape,
        mode: ForwardMode,
        engine: Callable[..., Any],
        step: ReplayedStep,
        name_of: Callable[[Tensor], str | None],
    ) -> None:
        self._order = order
        self._emitter = emitter
        self._tape = tape
        self._mode = mode
        self._engine = engine
        self._step = step
        self._name_of = name_of
        self._graphs: set[int] = set()
        self._leaf_values: dict[int, dict[int, Tensor]] = {}
        """The leaf values at the start of each ordered pass that is running. A hook may update a leaf during the pass."""

    def before_pass(self, begun: OpenPass) -> Sequence[Any]:
        """Prepare for a pass that is about to run. Return the handles of the hooks to remove afterwards."""
        order, graph = self._order, begun.template.index
        new = graph not in self._graphs and len(self._graphs) < MAX_GRAPHS
        self._graphs.add(graph)
        if order.what not in OF_A_NODE and (new if order.every else begun.facts.index == order.index):
            self._leaf_values[begun.facts.index] = {id(leaf): leaf.detach().clone() for leaf in begun.facts.leaves.values()}
        if order.what not in OF_A_NODE or begun.facts.index != order.index:
            return ()
        if order.node >= len(begun.walk.nodes):
            return ()
        node = begun.walk.nodes[order.node]
        values = begun.node_values() if order.what != "factors" else []

        def arrived(gradients: Sequence[Tensor | None]) -> None:
            with torch._C.DisableTorchFunction():
                match order.what:
                    case "factors":
                        self._answer(begun, lambda: self._factors(begun, node, gradients))
                    case "distribution":
                        self._answer(begun, lambda: self._distributions(begun, values[order.node], gradients))
                    case _:
                        self._answer(begun, lambda: self._dependence(begun, node, values))

        return (node.register_prehook(arrived),)

    def after_pass(self, begun: OpenPass, result: Any) -> None:
        """Answer the order if it asks for the pass that has run. An order that names a node is answered during the pass."""
        leaf_values = self._leaf_values.pop(begun.facts.index, None)
        if leaf_values is not None:
            self._answer(begun, lambda: self._evaluate(begun, result, leaf_values))

    def _answer(self, begun: OpenPass, work: Callable[[], None]) -> None:
        self._step.answered = True
        failure = OF_A_NODE.get(self._order.what, "The pass cannot be evaluated again")
        try:
            with self._unobserved():
                work()
        except CannotReplay as reason:
            self._refuse(begun, f"{failure}: {reason}.")
        except Exception as error:
            self._refuse(begun, f"{failure}: {type(error).__name__}: {error}"[:2_000])

    def _refuse(self, begun: OpenPass, reason: str) -> None:
        self._emitter.emit(wire.Refused(begun.facts.index, reason.encode("utf-8", "replace").decode()))

    @contextlib.contextmanager
    def _unobserved(self) -> Iterator[None]:
        """Hide our computations from the recorder and from the tape."""
        paused, self._tape.paused = self._tape.paused, True
        try:
            with unobserved(self._mode, self._engine), torch.enable_grad():
                yield
        finally:
            self._tape.paused = paused

    def _evaluate(self, begun: OpenPass, result: Any, leaf_values: dict[int, Tensor]) -> None:
        point = RecordedPoint(begun, result, self._tape, leaf_values)
        with point.restored_generators():
            if self._order.what == "surface":
                point.prove()
                self._emitter.emit(surface(self._order, point))
            else:
                self._check(begun, point)

    def _check(self, begun: OpenPass, point: RecordedPoint) -> None:
        point.prove()
        check = GradientCheck(point, self._order.elements, self._order.seconds)
        wanted = {target.parameter for target in self._order.targets}
        functions = [kind.removesuffix("Backward")[:300] for kind in point.own_functions()]
        for parameter, leaf in sorted(begun.facts.leaves.items()):
            if point.gradients.get(parameter) is not None and (parameter in wanted or not wanted):
                found = check.of(parameter, leaf)
                self._emitter.emit(found.event(begun.facts.index, parameter, check.precision, check.own, functions[:100]))

    def _factors(self, begun: OpenPass, node: Any, gradients: Sequence[Tensor | None]) -> None:
        index, node_index = begun.facts.index, self._order.node
        table, factors, products = local_factors(node, gradients)
        self._emitter.emit_with(table, lambda tensors: wire.Factors(index, node_index, factors, products, tensors))

    def _distributions(self, begun: OpenPass, value: Tensor | Snapshot | None, gradients: Sequence[Tensor | None]) -> None:
        whole = value.tensor if isinstance(value, Snapshot) else value
        rows = [distribution(gradient) for gradient in gradients[: wire.HISTOGRAMS]]
        self._emitter.emit(wire.Distributions(begun.facts.index, self._order.node, distribution(whole), rows))

    def _dependence(self, begun: OpenPass, node: Any, values: Sequence[Any]) -> None:
        numbers = begun.walk.numbers
        roots = [root for root in begun.outputs if isinstance(root, Tensor)]
        section = self._tape.leading_to(roots).up_to(numbers[self._order.node])
        with section.restored_generators():
            length, data = dependence(self._order, section, node, values, numbers, self._name_of)
        self._emitter.emit(wire.Dependence(begun.facts.index, self._order.node, self._order.dimension, length, data))

"""Hold a pass under way: what its hooks see, and what it tells once it has ended."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor
from torch.autograd import Function

from .. import wire
from .emitter import Build
from .handles import pointer
from .parts import Contribution
from .snapshot import Snapshot
from .steps import PassFacts
from .structure import Template, Walk, grad_node
from .table import Table
from .transforms import plain, stands_in

_FUNCTION: Any = Function


class Capture:
    """What the hooks of one pass see, by the places of nodes.

    The hooks hold no node, which would keep the graph alive until a collection.
    """

    def __init__(self, nodes: Sequence[Any]) -> None:
        self.order: list[int] = []
        self.on_edges: list[Sequence[Tensor | None]] = [()] * len(nodes)
        self.at_outputs: list[Sequence[Tensor | None]] = [()] * len(nodes)
        self._nodes = nodes
        self._hooks: list[dict[Any, Any]] = []

    def attach(self) -> None:
        """Put a post hook on each node, or on none if there is no room for all of them."""
        # a node asks this class how to register a hook: without the handles that it makes, that takes a third of the time
        original = _FUNCTION._register_hook
        _FUNCTION._register_hook = staticmethod(self._register)
        try:
            for place, node in enumerate(self._nodes):
                self._hooks.append(node.register_hook(partial(self._fired, place)))
        except BaseException:
            self.detach()
            raise
        finally:
            _FUNCTION._register_hook = original

    def detach(self) -> None:
        """Take the hooks off again."""
        for hooks in self._hooks:
            hooks.pop(self, None)
        self._hooks = []

    def _register(self, hooks: dict[Any, Any] | None, hook: Any) -> tuple[dict[Any, Any], dict[Any, Any]]:
        """Stand in for what keeps the hooks of a node: the program's own stay where they are, before ours."""
        if hooks is None:
            hooks = OrderedDict()  # as torch makes it: the program may add to it later
        hooks[self] = hook
        return hooks, hooks

    def _fired(self, place: int, on_edges: Sequence[Tensor | None], at_outputs: Sequence[Tensor | None]) -> None:
        self.order.append(place)
        self.on_edges[place] = on_edges
        self.at_outputs[place] = at_outputs


@dataclass(slots=True)
class OpenPass:
    """A pass under way.

    ``parameters`` has the parameter of each node (-1 for none), ``values`` their leaves as they were when it began;
    ``saved`` the saved tensors of all nodes, those at the places ``asked`` as the nodes gave them; ``given`` the gradients
    that it starts from at ``outputs``; ``inputs`` what it was told to stop at, if anything.
    """

    walk: Walk
    template: Template
    facts: PassFacts
    step: int
    parent: int
    parameters: Sequence[int]
    values: Mapping[int, Snapshot]
    saved: list[Any]
    asked: list[int]
    capture: Capture
    outputs: tuple[Any, ...]
    given: Sequence[Tensor | None]
    inputs: Sequence[Any]
    transformed: bool
    """Whether it runs inside a transform of ``torch.func``, where tensors are stand-ins of others."""
    batched: bool = False
    """Whether a tensor of it stands for a whole batch of them, whose numbers cannot be told as one's."""

    def contributions(self, table: Table, result: Any) -> dict[int, Contribution]:
        """What the pass added to each parameter, or took out there as part of ``result``, as it is now.

        The next pass adds to a leaf's ``.grad`` in place, and that may be the very tensor that a hook has seen.
        """
        found: dict[int, Contribution] = {}
        taken = self._taken(result)
        for place, leaf in self._leaves():
            gradients = self.capture.at_outputs[place] or taken.get(place)
            gradient = gradients[0] if gradients else None
            if gradient is not None:
                stolen = self.facts.accumulates and leaf.grad is not None and pointer(gradient) == pointer(leaf.grad) != 0
                found[self.parameters[place]] = Contribution(gradient, table.snapshot(gradient), stolen)
        return found

    def gradients(self, result: Any) -> dict[int, Tensor | None]:
        """The gradient that the pass gave each parameter, whether it accumulated it or returned it in ``result``."""
        taken = self._taken(result)
        seen = self.capture.at_outputs
        return {self.parameters[place]: (seen[place] or taken.get(place, (None,)))[0] for place, _ in self._leaves()}

    def tell(
        self, table: Table, result: Any, contributions: Mapping[int, Contribution], *, failing: int, hooked: bool
    ) -> Build:
        """Give every tensor of the pass a row; returns what makes the event of them.

        ``result`` is what the engine returned, ``failing`` the node that raised (-1 for none). ``hooked``: hooks of the
        user's may have changed gradients on their way.
        """
        walk, template, capture = self.walk, self.template, self.capture
        for contribution in contributions.values():
            table.known_as(plain(contribution.tensor), contribution.snapshot)
        for place, leaf in self._leaves():
            table.known_as(plain(leaf), self.values[self.parameters[place]])
        used = self._used(result, table)
        on_edges = capture.on_edges
        edge = self._add(
            table,
            [
                on_edges[source][slot] if slot < len(on_edges[source]) else None
                for source, slot in zip(walk.source, walk.slot, strict=True)
            ],
        )
        edge += [-1] * len(template.constant_edges)
        arrived = self._arrived(table) if hooked or failing >= 0 else used  # else nothing stands between the two
        columns = (capture.order, self._value(table), arrived, used, edge, self._saved(table))
        order, value, arrived_, used_, edge_, saved = template.packed(columns)
        facts, step, parent, graph = self.facts, self.step, self.parent, template.index

        def build(tensors: wire.Tensors) -> wire.Pass:
            return wire.Pass(
                index=facts.index,
                step=step,
                kind=facts.kind,
                parent=parent,
                graph=graph,
                line=facts.line,
                order=order,
                value=value,
                arrived=arrived_,
                used=used_,
                edge=edge_,
                saved=saved,
                tensors=tensors,
                failed=failing,
            )

        return build

    def _add(self, table: Table, tensors: Sequence[Any]) -> list[int]:
        """Give tensors rows; inside a transform, what is behind the stand-ins, noting if that is a whole batch."""
        if self.transformed:
            tensors = [plain(tensor) if isinstance(tensor, Tensor) else tensor for tensor in tensors]
            self.batched = self.batched or any(isinstance(tensor, Tensor) and stands_in(tensor) for tensor in tensors)
        return table.add_all(tensors)

    def empty(self, tensors: wire.Tensors) -> wire.Pass:
        """The pass without its graph, where that could not be recorded."""
        facts = self.facts
        return wire.Pass(facts.index, self.step, facts.kind, self.parent, -1, facts.line, b"", b"", b"", b"", b"", b"", tensors)

    def _leaves(self) -> Iterator[tuple[int, Tensor]]:
        """The leaves with their places."""
        return ((place, leaf) for place, leaf in enumerate(self.walk.variables) if leaf is not None)

    def _value(self, table: Table) -> list[int]:
        walk, template = self.walk, self.template
        values: list[Tensor | Snapshot | None] = [
            variable if variable is not None else call.value(number) if call is not None else None
            for variable, call, number in zip(walk.variables, walk.calls, walk.numbers, strict=True)
        ]
        return self._add(table, [*values, *(template.constant(walk, place) for place in range(len(template.constants)))])

    def _used(self, result: Any, table: Table) -> list[int]:
        taken = self._taken(result)
        rows: list[Tensor | None] = []
        for place, (seen, outputs) in enumerate(zip(self.capture.at_outputs, self.template.outputs, strict=True)):
            gradients = seen or taken.get(place, ())
            if outputs == 1:
                rows.append(gradients[0] if gradients else None)
            else:
                rows += [gradients[output] if output < len(gradients) else None for output in range(outputs)]
        return self._add(table, rows)

    def _taken(self, result: Any) -> dict[int, list[Tensor | None]]:
        """What ``autograd.grad`` took out at its inputs: nodes there do not run, so no hook tells."""
        if self.facts.accumulates or not isinstance(result, tuple) or len(result) != len(self.inputs):
            return {}
        found: dict[int, list[Tensor | None]] = {}
        for given, gradient in zip(self.inputs, result, strict=True):
            node = grad_node(given) if isinstance(given, Tensor) else given.node
            if node is None:  # a leaf of another level of torch.func has none that can be asked for
                place = next((place for place, leaf in self._leaves() if leaf is given), None)
            else:
                place = self.walk.places.get(node)
            if place is not None and isinstance(gradient, Tensor):
                found.setdefault(place, [None] * self.template.outputs[place])[given.output_nr] = gradient
        return found

    def _arrived(self, table: Table) -> list[int]:
        """Rows of the sums of what came in on edges, added in the order in which the engine added them."""
        walk, capture = self.walk, self.capture
        first: list[int] = []
        total = 0
        for outputs in self.template.outputs:
            first.append(total)
            total += outputs
        sums: dict[int, Tensor] = {}
        for output, gradient in zip(self.outputs, self.given, strict=False):
            place = walk.places.get(grad_node(output)) if isinstance(output, Tensor) else None
            if place is not None and gradient is not None:
                sums[first[place] + output.output_nr] = gradient
        rank = {place: at for at, place in enumerate(capture.order)}
        for edge in sorted(range(len(walk.source)), key=lambda edge: rank.get(walk.source[edge], len(rank))):
            source, slot = walk.source[edge], walk.slot[edge]
            gradient = capture.on_edges[source][slot] if slot < len(capture.on_edges[source]) else None
            if gradient is not None:
                at = first[walk.target[edge]] + walk.input[edge]
                sums[at] = sums[at] + gradient if at in sums else gradient
        return self._add(table, [sums.get(at) for at in range(total)])

    def _saved(self, table: Table) -> list[int]:
        """Rows of the saved tensors; a leaf's own memory is told by its snapshot, since the program is about to write there."""
        saved = self.saved
        if any(saved[place] is not None for place in self.asked):
            leaves = {pointer(leaf): self.values[self.parameters[place]] for place, leaf in self._leaves()}
            for place in self.asked:
                tensor = saved[place]
                key = pointer(tensor) if tensor is not None else 0  # what has no place in memory is like no other
                snapshot = leaves.get(key) if key else None
                if snapshot is not None:
                    saved[place] = snapshot.seen_as(tensor)
        return self._add(table, [each if isinstance(each, Tensor | Snapshot) else None for each in saved])

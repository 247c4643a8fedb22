"""Hold a pass under way: what its hooks see, and what it tells once it has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .. import wire
from .emitter import Build
from .handles import pointer
from .steps import PassFacts
from .structure import Template, Walk, grad_node, int32
from .summary import Snapshot, Table, looks_alike, plain, stands_in


class Capture:
    """What the hooks of one pass saw, by the places of nodes."""

    def __init__(self, count: int) -> None:
        self.order: list[int] = []
        self.on_edges: list[Sequence[Tensor | None]] = [()] * count
        self.at_outputs: list[Sequence[Tensor | None]] = [()] * count

    def hook(self, place: int) -> Callable[[Any, Any], None]:
        """The post hook of a node. It holds no node, which would keep the graph alive until a collection."""

        def fired(on_edges: Sequence[Tensor | None], at_outputs: Sequence[Tensor | None]) -> None:
            self.order.append(place)
            self.on_edges[place] = on_edges
            self.at_outputs[place] = at_outputs

        return fired


@dataclass(slots=True)
class OpenPass:
    """A pass under way.

    ``parameters`` has the parameter of each node (-1 for none), ``values`` their leaves as they were when it began;
    ``saved`` the saved tensors of each node; ``given`` the gradients that it starts from at ``outputs``; ``inputs`` what
    it was told to stop at, if anything.
    """

    walk: Walk
    template: Template
    facts: PassFacts
    step: int
    parent: int
    parameters: Sequence[int]
    values: Mapping[int, Snapshot]
    saved: list[list[Tensor | None]]
    capture: Capture
    outputs: tuple[Any, ...]
    given: Sequence[Tensor | None]
    inputs: Sequence[Any]
    transformed: bool = False
    """Whether it runs inside a transform of ``torch.func``, where tensors are stand-ins of others."""
    batched: bool = False
    """Whether a tensor of it stands for a whole batch of them, whose numbers cannot be told as one's."""

    def keep_apart(self) -> None:
        """Copy each leaf's gradient that has become the leaf's ``.grad``: the next pass adds to that in place.

        A sum of several edges is the engine's own: no hook holds it when it is given away, so that it is not copied there.
        """
        for place, leaf in self._leaves():
            found = self.capture.at_outputs[place]
            if found and found[0] is not None and leaf.grad is not None and pointer(found[0]) == pointer(leaf.grad):
                self.capture.at_outputs[place] = (found[0].clone(),)

    def contributions(self, result: Any) -> dict[int, Tensor | None]:
        """What the pass added to each parameter, or took out there as part of ``result``."""
        seen, taken = self.capture.at_outputs, self._taken(result)
        return {
            self.parameters[place]: gradients[0]
            for place, _ in self._leaves()
            if (gradients := seen[place] or taken.get(place))
        }

    def gradients(self, result: Any) -> dict[int, Tensor | None]:
        """The gradient that the pass gave each parameter, whether it accumulated it or returned it in ``result``."""
        taken = self._taken(result)
        seen = self.capture.at_outputs
        return {self.parameters[place]: (seen[place] or taken.get(place, (None,)))[0] for place, _ in self._leaves()}

    def tell(self, table: Table, result: Any, *, failing: int, hooked: bool) -> Build:
        """Give every tensor of the pass a row; returns what makes the event of them.

        ``result`` is what the engine returned, ``failing`` the node that raised (-1 for none). ``hooked``: hooks of the
        user's may have changed gradients on their way.
        """
        walk, template = self.walk, self.template
        add: Callable[[Any], int] = self._plainly(table.add) if self.transformed else table.add
        used = self._used(result, add)
        on_edges = self.capture.on_edges
        edge = [
            add(on_edges[source][slot]) if slot < len(on_edges[source]) else -1
            for source, slot in zip(walk.source, walk.slot, strict=True)
        ]
        arrived = self._arrived(add) if hooked or failing >= 0 else used  # else nothing stands between the two
        value = self._value(add)
        saved = self._saved(add)
        columns = (self.capture.order, value, arrived, used, edge + [-1] * len(template.constant_edges), saved)
        facts, step, parent, graph = self.facts, self.step, self.parent, template.index

        def build(tensors: wire.Tensors) -> wire.Pass:
            order, value, arrived, used, edge, saved = map(int32, columns)
            return wire.Pass(
                index=facts.index,
                step=step,
                kind=facts.kind,
                parent=parent,
                graph=graph,
                line=facts.line,
                order=order,
                value=value,
                arrived=arrived,
                used=used,
                edge=edge,
                saved=saved,
                tensors=tensors,
                failed=failing,
            )

        return build

    def _plainly(self, add: Callable[[Any], int]) -> Callable[[Any], int]:
        """Add what is behind the stand-ins of ``torch.func``, and note if that is a whole batch."""

        def add_plain(tensor: Any) -> int:
            if isinstance(tensor, Tensor):
                tensor = plain(tensor)
                self.batched = self.batched or stands_in(tensor)
            return add(tensor)

        return add_plain

    def empty(self, tensors: wire.Tensors) -> wire.Pass:
        """The pass without its graph, where that could not be recorded."""
        facts = self.facts
        return wire.Pass(facts.index, self.step, facts.kind, self.parent, -1, facts.line, b"", b"", b"", b"", b"", b"", tensors)

    def _leaves(self) -> Iterator[tuple[int, Tensor]]:
        """The leaves with their places."""
        return ((place, leaf) for place, leaf in enumerate(self.walk.variables) if leaf is not None)

    def _value(self, add: Callable[[Any], int]) -> list[int]:
        walk = self.walk
        rows: list[int] = []
        for parameter, variable, call, number in zip(self.parameters, walk.variables, walk.calls, walk.numbers, strict=True):
            if variable is not None:
                rows.append(add(self.values[parameter]))
            else:
                rows.append(add(call.value(number)) if call is not None else -1)
        template = self.template
        return rows + [add(template.constant(walk, place)) for place in range(len(template.constants))]

    def _used(self, result: Any, add: Callable[[Any], int]) -> list[int]:
        taken = self._taken(result)
        rows: list[int] = []
        for place, (seen, outputs) in enumerate(zip(self.capture.at_outputs, self.template.outputs, strict=True)):
            gradients = seen or taken.get(place, ())
            rows += [add(gradients[output]) if output < len(gradients) else -1 for output in range(outputs)]
        return rows

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

    def _arrived(self, add: Callable[[Any], int]) -> list[int]:
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
        return [add(sums.get(at)) for at in range(total)]

    def _saved(self, add: Callable[[Any], int]) -> list[int]:
        """Rows of the saved tensors; a leaf's own memory is told by its snapshot, since the program is about to write there."""
        leaves = {pointer(leaf): self.values[self.parameters[place]] for place, leaf in self._leaves()}
        known = {pointer(tensor): tensor for tensor in self._results()}
        rows: list[int] = []
        for tensor in (tensor for slots in self.saved for tensor in slots):
            if tensor is None:
                rows.append(-1)
                continue
            key = pointer(tensor)
            snapshot, result = (leaves.get(key), known.get(key)) if key else (None, None)  # what has no place is like no other
            if snapshot is not None:
                rows.append(add(snapshot.seen_as(tensor)))
            elif result is not None and looks_alike(result, tensor):
                rows.append(add(result))  # what a call returned is what another node saved
            else:
                rows.append(add(tensor))
        return rows

    def _results(self) -> Iterator[Tensor]:
        """The tensors that have rows already: what calls returned, and constants."""
        walk, template = self.walk, self.template
        for call, number in zip(walk.calls, walk.numbers, strict=True):
            value = call.value(number) if call is not None else None
            if isinstance(value, Tensor):
                yield value
        for place in range(len(template.constants)):
            constant = template.constant(walk, place)
            if isinstance(constant, Tensor):
                yield constant

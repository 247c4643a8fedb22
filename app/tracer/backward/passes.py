"""Hold a pass under way, and tell it once it has ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from torch import Tensor

from ... import wire
from ..emitter import Build
from ..tensors.handles import data_pointer, next_sequence_nr, sequence_nr
from ..tensors.memory import Write
from ..tensors.snapshot import Snapshot, grad_fn_of
from ..tensors.table import TableBuilder
from ..tensors.transforms import is_transform_wrapper, unwrapped
from ..training.facts import PassFacts
from ..training.parameter_step import Contribution
from .graph import Walk, grad_node
from .hooks import Capture
from .template import Template


@dataclass(slots=True)
class OpenPass:
    """A pass under way.

    ``values`` has the snapshots of its leaves as they were when it began, by their parameters; ``saved`` the saved tensors
    of all nodes, those at the places ``asked`` as the nodes gave them; ``given`` the gradients that it starts from at
    ``outputs``; ``inputs`` what it was told to stop at, if anything.
    """

    walk: Walk
    template: Template
    facts: PassFacts
    step: int
    parent: int
    values: Mapping[int, Snapshot]
    saved: list[Any]
    asked: list[int]
    capture: Capture
    thread: int
    fresh: frozenset[int]
    """The parameters that had no ``.grad`` when it began."""
    changes: int
    """How often the program had changed a tensor or a ``.grad`` then."""
    outputs: tuple[Any, ...]
    given: Sequence[Tensor | None]
    inputs: Sequence[Any]
    makes: bool
    """Whether its formulas make nodes, as with ``create_graph``."""
    transformed: bool
    """Whether it runs inside a transform of ``torch.func``, where tensors are stand-ins of others."""
    batched: bool = False
    """Whether a tensor of it stands for a whole batch of them, whose numbers cannot be told as one's."""

    def contributions(self, table: TableBuilder, result: Any, *, touched: bool) -> dict[int, Contribution]:
        """What the pass added to each parameter, or took out there as part of ``result``.

        The next pass adds to a leaf's ``.grad`` in place, and that may be the very tensor that a hook has seen. Where there
        was none before, the engine makes it of this gradient, in the layout of the leaf; unless the program has ``touched``
        anything while it ran.
        """
        found: dict[int, Contribution] = {}
        taken = self._taken(result)
        seen, accumulates = self.capture.at_outputs, self.facts.accumulates
        own = not touched and all(leaf._post_accumulate_grad_hooks is None for _, leaf in self.walk.leaves)
        for parameter, (place, leaf) in zip(self.template.parameters, self.walk.leaves, strict=True):
            gradients = seen[place] or taken.get(place)
            gradient = gradients[0] if gradients else None
            if gradient is not None:
                grad = leaf.grad if accumulates else None
                stolen = grad is not None and data_pointer(gradient) == data_pointer(grad) != 0
                whole = stolen or (
                    grad is not None
                    and own
                    and parameter in self.fresh
                    and not grad.requires_grad
                    and grad._version == 1  # a copy, which nothing has written to since it was made
                )
                shareable = table.shareable(gradient, in_transform=self.transformed)
                found[parameter] = Contribution(gradient, shareable, whole, stolen)
        return found

    def made(self, first: int, result: Any) -> Iterator[tuple[int, int, int, list[Tensor]]]:
        """With ``create_graph``: intervals of the numbers of nodes, the place of the node that made them, and its results.

        ``first`` is the number before the engine ran. Where gradients meet, the engine makes the node of their sum before
        the node runs at which they arrive: it belongs to that one, whichever runs in between.
        """
        capture = self.capture
        on_edges, at_outputs = capture.on_edges, capture.at_outputs
        last = next_sequence_nr()
        flowing = {sequence_nr(grad_fn_of(each)) for gradients in on_edges for each in gradients if each is not None}
        taken = self._taken(result)
        for place in (*capture.order, *taken):
            for gradient in at_outputs[place] or taken.get(place, ()):
                if gradient is None:
                    continue
                top = grad_fn_of(gradient)
                waiting = [top]
                while waiting:
                    node = waiting.pop()
                    seq = sequence_nr(node)
                    if first <= seq < last and seq not in flowing:
                        yield seq, seq + 1, place, [gradient] if node is top else []
                        waiting += [following for following, _ in node.next_functions]
        for place, end in zip(capture.order, capture.numbers, strict=True):
            if end > first:
                yield first, end, place, [gradient for gradient in on_edges[place] if gradient is not None]
            first = end

    def gradients(self, result: Any) -> dict[int, Tensor | None]:
        """The gradient that the pass gave each parameter, whether it accumulated it or returned it in ``result``."""
        taken = self._taken(result)
        seen = self.capture.at_outputs
        leaves = zip(self.template.parameters, self.walk.leaves, strict=True)
        return {parameter: (seen[place] or taken.get(place, (None,)))[0] for parameter, (place, _) in leaves}

    def event(
        self, table: TableBuilder, result: Any, contributions: Mapping[int, Contribution], *, failing: int, hooked: bool
    ) -> Build:
        """Give every tensor of the pass a row; returns what makes the event of them.

        ``result`` is what the engine returned, ``failing`` the node that raised (-1 for none). ``hooked``: hooks of the
        user's may have changed gradients on their way.
        """
        template, capture = self.template, self.capture
        for contribution in contributions.values():
            if contribution.row is not contribution.tensor:
                table.add_snapshot(unwrapped(contribution.tensor), contribution.row)
        for parameter, (_, leaf) in zip(template.parameters, self.walk.leaves, strict=True):
            table.add_snapshot(unwrapped(leaf), self.values[parameter])
        source, slot, _, _ = template.edges
        told: list[Any] = self._used(result)
        outputs = len(told)
        for at, place in zip(source, slot, strict=True):
            gradients = capture.on_edges[at]
            told.append(gradients[place] if place < len(gradients) else None)
        told += [None] * len(template.constant_edges)
        edges = len(told)
        told += self._values()
        values = len(told)
        told += self._saved()
        ends = [outputs, edges, values, len(told)]
        if hooked or failing >= 0:
            told += self._arrived()
            ends.append(len(told))
        rows = self._add(table, told)
        order, used, edge, value, saved, *arrived = template.packed(capture.order, rows, ends)
        facts, step, parent, graph = self.facts, self.step, self.parent, template.index

        def build(tensors: wire.TensorTable) -> wire.PassEvent:
            return wire.PassEvent(
                index=facts.index,
                step=step,
                kind=facts.kind,
                parent=parent,
                graph=graph,
                line=facts.here.line,
                order=order,
                value=value,
                arrived=arrived[0] if arrived else used,  # without hooks nothing stands between the two
                used=used,
                edge=edge,
                saved=saved,
                tensors=tensors,
                failed=failing,
            )

        return build

    def _add(self, table: TableBuilder, tensors: Sequence[Any]) -> list[int]:
        """Give tensors rows; inside a transform, what is behind the stand-ins, noting if that is a whole batch."""
        if self.transformed:
            tensors = [unwrapped(tensor) if isinstance(tensor, Tensor) else tensor for tensor in tensors]
            self.batched = self.batched or any(isinstance(each, Tensor) and is_transform_wrapper(each) for each in tensors)
        return table.add_all(tensors)

    def empty(self, tensors: wire.TensorTable) -> wire.PassEvent:
        """The pass without its graph, where that could not be recorded."""
        facts = self.facts
        return wire.PassEvent(
            facts.index, self.step, facts.kind, self.parent, -1, facts.here.line, b"", b"", b"", b"", b"", b"", tensors
        )

    def _values(self) -> list[Tensor | Snapshot | None]:
        """What each node computed, then the constants."""
        walk, template = self.walk, self.template
        values: list[Tensor | Snapshot | None] = []
        for node, call, seq in zip(walk.nodes, walk.calls, walk.numbers, strict=True):
            if call is None:
                values.append(None)
                continue
            out = call.out
            values.append(out if type(out) is Tensor and grad_fn_of(out) is node else call.value(seq))
        for place, leaf in walk.leaves:
            values[place] = leaf
        values += [template.constant(walk, place) for place in range(len(template.constants))]
        return values

    def _used(self, result: Any) -> list[Tensor | None]:
        """The gradient at each output of each node, as its formula was given it."""
        taken = self._taken(result)
        used: list[Tensor | None] = []
        for place, (gradients, outputs) in enumerate(zip(self.capture.at_outputs, self.template.outputs, strict=True)):
            if not gradients and taken:
                gradients = taken.get(place, ())
            if outputs == 1:
                used.append(gradients[0] if gradients else None)
            else:
                used += [gradients[output] if output < len(gradients) else None for output in range(outputs)]
        return used

    def _taken(self, result: Any) -> dict[int, list[Tensor | None]]:
        """What ``autograd.grad`` took out at its inputs: nodes there do not run, so no hook tells."""
        if self.facts.accumulates or not isinstance(result, tuple) or len(result) != len(self.inputs):
            return {}
        found: dict[int, list[Tensor | None]] = {}
        for given, gradient in zip(self.inputs, result, strict=True):
            node = grad_node(given) if isinstance(given, Tensor) else given.node
            if node is None:  # a leaf of another level of torch.func has none that can be asked for
                place = next((place for place, leaf in self.walk.leaves if leaf is given), None)
            else:
                place = self.walk.indexes.get(node)
            if place is not None and isinstance(gradient, Tensor):
                found.setdefault(place, [None] * self.template.outputs[place])[given.output_nr] = gradient
        return found

    def _arrived(self) -> list[Tensor | None]:
        """The sums of what came in on edges, added in the order in which the engine added them."""
        walk, template, capture = self.walk, self.template, self.capture
        first = [0, *accumulate(template.outputs)]
        sums: dict[int, Tensor] = {}
        for output, gradient in zip(self.outputs, self.given, strict=False):
            place = walk.indexes.get(grad_node(output)) if isinstance(output, Tensor) else None
            if place is not None and gradient is not None:
                sums[first[place] + output.output_nr] = gradient
        rank = {place: at for at, place in enumerate(capture.order)}
        sources, slots, targets, inputs = template.edges
        for edge in sorted(range(len(sources)), key=lambda edge: rank.get(sources[edge], len(rank))):
            source, slot = sources[edge], slots[edge]
            gradient = capture.on_edges[source][slot] if slot < len(capture.on_edges[source]) else None
            if gradient is not None:
                at = first[targets[edge]] + inputs[edge]
                sums[at] = sums[at] + gradient if at in sums else gradient
        return [sums.get(at) for at in range(first[-1])]

    def protect(self, write: Write, table: TableBuilder) -> None:
        """Memory is about to be written to while the pass runs: copy what is held of it."""
        for place, saved in enumerate(self.saved):
            if isinstance(saved, Tensor) and write.reaches(saved):
                self.saved[place] = table.snapshot(saved)

    def _saved(self) -> list[Any]:
        """The saved tensors; a leaf's own memory is told by its snapshot, since the program is about to write there."""
        saved = self.saved
        if any(saved[place] is not None for place in self.asked):
            leaves = {
                data_pointer(leaf): self.values[parameter]
                for parameter, (_, leaf) in zip(self.template.parameters, self.walk.leaves, strict=True)
            }
            for place in self.asked:
                tensor = saved[place]
                key = data_pointer(tensor) if isinstance(tensor, Tensor) else 0  # what has no place in memory is like no other
                snapshot = leaves.get(key) if key else None
                if snapshot is not None:
                    saved[place] = snapshot.viewed_as(tensor)
        return [each if isinstance(each, Tensor | Snapshot) else None for each in saved]

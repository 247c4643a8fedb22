"""Keep the data of a running pass, and build its event once it has ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from msgspec import Struct
from torch import Tensor

from ... import wire
from ..emitter import Build
from ..tensors.handles import data_pointer, next_sequence_nr, sequence_nr
from ..tensors.memory import Write
from ..tensors.snapshot import Snapshot, grad_fn_of
from ..tensors.table import TableBuilder
from ..tensors.transforms import is_transform_wrapper, unwrapped
from ..training.facts import PassFacts
from ..training.parameter_changes import Contribution
from .graph import Walk, grad_node
from .hooks import GradientCapture
from .overwritten import Overwritten, Position
from .template import Template


class OpenPass(Struct):
    """A pass that is running.

    ``values`` are snapshots of its leaves when it began, by parameter. ``saved`` are the saved tensors of all nodes; those at
    the indices ``read_from_nodes`` were read from a node. ``given`` are the gradients that the program passed for
    ``outputs``. ``inputs`` are the tensors that ``autograd.grad`` differentiates with respect to, if any.
    """

    walk: Walk
    template: Template
    facts: PassFacts
    step: int
    parent: int
    values: Mapping[int, Snapshot]
    saved: list[Any]
    read_from_nodes: list[int]
    capture: GradientCapture
    thread: int
    fresh: frozenset[int]
    """The parameters that had no ``.grad`` when the pass began."""
    changes: int
    """The count of :class:`~..training.program_changes.ProgramChanges` when the pass began."""
    outputs: tuple[Any, ...]
    given: Sequence[Tensor | None]
    inputs: Sequence[Any]
    creates_graph: bool
    """True if the formulas make nodes (``create_graph=True``)."""
    transformed: bool
    """True inside a transform of ``torch.func``, where tensors wrap others."""
    batched: bool = False
    """True if a tensor of the pass wraps a whole batch. Its elements cannot be emitted as those of one tensor."""
    overwritten: Overwritten | None = None
    """The gradients that the program has overwritten while the pass ran, if it has written to any tensor."""

    def contributions(self, table: TableBuilder, result: Any, *, touched: bool) -> dict[int, Contribution]:
        """Return the contribution of the pass to each parameter, or the gradient that it returned as part of ``result``.

        A leaf's ``.grad`` may be the same tensor as the captured gradient, and the next pass adds to it in place. If the leaf
        had no ``.grad``, the engine made it from the captured gradient, in the leaf's layout. ``touched`` is true if the
        program may have changed a tensor while the pass ran. The ``.grad`` and the captured gradient may then differ.
        """
        found: dict[int, Contribution] = {}
        taken = self._taken(result)
        seen, accumulates = self.capture.at_outputs, self.facts.accumulates
        own = not touched and all(leaf._post_accumulate_grad_hooks is None for _, leaf in self.walk.leaves)
        for parameter, (node, leaf) in zip(self.template.parameters, self.walk.leaves, strict=True):
            gradients = seen[node] or taken.get(node)
            gradient = gradients[0] if gradients else None
            before = None if self.overwritten is None else self._before_writes(node)
            if gradient is not None and before is not None:
                elements = before.tensor
                found[parameter] = Contribution(
                    gradient if elements is None else elements, before, False, False, overwritten=True
                )
            elif gradient is not None:
                grad = leaf.grad if accumulates else None
                stolen = grad is not None and data_pointer(gradient) == data_pointer(grad) != 0
                whole = stolen or (
                    grad is not None
                    and own
                    and parameter in self.fresh
                    and not grad.requires_grad
                    and grad._version == 1  # the engine made this copy, and nothing has written to it since
                )
                shareable = table.shareable(gradient, in_transform=self.transformed)
                found[parameter] = Contribution(gradient, shareable, whole, stolen)
        return found

    def made_nodes(self, first: int, result: Any) -> Iterator[tuple[int, int, int, list[Tensor]]]:
        """Yield the nodes that formulas made. There are such nodes only with ``create_graph``.

        Each item is an interval of sequence numbers (first, end), the index of the node whose formula made them, and its
        results. ``first`` is the number before the engine ran. Where gradients meet, the engine makes a node for their sum
        before it runs the node at which they arrive. The sum belongs to that node.
        """
        capture = self.capture
        on_edges, at_outputs = capture.on_edges, capture.at_outputs
        last = next_sequence_nr()
        flowing = {sequence_nr(grad_fn_of(each)) for gradients in on_edges for each in gradients if each is not None}
        taken = self._taken(result)
        for index in (*capture.order, *taken):
            for gradient in at_outputs[index] or taken.get(index, ()):
                if gradient is None:
                    continue
                top = grad_fn_of(gradient)
                waiting = [top]
                while waiting:
                    node = waiting.pop()
                    seq = sequence_nr(node)
                    if first <= seq < last and seq not in flowing:
                        yield seq, seq + 1, index, [gradient] if node is top else []
                        waiting += [following for following, _ in node.next_functions]
        for index, end in zip(capture.order, capture.numbers, strict=True):
            if end > first:
                yield first, end, index, [gradient for gradient in on_edges[index] if gradient is not None]
            first = end

    def gradients(self, result: Any) -> dict[int, Tensor | None]:
        """Return the gradient of each parameter, whether the pass accumulated it or returned it in ``result``."""
        taken = self._taken(result)
        seen = self.capture.at_outputs
        found: dict[int, Tensor | None] = {}
        for parameter, (node, _) in zip(self.template.parameters, self.walk.leaves, strict=True):
            before = self._before_writes(node)
            elements = before.tensor if before is not None else None
            found[parameter] = (seen[node] or taken.get(node, (None,)))[0] if elements is None else elements
        return found

    def event(
        self, table: TableBuilder, result: Any, contributions: Mapping[int, Contribution], *, failing: int, hooked: bool
    ) -> Build:
        """Give every tensor of the pass a row, and return a function that builds the event from the packed table.

        ``result`` is the engine's return value, ``failing`` the node that raised (-1 for none). ``hooked`` is true if hooks of
        the program may have changed gradients between their arrival and their use.
        """
        template, capture = self.template, self.capture
        for contribution in contributions.values():
            if contribution.row is not contribution.tensor and not contribution.overwritten:
                table.add_snapshot(unwrapped(contribution.tensor), contribution.row)
        for parameter, (_, leaf) in zip(template.parameters, self.walk.leaves, strict=True):
            table.add_snapshot(unwrapped(leaf), self.values[parameter])
        source, slot, _, _ = template.edges
        columns: list[Any] = self._used(result)
        outputs = len(columns)
        for node, index in zip(source, slot, strict=True):
            gradients = capture.on_edges[node]
            columns.append(gradients[index] if index < len(gradients) else None)
        if self.overwritten is not None and self.overwritten.sent:
            edges_of = zip(source, slot, strict=True)
            columns[outputs:] = [
                self.overwritten.sent.get(edge, column) for edge, column in zip(edges_of, columns[outputs:], strict=True)
            ]
        columns += [None] * len(template.constant_edges)
        edges = len(columns)
        columns += self.node_values()
        values = len(columns)
        columns += self._saved()
        ends = [outputs, edges, values, len(columns)]
        if hooked or failing >= 0:
            columns += self._arrived()
            ends.append(len(columns))
        rows = self._add(table, columns)
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
                arrived=arrived[0] if arrived else used,  # used as they arrived, unless hooks change them
                used=used,
                edge=edge,
                saved=saved,
                tensors=tensors,
                failed=failing,
                origin=facts.here.origin,
            )

        return build

    def summary(self) -> Build:
        """Return a function that builds the event without the tensors of the pass."""
        order, used, edge, value, saved = self.template.without_rows(self.capture.order)
        facts, step, parent, graph = self.facts, self.step, self.parent, self.template.index

        def build(tensors: wire.TensorTable) -> wire.PassEvent:
            return wire.PassEvent(
                facts.index, step, facts.kind, parent, graph, facts.here.line, order, value, used, used, edge, saved, tensors,
                origin=facts.here.origin, summary=True,
            )  # fmt: skip

        return build

    def _add(self, table: TableBuilder, tensors: Sequence[Any]) -> list[int]:
        """Give tensors rows. Inside a transform, add the wrapped tensors, and set :attr:`batched` if one is a whole batch."""
        if self.transformed:
            tensors = [unwrapped(tensor) if isinstance(tensor, Tensor) else tensor for tensor in tensors]
            self.batched = self.batched or any(isinstance(each, Tensor) and is_transform_wrapper(each) for each in tensors)
        return table.add_all(tensors)

    def empty(self, tensors: wire.TensorTable) -> wire.PassEvent:
        """Return the event of a pass whose graph could not be recorded."""
        facts = self.facts
        return wire.PassEvent(
            facts.index, self.step, facts.kind, self.parent, -1, facts.here.line, b"", b"", b"", b"", b"", b"", tensors,
            origin=facts.here.origin,
        )  # fmt: skip

    def node_values(self) -> list[Tensor | Snapshot | None]:
        """Return the values that the nodes computed, then the constants."""
        walk, template = self.walk, self.template
        values: list[Tensor | Snapshot | None] = []
        for node, call, seq in zip(walk.nodes, walk.calls, walk.numbers, strict=True):
            if call is None:
                values.append(None)
                continue
            out = call.out
            if type(out) is Tensor:
                try:
                    made = out.grad_fn
                except RuntimeError:  # see `grad_fn_of`
                    made = None
                if made is node:
                    values.append(out)
                    continue
            values.append(call.value(seq))
        for index, leaf in walk.leaves:
            values[index] = leaf
        values += [template.constant(walk, index) for index in range(len(template.constants))]
        return values

    def _used(self, result: Any) -> list[Tensor | Snapshot | None]:
        """Return the gradient that the formula of each node used, at each output of the node."""
        taken = self._taken(result)
        used: list[Tensor | Snapshot | None] = []
        for index, (gradients, outputs) in enumerate(zip(self.capture.at_outputs, self.template.outputs, strict=True)):
            if not gradients and taken:
                gradients = taken.get(index, ())
            if outputs == 1:
                used.append(gradients[0] if gradients else None)
            else:
                used += [gradients[output] if output < len(gradients) else None for output in range(outputs)]
        if self.overwritten is not None and self.overwritten.used:
            first = [0, *accumulate(self.template.outputs)]
            for (node, output), before in self.overwritten.used.items():
                if output < self.template.outputs[node]:
                    used[first[node] + output] = before
        return used

    def _before_writes(self, leaf: int) -> Snapshot | None:
        """Return the gradient that arrived at the node of a leaf, if the program has written to it since."""
        return None if self.overwritten is None else self.overwritten.used.get((leaf, 0))

    def _taken(self, result: Any) -> dict[int, list[Tensor | None]]:
        """Return the gradients that ``autograd.grad`` returned, by node.

        The nodes of its inputs don't run, so their hooks see nothing.
        """
        if self.facts.accumulates or not isinstance(result, tuple) or len(result) != len(self.inputs):
            return {}
        found: dict[int, list[Tensor | None]] = {}
        for given, gradient in zip(self.inputs, result, strict=True):
            node = grad_node(given) if isinstance(given, Tensor) else given.node
            if node is None:  # torch.func does not return the node of a leaf of another level
                index = next((index for index, leaf in self.walk.leaves if leaf is given), None)
            else:
                index = self.walk.indexes.get(node)
            if index is not None and isinstance(gradient, Tensor):
                found.setdefault(index, [None] * self.template.outputs[index])[given.output_nr] = gradient
        return found

    def _arrived(self) -> list[Tensor | Snapshot | None]:
        """Return the gradient that arrived at each output: the sum over its edges, in the engine's order of addition."""
        walk, template, capture = self.walk, self.template, self.capture
        first = [0, *accumulate(template.outputs)]
        sums: dict[int, Tensor | Snapshot] = {}
        for root, (output, gradient) in enumerate(zip(self.outputs, self.given, strict=False)):
            index = walk.indexes.get(grad_node(output)) if isinstance(output, Tensor) else None
            if index is not None and gradient is not None:
                sums[first[index] + output.output_nr] = self._taken_at(("given", root, 0), gradient)
        rank = {index: position for position, index in enumerate(capture.order)}
        sources, slots, targets, inputs = template.edges
        for edge in sorted(range(len(sources)), key=lambda edge: rank.get(sources[edge], len(rank))):
            source, slot = sources[edge], slots[edge]
            gradient = capture.on_edges[source][slot] if slot < len(capture.on_edges[source]) else None
            if gradient is not None:
                at = first[targets[edge]] + inputs[edge]
                taken = self._taken_at(("edge", source, slot), gradient)
                sums[at] = _elements(sums[at]) + _elements(taken) if at in sums else taken
        return [sums.get(at) for at in range(first[-1])]

    def _taken_at(self, position: Position, gradient: Tensor) -> Tensor | Snapshot:
        """Return a gradient as it arrived at the other end of its edge: a copy if it was overwritten later."""
        found = self.overwritten.arrived.get(position) if self.overwritten is not None else None
        return gradient if found is None or (found.value is None and found.traits.count) else found

    def protect(self, write: Write, table: TableBuilder) -> None:
        """Copy the saved tensors that the program is about to write to."""
        for index, saved in enumerate(self.saved):
            if isinstance(saved, Tensor) and write.reaches(saved):
                self.saved[index] = table.snapshot(saved)

    @property
    def gradient_writes(self) -> Overwritten:
        """The gradients that the program overwrites while the pass runs. Observing them begins with the first access."""
        if self.overwritten is None:
            self.overwritten = self.capture.overwritten = Overwritten(
                walk=self.walk,
                template=self.template,
                capture=self.capture,
                outputs=self.outputs,
                given=self.given,
                fresh=self.fresh,
            )
        return self.overwritten

    def _saved(self) -> list[Any]:
        """Return the saved tensors. A saved leaf is replaced by its snapshot, since an update will overwrite it."""
        saved = self.saved
        if any(saved[index] is not None for index in self.read_from_nodes):
            leaves = {
                data_pointer(leaf): self.values[parameter]
                for parameter, (_, leaf) in zip(self.template.parameters, self.walk.leaves, strict=True)
            }
            for index in self.read_from_nodes:
                tensor = saved[index]
                key = data_pointer(tensor) if isinstance(tensor, Tensor) else 0  # a tensor without memory is not matched
                snapshot = leaves.get(key) if key else None
                if snapshot is not None:
                    saved[index] = snapshot.viewed_as(tensor)
        return [each if isinstance(each, Tensor | Snapshot) else None for each in saved]


def _elements(gradient: Tensor | Snapshot) -> Any:
    return gradient.tensor if isinstance(gradient, Snapshot) else gradient

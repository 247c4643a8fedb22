"""Copy gradients of a running pass before the program writes to them in place."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction

from ..tensors.handles import equal_elements, storage_pointer
from ..tensors.memory import Write
from ..tensors.snapshot import Snapshot
from ..tensors.transforms import unwrapped
from .graph import Walk, grad_node
from .hooks import GradientCapture
from .template import Template

_FORMULAS = frozenset(
    getattr(BackwardCFunction, name).__code__ for name in ("apply", "apply_boxed") if hasattr(BackwardCFunction, name)
)
"""Code of the methods that run a custom ``backward``. Not every release of PyTorch has both."""
_current_node: Callable[[], Any] = torch._C._current_autograd_node
_uses: Callable[[Tensor], int] = getattr(Tensor, "_use_count", lambda tensor: 0)
"""Return the number of references to a tensor in C++, including the reference of the Python object."""
_WHOLE = 1 << 62
"""Largest number of elements that a copy keeps. A copy keeps all elements, because it may be added to another gradient."""

Position = tuple[str, int, int]
"""Position of a gradient in a pass.

- ``("edge", node, slot)``: computed by a node for one of its edges
- ``("output", node, output)``: received by a node at one of its outputs
- ``("given", root, 0)``: passed by the program for a root
"""


class Overwritten:
    """Copies of the gradients of one pass that were overwritten while it ran.

    The engine may pass the same tensor to several nodes. If a hook or a custom ``backward`` writes to the gradient that it
    receives, the gradients on other edges then change too.
    """

    def __init__(
        self,
        *,
        walk: Walk,
        template: Template,
        capture: GradientCapture,
        outputs: Sequence[Any],
        given: Sequence[Tensor | None],
        fresh: frozenset[int],
    ) -> None:
        self.sent: dict[tuple[int, int], Snapshot] = {}
        """Copies of gradients as nodes computed them, by node and slot."""
        self.used: dict[tuple[int, int], Snapshot] = {}
        """Copies of gradients as formulas used them, by node and output."""
        self._walk = walk
        self._capture = capture
        self._given = given
        self._outputs = outputs
        self.arrived: dict[Position, Snapshot] = {}
        """Copies of gradients as they arrived at the other end of their edges."""
        self._pending: set[Position] = set()
        """The overwritten gradients that have not arrived at the other end of their edges yet."""
        self._positions: dict[int, list[tuple[Position, Tensor]]] = {}
        """The gradients of the capture and the given ones, by the id of their tensor."""
        self._ran: set[int] = set()
        self._with_outputs: set[int] = set()
        self._indexed = 0
        self._targets = template.ends
        self._sources = template.sources
        leaves = zip(template.parameters, walk.leaves, strict=True)
        self._fresh = {node: leaf for parameter, (node, leaf) in leaves if parameter in fresh}
        self._suspects: list[tuple[Tensor, Callable[[], None]]] = []
        self._watched: list[tuple[Tensor, Tensor, Callable[[], None]]] = []
        """The gradients that NumPy may write to until the running node ends: each with a copy, and the report of a write."""
        for index, gradient in enumerate(given):
            if gradient is not None:
                self._add(("given", index, 0), gradient)

    # ------------------------------------------------------------------ before a write

    def protect(self, write: Write, *, elements: bool) -> None:
        """Copy the gradients that are about to be written to. Without ``elements``, copy only their traits."""
        self._index()
        copies: dict[int, Snapshot] = {}

        def copy(tensor: Tensor) -> Snapshot:
            made = copies.get(id(tensor))
            if made is None:
                made = copies[id(tensor)] = Snapshot(unwrapped(tensor), _WHOLE if elements else -1)
            return made

        node = self._node()
        for position, tensor in self._reached(write):
            kind, index, slot = position
            if kind == "output":
                self.used.setdefault((index, slot), copy(tensor))
                continue
            if kind == "edge":
                self.sent.setdefault((index, slot), copy(tensor))
            if position in self.arrived:
                continue
            target = self._target(position)
            if target is None or target[0] == node or target[0] in self._ran or self._is_summed(position, target):
                self._pending.discard(position)
                self.arrived[position] = copy(tensor)
            else:
                self._pending.add(position)
        for at, tensor in self._inputs(node):
            if write.reaches(tensor):
                self.used.setdefault((node, at), copy(tensor))

    def written(self, write: Write, report: Callable[[int, bool, int], None]) -> None:
        """Call ``report`` if the program is about to write to a gradient of the pass.

        ``report`` receives three arguments: the running node; true if a custom ``backward`` writes, false for a hook; and
        another node that still has to receive the changed gradient (-1 for none). A sum of gradients is recognized only after
        its node has run, so ``report`` may be called later.
        """
        node = self._node()
        if node < 0 or not write.targets:
            return
        self._index()
        formula = _formula_frame() is not None
        reached = self._reached(write)
        if reached or any(write.reaches(tensor) for _, tensor in self._inputs(node)):
            if self._updates(write):
                return
            report(node, formula, self._next_shared(node, reached))
        elif not formula and node not in self._ran:
            for target in write.targets:
                whole = target._base if target._is_view() and target._base is not None else target
                if not whole.requires_grad and _uses(whole) > 1:  # the engine references it: maybe a sum of gradients
                    self._suspects.append((whole, lambda: report(node, False, -1)))

    def shared(self, tensor: Tensor, report: Callable[[int, bool, int], None]) -> None:
        """Call ``report``, as :meth:`written` does, if NumPy writes to a gradient whose memory it is about to share."""
        before = tensor.clone()
        self.written(Write((tensor,)), lambda *facts: self._watched.append((tensor, before, lambda: report(*facts))))

    def _next_shared(self, node: int, reached: Sequence[tuple[Position, Tensor]]) -> int:
        """Return another node that still has to receive one of the gradients, or -1."""
        for position, _ in reached:
            end = self._target(position) if position[0] != "output" and position not in self.arrived else None
            if end is not None and end[0] != node and end[0] not in self._ran and not self._is_summed(position, end):
                return end[0]
        return -1

    def _updates(self, write: Write) -> bool:
        """Return whether a write changes a leaf of the pass or its ``.grad``, as an optimizer does."""
        leaves = [leaf for _, leaf in self._walk.leaves]
        storages = {storage_pointer(each) for each in (*leaves, *(leaf.grad for leaf in leaves)) if each is not None}
        return any(storage_pointer(target) in storages - {0} for target in write.targets)

    def _reached(self, write: Write) -> list[tuple[Position, Tensor]]:
        found = [each for target in write.targets for each in self._positions.get(id(target), ())]
        if write.shared:
            seen = {position for position, _ in found}
            for known in self._positions.values():
                if write.reaches(known[0][1]):
                    found += [each for each in known if each[0] not in seen]
        return found

    def _inputs(self, node: int) -> Iterator[tuple[int, Tensor]]:
        """Yield the gradients that the running formula has received and may still use, by output."""
        if node < 0 or node in self._ran:
            return
        leaf = self._fresh.get(node)
        if leaf is not None:
            if leaf.grad is not None:  # .grad may be the gradient itself
                yield 0, leaf.grad
        elif (frame := _formula_frame()) is not None:
            given = frame.f_locals.get("args", ())
            if len(given) == 1 and isinstance(given[0], list):
                given = given[0]
            yield from ((at, each) for at, each in enumerate(given) if isinstance(each, Tensor))

    # ------------------------------------------------------------------ while the pass runs

    def ran(self, node: int) -> None:
        """Called after the formula of a node has run, and again after the program's hooks on the node, if it has any."""
        for position in list(self._pending):
            target = self._target(position)
            if target is not None and (target[0] == node or self._is_summed(position, target)):
                self._pending.discard(position)
                self.arrived[position] = Snapshot(unwrapped(self._tensor(position)), _WHOLE)
        self._ran.add(node)
        if self._suspects:
            suspects, self._suspects = self._suspects, []
            arrived = {id(gradient) for gradient in self._capture.at_outputs[node] if gradient is not None}
            for tensor, report in suspects:
                if id(tensor) in arrived:
                    report()
        if self._watched:
            watched, self._watched = self._watched, []
            for tensor, before, report in watched:
                if not equal_elements(tensor, before):
                    report()

    def ended(self, result: Any) -> None:
        """Report suspected writes to gradients that ``autograd.grad`` returned. The nodes of its inputs have not run."""
        returned = {id(gradient) for gradient in result if gradient is not None} if isinstance(result, tuple) else set()
        for tensor, report in self._suspects:
            if id(tensor) in returned:
                report()

    # ------------------------------------------------------------------ lookup

    def _node(self) -> int:
        """Return the node of this pass that the engine is running; -1 if there is none."""
        if self._capture.resting:
            return -1
        node = _current_node()
        return -1 if node is None else self._walk.indexes.get(node, -1)

    def _index(self) -> None:
        """Index the gradients that were captured since the last call."""
        capture = self._capture
        for node in capture.order[self._indexed :]:
            for slot, gradient in enumerate(capture.on_edges[node]):
                if gradient is not None:
                    self._add(("edge", node, slot), gradient)
            self._index_outputs(node)
        self._indexed = len(capture.order)
        if capture.computed >= 0:
            self._index_outputs(capture.computed)

    def _index_outputs(self, node: int) -> None:
        self._ran.add(node)
        if node not in self._with_outputs:
            self._with_outputs.add(node)
            for output, gradient in enumerate(self._capture.at_outputs[node]):
                if gradient is not None:
                    self._add(("output", node, output), gradient)

    def _add(self, position: Position, tensor: Tensor) -> None:
        self._positions.setdefault(id(tensor), []).append((position, tensor))

    def _target(self, position: Position) -> tuple[int, int] | None:
        kind, index, slot = position
        if kind == "edge":
            return self._targets.get((index, slot))
        output = self._outputs[index] if index < len(self._outputs) else None
        node = self._walk.indexes.get(grad_node(output)) if isinstance(output, Tensor) else None
        return None if node is None or not isinstance(output, Tensor) else (node, output.output_nr)

    def _tensor(self, position: Position) -> Any:
        kind, index, slot = position
        return self._given[index] if kind == "given" else self._capture.on_edges[index][slot]

    def _is_summed(self, position: Position, target: tuple[int, int]) -> bool:
        """Return whether another gradient has arrived at the same output, so that the engine has added the two."""
        on_edges = self._capture.on_edges
        for source, slot in self._sources.get(target, ()):
            if position[1:] != (source, slot) or position[0] != "edge":
                gradients = on_edges[source]
                if slot < len(gradients) and gradients[slot] is not None:
                    return True
        return False


def _formula_frame() -> FrameType | None:
    """Return the frame that runs a custom ``backward`` in the engine's innermost call; ``None`` if there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code in _FORMULAS:
            return frame
        if frame.f_code.co_name == "_run_engine":
            return None
        frame = frame.f_back
    return None

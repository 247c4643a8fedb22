"""Capture the gradients of a pass with a post hook on each node."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

from torch import Tensor
from torch.autograd import Function

from ..tensors.handles import next_sequence_nr

_FUNCTION: Any = Function


class NodeListener(Protocol):
    """Gets a call for each node that has run. :class:`~.overwritten.Overwritten` implements it."""

    def ran(self, node: int) -> None:
        """Called after the formula of a node has run, and again after the program's hooks on the node, if it has any."""


class GradientCapture:
    """The gradients that our hooks have captured in one pass, by the indices of nodes.

    ``order`` is the order in which nodes ran. ``at_outputs`` are the gradients that nodes received. ``on_edges`` are the
    gradients that they computed. The hooks don't reference the nodes: a reference would keep the graph alive until a garbage
    collection.
    """

    def __init__(self, nodes: Sequence[Any]) -> None:
        self.order: list[int] = []
        self.on_edges: list[Sequence[Tensor | None]] = [()] * len(nodes)
        self.at_outputs: list[Sequence[Tensor | None]] = [()] * len(nodes)
        self.numbers: list[int] = []
        """With ``create_graph``, for each node in ``order``, the sequence number of the next node once it had run."""
        self.resting = False
        """True while a pass inside this one runs. It may run the same nodes, whose gradients then belong to that pass."""
        self.computed = -1
        """The node whose formula ran last, among the nodes on which the program has put a post hook; -1 for none."""
        self.overwritten: NodeListener | None = None
        """The gradients that the program has overwritten so far, if any."""
        self._nodes = nodes
        self._hooks: list[tuple[dict[Any, Any], Any]] = []

    def attach(self, *, numbered: bool) -> None:
        """Add a hook to each node. If that fails, remove the hooks and raise. With ``numbered``, record :attr:`numbers`."""
        order, on_edges, at_outputs, numbers, attached = self.order, self.on_edges, self.at_outputs, self.numbers, self._hooks
        reference = weakref.ref(self)  # weak, to avoid a cycle: the capture references the nodes, and they the hooks

        def fired(index: int, gradients: Sequence[Tensor | None], outputs: Sequence[Tensor | None]) -> None:
            capture = reference()
            if capture is None or capture.resting:
                return
            order.append(index)
            on_edges[index] = gradients
            at_outputs[index] = outputs
            if numbered:
                numbers.append(next_sequence_nr())
            if capture.overwritten is not None:
                capture.overwritten.ran(index)

        def computed(index: int, gradients: Sequence[Tensor | None], outputs: Sequence[Tensor | None]) -> None:
            capture = reference()
            if capture is not None and not capture.resting:
                at_outputs[index] = outputs
                capture.computed = index
                if capture.overwritten is not None:
                    capture.overwritten.ran(index)

        def precede(hooks: dict[Any, Any], index: int) -> None:
            """Add a hook before the program's own hooks on a node."""
            first = {computed: partial(computed, index), **hooks}
            hooks.clear()
            hooks.update(first)
            attached.append((hooks, computed))

        # Node.register_hook calls Function._register_hook, which makes a handle: without handles this takes a third of the time
        # Not the attribute but its code is replaced: Python would drop all that it has cached about Function and its subclasses
        register = _FUNCTION._register_hook
        code, defaults = register.__code__, register.__kwdefaults__
        register.__kwdefaults__ = {"key": self, "attached": attached, "precede": precede}
        register.__code__ = _add_hook.__code__
        try:
            for index, node in enumerate(self._nodes):
                node.register_hook(partial(fired, index))
        except BaseException:
            self.detach()
            raise
        finally:
            register.__code__ = code
            register.__kwdefaults__ = defaults

    def detach(self) -> None:
        """Remove the hooks."""
        for hooks, key in self._hooks:
            hooks.pop(key, None)
        self._hooks.clear()


def _add_hook(backward_hooks: Any, hook: Any, *, key: Any, attached: list[Any], precede: Any) -> tuple[Any, None]:
    """Add a hook to a node, after the program's own hooks.

    This code replaces that of ``Function._register_hook``, so it runs with the global variables of PyTorch's module.
    ``OrderedDict`` is the type that PyTorch uses, because the program may add hooks later.
    """
    if backward_hooks is None:
        backward_hooks = OrderedDict()
    elif backward_hooks:
        precede(backward_hooks, hook.args[0])
    backward_hooks[key] = hook
    attached.append((backward_hooks, key))
    return backward_hooks, None

"""See with a hook on each node what a pass computes, in the order in which the engine does."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor
from torch.autograd import Function

from ..tensors.handles import next_sequence_nr

_FUNCTION: Any = Function


class Capture:
    """What the hooks of one pass see, by the places of nodes.

    The hooks hold no node, which would keep the graph alive until a collection.
    """

    def __init__(self, nodes: Sequence[Any]) -> None:
        self.order: list[int] = []
        self.on_edges: list[Sequence[Tensor | None]] = [()] * len(nodes)
        self.at_outputs: list[Sequence[Tensor | None]] = [()] * len(nodes)
        self.numbers: list[int] = []
        """With ``create_graph``, the number of the next node when each had run."""
        self.resting = False
        """While a pass inside this one runs, which may go through the same nodes: what they then compute is not this one's."""
        self._nodes = nodes
        self._hooks: list[dict[Any, Any]] = []

    def attach(self, *, numbered: bool) -> None:
        """Put a post hook on each node, or on none if there is no room for all of them. ``numbered``: they make nodes."""
        order, on_edges, at_outputs, numbers, attached = self.order, self.on_edges, self.at_outputs, self.numbers, self._hooks
        itself = weakref.ref(self)  # it holds the nodes

        def fired(place: int, gradients: Sequence[Tensor | None], outputs: Sequence[Tensor | None]) -> None:
            capture = itself()
            if capture is None or capture.resting:
                return
            order.append(place)
            on_edges[place] = gradients
            at_outputs[place] = outputs
            if numbered:
                numbers.append(next_sequence_nr())

        def register(hooks: dict[Any, Any] | None, hook: Any) -> tuple[dict[Any, Any], None]:
            """Stand in for what keeps the hooks of a node: the program's own stay where they are, before ours."""
            if hooks is None:
                hooks = OrderedDict()  # as torch makes it: the program may add to it later
            hooks[self] = hook
            attached.append(hooks)
            return hooks, None

        # a node asks this class how to register a hook: without the handles that it makes, that takes a third of the time
        _FUNCTION._register_hook = register
        try:
            for place, node in enumerate(self._nodes):
                node.register_hook(partial(fired, place))
        except BaseException:
            self.detach()
            raise
        finally:
            del _FUNCTION._register_hook  # what it inherits comes to light again

    def detach(self) -> None:
        """Take the hooks off again."""
        for hooks in self._hooks:
            hooks.pop(self, None)
        self._hooks.clear()

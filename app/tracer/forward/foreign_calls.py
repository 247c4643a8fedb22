"""Store the calls of threads that are not recorded in the metadata of the nodes that they made.

Each thread numbers its nodes from zero. A call of another thread can therefore not be found by the number of its node. A node's
metadata is a dict that lives as long as the node. An entry must not refer to a tensor, or the node would never be freed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from ..tensors.handles import sequence_nr, tensors_in
from ..tensors.snapshot import grad_fn_of

_KEY = "tapedeck"
_AccumulateGrad: Any = torch._C._functions.AccumulateGrad  # type: ignore[attr-defined]


class ForeignCalls:
    """The calls of threads that are not recorded. An instance that never stored a call is false."""

    def __init__(self) -> None:
        self._any = False

    def __bool__(self) -> bool:
        return self._any

    def add(self, out: Any, first: int, last: int, call: Any) -> None:
        """Store a call on its nodes: those that lead to its result and have numbers from ``first`` to ``last`` (exclusive)."""
        self._keep(out, lambda number: call if first <= number < last else None)

    def add_all(self, results: Iterable[Any], call_of: Callable[[int], Any]) -> None:
        """Store the calls of all nodes that lead to these results. ``call_of`` returns the call of a node, given its number."""
        for out in results:
            self._keep(out, call_of)

    def _keep(self, out: Any, call_of: Callable[[int], Any]) -> None:
        self._any = True
        waiting = [grad_fn_of(each) for each in tensors_in(out) if isinstance(each, Tensor)]
        while waiting:
            node = waiting.pop()
            if node is None or type(node) is _AccumulateGrad or _KEY in node.metadata:
                continue
            call = call_of(sequence_nr(node))
            if call is not None:
                node.metadata[_KEY] = call
                waiting += [following for following, _ in node.next_functions]

    def name(self, value: Tensor, name: str) -> None:
        """Record the name of the variable that ``value`` is assigned to, if a stored call returned it."""
        node = grad_fn_of(value) if self._any and not (value._is_view() and value._version) else None
        call = self.of(node) if node is not None else None
        if call is not None and call.name is None and call.result == sequence_nr(node):
            call.name = name

    def of(self, node: Any) -> Any:
        """Return the stored call that made a node; ``None`` if the recorded thread made the node."""
        return node.metadata.get(_KEY) if self._any else None

"""Observe the passes of a program that is not recorded: all roots, and the leaves of some passes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
from torch import Tensor

from ... import wire
from ..backward.graph import grad_node, leaves_below
from ..emitter import Emitter
from ..tensors.kinds import PLAIN_TYPES, is_fake
from ..tensors.references import WeakTensor, weak
from ..tensors.table import TableBuilder
from ..tensors.transforms import Unobserved, inside_transform

_NO_CONTEXT: Final = contextlib.nullcontext()


class CountedPasses:
    """Counts the passes of a program, around the woven entry to autograd's engine.

    ``compared`` are the indices of the passes whose leaves are sent, with their gradients.
    """

    def __init__(self, compared: Iterable[int], new_table: Callable[[], TableBuilder], emitter: Emitter) -> None:
        self._compared = frozenset(compared)
        self._new_table = new_table
        self._emitter = emitter
        self.begun = 0
        """Number of passes that have begun."""
        self.roots: list[float] = []
        """The roots of the passes that were not sent yet; NaN for a root that is not a single real number."""
        self._index = -1
        self._leaves: list[WeakTensor] = []
        """The leaves that were sent last, and the index of their pass."""

    def around(self, outputs: Sequence[Any], args: Any, kwargs: Any) -> contextlib.AbstractContextManager[Any]:
        """Count a pass, and return the context in which the engine runs."""
        with Unobserved():
            roots = [] if any(map(is_fake, outputs)) else [_node(output) for output in outputs]
            if not any(root is not None for root in roots):
                return _NO_CONTEXT  # no graph, or a pass over fake tensors
            index, self.begun = self.begun, self.begun + 1
            self.roots.append(_number(next((output for output in outputs if isinstance(output, Tensor)), None)))
            if index not in self._compared:
                return _NO_CONTEXT
            leaves, table = leaves_below(roots), self._new_table()
            self._index, self._leaves = index, [weak(leaf) for leaf in leaves]
            return _ComparedPass(self, table, [table.add_copy(leaf) for leaf in leaves])

    def returned(self, value: Any) -> Any:
        """Return the value that the engine returns."""
        return value

    def send_gradients(self, table: TableBuilder, values: list[int]) -> None:
        """Send the leaves of the compared pass that has just run, with their gradients."""
        leaves = [leaf.get() for leaf in self._leaves]
        gradients = [-1 if leaf is None else table.add_copy(leaf.grad) for leaf in leaves]
        self._send(table, values=values, gradients=gradients)

    def send_leaves_after(self) -> None:
        """Send the values that the leaves have now. The rows of leaves that do not exist any more are -1."""
        table = self._new_table()
        self._send(table, after=[table.add_copy(leaf.get()) for leaf in self._leaves])

    def _send(self, table: TableBuilder, **rows: list[int]) -> None:
        index = self._index
        columns = {name: np.array(rows.get(name, ()), "<i4").tobytes() for name in ("values", "gradients", "after")}
        self._emitter.emit_with(table, lambda tensors: wire.CountedLeaves(index, **columns, tensors=tensors))


class _ComparedPass:
    """The context of a pass whose leaves are sent."""

    __slots__ = ("_passes", "_table", "_values")

    def __init__(self, passes: CountedPasses, table: TableBuilder, values: list[int]) -> None:
        self._passes = passes
        self._table = table
        self._values = values

    def __enter__(self) -> None:
        pass

    def __exit__(self, *failure: object) -> None:
        with Unobserved():
            self._passes.send_gradients(self._table, self._values)


def _node(output: Any) -> Any:
    return grad_node(output) if isinstance(output, Tensor) else output.node


def _number(root: Tensor | None) -> float:
    """Return the element of a root with one real element, else NaN."""
    if root is None or type(root) not in PLAIN_TYPES or root.numel() != 1 or root.is_complex() or inside_transform((root,)):
        return math.nan
    return float(root.item())

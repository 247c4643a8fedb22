"""Bound the size of an answer. The unit of size is a tensor of ordinary size, which is a few hundred bytes of JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from .. import model, wire

T = TypeVar("T")

ELEMENTS = 64
"""Elements, or characters of text, that count as one more tensor."""


class Room:
    """Room for a list in an answer. Once an item does not fit, no later item fits: an answer has the first items of a list."""

    def __init__(self, size: int) -> None:
        self._left = size

    def fits(self, size: int) -> bool:
        """Take the room for an item of this size. Return whether there was enough."""
        self._left = self._left - size if size <= self._left else -1
        return self._left >= 0


def first(items: Iterable[tuple[T, int]], room: int) -> Iterator[T]:
    """Yield the first items that fit. ``items`` has pairs of an item and its size."""
    left = Room(room)
    for item, size in items:
        if not left.fits(size):
            return
        yield item


def size(*tensors: model.TensorSummary | None, text: str = "") -> int:
    """Return the size of tensors and a text.

    >>> from msgspec import structs
    >>> tensor = model.TensorSummary([10, 64], "float32")
    >>> size(tensor, None), size(structs.replace(tensor, values=[[0.0] * 64] * 10)), size(text="x" * 100)
    (2, 11, 2)
    """
    elements = sum(math.prod(tensor.shape) for tensor in tensors if tensor is not None and tensor.values is not None)
    return 1 + len(tensors) // 2 + (elements + len(text)) // ELEMENTS


def pass_size(event: wire.PassEvent) -> int:
    """Return the size of a pass with all its numbers, in nodes."""
    nodes, references = len(event.value) // 4, len(event.value) + len(event.arrived) + len(event.used) + len(event.edge)
    return max(nodes, references // 16) + len(event.tensors.values) // (8 * ELEMENTS)


def chosen_passes(passes: Sequence[int], main: int, count: int) -> list[int]:
    """Return the first ``count`` passes of a step in order, among them the main pass.

    >>> chosen_passes([4, 5, 6, 7], 6, 2), chosen_passes([4, 5], 5, 2)
    ([4, 6], [4, 5])
    """
    found = list(passes[:count])
    if main in passes and main not in found:
        found[-1] = main
    return found

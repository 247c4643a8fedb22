"""Refer to tensors weakly, in a way that can be undone while the program swaps them.

``torch.utils.swap_tensors`` refuses a tensor that has a weak reference. Every weak reference of the recorder to a tensor is
therefore owned by a :class:`WeakTensor`, which can drop it and create it again.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor


class _Reference(weakref.ref):  # type: ignore[type-arg]
    """A weak reference with a reference to its :class:`WeakTensor`."""

    __slots__ = ("holder",)
    holder: weakref.ref[WeakTensor]


def _nothing() -> None:
    return None


class WeakTensor:
    """Refers to a tensor weakly. ``get`` returns the tensor, or ``None`` once it is dead; ``on_death`` is called then."""

    __slots__ = ("__weakref__", "get", "on_death")

    def __init__(self, tensor: Any, on_death: Callable[[Any], object] | None = None) -> None:
        self.on_death = on_death
        self.refer(tensor)

    def refer(self, tensor: Any) -> None:
        """Refer to a tensor."""
        reference = _Reference(tensor, self.on_death)
        reference.holder = weakref.ref(self)
        self.get: Callable[[], Any] = reference

    def release(self) -> None:
        """Drop the reference; ``get`` then returns ``None``."""
        self.get = _nothing


def weak(value: Any) -> WeakTensor:
    """Return a weak reference to a tensor or a module. All references to one tensor share one object."""
    for reference in weakref.getweakrefs(value):
        if type(reference) is _Reference:
            holder = reference.holder()
            if holder is not None and holder.on_death is None:
                return holder
    return WeakTensor(value)


@contextmanager
def without_references(*tensors: Tensor) -> Iterator[None]:
    """Drop the recorder's weak references to these tensors inside the ``with`` block."""
    held = [
        (holder, tensor)
        for tensor in tensors
        for reference in weakref.getweakrefs(tensor)
        if type(reference) is _Reference and (holder := reference.holder()) is not None
    ]
    for holder, _ in held:
        holder.release()
    try:
        yield
    finally:
        for holder, tensor in held:
            holder.refer(tensor)

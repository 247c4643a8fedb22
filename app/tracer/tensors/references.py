"""Refer to tensors weakly, without the program noticing when it swaps them.

``torch.utils.swap_tensors`` refuses a tensor that has a weak reference. Every weak reference of the recorder to a tensor is
therefore a :class:`WeakTensor`, which :func:`hidden_references` hides from that function.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar


class WeakTensor(weakref.ref):  # type: ignore[type-arg]
    """A weak reference of the recorder. References are equal only if they are the same object."""

    __slots__ = ()
    get: ClassVar[Callable[[WeakTensor], Any]] = weakref.ref.__call__
    """Return the tensor, or ``None`` once it has been freed."""
    __eq__ = object.__eq__
    __hash__ = object.__hash__


def weak(value: Any) -> WeakTensor:
    """Return a weak reference to a tensor or a module. All references to one tensor share one object."""
    references: list[Any] = _all_references(value)
    for reference in references:
        if reference.__callback__ is None and type(reference) is WeakTensor:
            return reference
    return WeakTensor(value)


_all_references = weakref.getweakrefs


def _references_of_others(value: Any, /) -> list[Any]:
    return [reference for reference in _all_references(value) if type(reference) is not WeakTensor]


@contextmanager
def hide_own_references() -> Iterator[None]:
    """Hide the recorder's references from a program that lists or counts those of an object, inside the ``with`` block."""
    count, listed = weakref.getweakrefcount, weakref.getweakrefs
    weakref.getweakrefs = _references_of_others
    weakref.getweakrefcount = lambda value, /: len(_references_of_others(value))
    try:
        yield
    finally:
        weakref.getweakrefcount, weakref.getweakrefs = count, listed


class _OthersOnly:
    """The module :mod:`weakref` without the references of the recorder."""

    def __getattr__(self, name: str) -> Any:
        return getattr(weakref, name)

    @staticmethod
    def getweakrefs(value: Any) -> list[Any]:
        return _references_of_others(value)


@contextmanager
def hidden_references(function: Any) -> Iterator[None]:
    """Hide the recorder's references from a function of PyTorch that lists weak references, inside the ``with`` block.

    The references stay valid: a swap exchanges the contents of two tensors, and each remains the same object.
    """
    scope = function.__globals__
    original = scope["weakref"]
    scope["weakref"] = _OthersOnly()
    try:
        yield
    finally:
        scope["weakref"] = original

"""Detect views whose node is out of date.

A view of memory that was written to gets a new node when its ``grad_fn`` is read next. The line that reads it first makes that
node, so the recorder must not read ``grad_fn`` before the program does.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor

from .references import WeakTensor, weak

_MAX_VIEWS: Final = 10_000
"""Number of registered views above which the register is cleared. The node of an unregistered view counts as up to date."""
known: dict[int, tuple[WeakTensor, int]] = {}
"""The registered views by id, each with its version when its node was made. Another tensor may get the id later."""


def remember(view: Tensor) -> None:
    """Register a view whose node has just been made."""
    if len(known) > _MAX_VIEWS:
        known.clear()
    known[id(view)] = weak(view), view._version


def is_outdated(tensor: Tensor) -> bool:
    """Return whether a tensor is a view that was written to, in any way, since its node was made."""
    registered = known.get(id(tensor))
    if registered is None:
        return False
    return registered[0].get() is tensor and tensor.requires_grad and tensor._is_view() and tensor._version != registered[1]

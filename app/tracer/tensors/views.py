"""Detect views whose node is out of date.

A view of memory that was written to gets a new node when its ``grad_fn`` is read next. The line that reads it first makes that
node, so the recorder must not read ``grad_fn`` before the program does.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor

from .references import WeakTensor, weak

MOST: Final = 100_000
"""Largest number of living views. Beyond it, the register is cleared: the node of an unregistered view counts as up to date."""
_SWEEP: Final = 500
"""Number of views that are registered before the register is searched for freed views."""
known: dict[int, tuple[WeakTensor, int]] = {}
"""The registered views by id, each with its version when its node was made. Another tensor may get the id later."""

_sweep_at = _SWEEP


def remember(view: Tensor) -> None:
    """Register a view whose node has just been made."""
    if len(known) >= _sweep_at:
        _remove_freed()
    known[id(view)] = weak(view), view._version


def _remove_freed() -> None:
    """Remove the freed views. A loop makes new views in each turn, and their ids are used again."""
    global _sweep_at
    for key, (reference, _) in list(known.items()):
        if reference.get() is None:
            del known[key]
    if len(known) > MOST:
        known.clear()
    _sweep_at = 2 * len(known) + _SWEEP


def is_outdated(tensor: Tensor) -> bool:
    """Return whether a tensor is a view that was written to, in any way, since its node was made."""
    registered = known.get(id(tensor))
    if registered is None:
        return False
    return registered[0].get() is tensor and tensor.requires_grad and tensor._is_view() and tensor._version != registered[1]

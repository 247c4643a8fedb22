"""Count the program's changes to tensors, and record whether it has put a hook on a tensor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ProgramChanges:
    """State that :mod:`updates` and :mod:`write_guard` record, and that passes read."""

    count: int = 0
    """The number of times that the program has written to a tensor or set a ``.grad``."""
    hooked: bool = False
    """True once the program may have put a hook on a tensor. A hook may change a gradient between its arrival and its use."""

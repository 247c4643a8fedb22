"""Tell views whose node is out of date: reading ``grad_fn`` would make it anew, which only the program should do.

A view of memory that was written to gets another node when its ``grad_fn`` is read next. The line that reads it first makes
that node. So the recorder must not read it before the program does.
"""

from __future__ import annotations

from torch import Tensor

_MOST = 10_000
"""The number of views above which all are forgotten. The node of an unknown view counts as up to date."""
_versions: dict[int, int] = {}
"""By the id of a view: its version when its node was made."""


def remember(view: Tensor) -> None:
    """Remember a view whose node has just been made."""
    if len(_versions) > _MOST:
        _versions.clear()
    _versions[id(view)] = view._version


def is_outdated(tensor: Tensor) -> bool:
    """Return whether a tensor is a view that was written to, in any way, since its node was made."""
    known = _versions.get(id(tensor))
    return known is not None and tensor.requires_grad and tensor._is_view() and tensor._version != known

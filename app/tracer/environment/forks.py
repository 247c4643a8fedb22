"""Let a forked child continue as if it had never been recorded."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

_leaving: list[Callable[[], None]] = []


@contextlib.contextmanager
def call_in_forked_children(leave: Callable[[], None]) -> Iterator[None]:
    """Call ``leave`` in each child that the process forks inside the ``with`` block, before the child continues."""
    _leaving.append(leave)
    try:
        yield
    finally:
        if leave in _leaving:
            _leaving.remove(leave)


def _leave_all() -> None:
    while _leaving:
        with contextlib.suppress(Exception):  # Python would print the exception
            _leaving.pop()()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_all)  # once for the process, because a function cannot be unregistered

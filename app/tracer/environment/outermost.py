"""Run a program in a stack of its own, so that its module is the outermost frame, as it is for ``python FILE``.

The program runs in a greenlet: on the same thread, but in a stack of frames that begins with the program. Without it, a program
that follows ``f_back`` or calls ``sys._getframe`` would reach the frames of the recorder. The limit of recursion counts those
frames too. The limit is therefore raised by their number, and the functions that read and set it hide the difference. The depth
that a program reaches may still differ by a call or two.
"""

from __future__ import annotations

import contextvars
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any, Final

from greenlet import greenlet

_ROOM: Final = 60
"""Room for the calls of a probe, which measures how deep the program can nest calls."""
_ALONE: Final = 2
"""The limit of recursion minus the depth that :data:`_PROBE` reaches without the recorder."""
_OWN_CALLS: Final = 3
"""Number of nested calls that the recorder makes at a statement. Without room for them, the statement would raise."""
_PROBE: Final = """\
def deeper(depth):
    try:
        return deeper(depth + 1)
    except RecursionError:
        return depth
depth = deeper(0)
"""


def run_outermost(code: CodeType, namespace: dict[str, Any]) -> None:
    """Run the code of a module like ``exec``, in a stack of its own. Exceptions pass on to the caller.

    The caller then sees the context variables that the code has set.
    """
    limit, probed = sys.getrecursionlimit(), dict[str, Any]()
    low = min(limit, 2 * _frames_outside() + _ROOM)  # calls of C functions count too, at most one for each frame
    collects = gc.isenabled()
    gc.disable()  # a finalizer raises if the limit allows no further call, and Python prints the exception
    sys.setrecursionlimit(low)
    try:
        _run(compile(_PROBE, "<depth>", "exec"), probed)  # called here directly, since every call counts
    except RecursionError:  # the program has set a low limit, which is nearly reached here
        probed["depth"] = low
    finally:
        sys.setrecursionlimit(limit)
        if collects:
            gc.enable()
    with _limit_raised(max(0, low - _ALONE - probed["depth"]) + _OWN_CALLS):
        _run(code, namespace)


def _run(code: CodeType, namespace: dict[str, Any]) -> None:
    inside = greenlet(exec)
    context = inside.gr_context = contextvars.copy_context()
    try:
        inside.switch(code, namespace)
    finally:
        outside = contextvars.copy_context()
        for variable, value in context.items():
            if variable not in outside or outside[variable] is not value:
                variable.set(value)


@contextmanager
def _limit_raised(number: int) -> Iterator[None]:
    """Raise the limit of recursion by the number of calls outside of the program, and hide the change from the program."""
    read, write = sys.getrecursionlimit, sys.setrecursionlimit

    def getrecursionlimit() -> int:
        return read() - number

    def setrecursionlimit(limit: int, /) -> None:
        write(limit + number if type(limit) is int and limit > 0 else limit)

    write(read() + number)
    sys.getrecursionlimit, sys.setrecursionlimit = getrecursionlimit, setrecursionlimit
    try:
        yield
    finally:
        sys.getrecursionlimit, sys.setrecursionlimit = read, write
        write(max(read() - number, 1))


def _frames_outside() -> int:
    count, frame = 0, sys._getframe()
    while frame.f_back is not None:
        count, frame = count + 1, frame.f_back
    return count

"""Read the program's variables, in its running functions and in its namespace."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from inspect import CO_NEWLOCALS, CO_OPTIMIZED
from types import FrameType
from typing import Any, Final

from .instrument import ProgramSource

_OWN_USES: Final = 3
"""Number of references to a frame's dict of variables that are not the program's: the frame's, ours and ``getrefcount``'s."""
_SHARES_VARIABLES: Final = sys.version_info < (3, 13)
"""True if every read of a function's variables updates and returns the same dict."""
_READERS: Final = ("locals", "vars", "exec", "f_locals")
"""A function that uses one of these names may get the dict of its variables, and may keep the dict."""


class Scopes:
    """The variables that the program can use at its current line."""

    def __init__(self, source: ProgramSource, namespace: Mapping[str, Any]) -> None:
        self._source = source
        self._namespace = namespace

    def of(self, name: str) -> tuple[Mapping[str, Any], bool]:
        """Return the scope in which the current statement binds a name, and whether the name is an argument's."""
        frame = next(self._frames(), None)
        if frame is None or not _is_function(frame):
            return self._namespace, False
        code = frame.f_code
        if name not in (*code.co_varnames, *code.co_cellvars, *code.co_freevars):
            return self._namespace, False
        return _variables(frame), name in _arguments(frame)

    def replaced(self, name: str) -> Any:
        """Return the value of a variable that the current statement rebinds; ``None`` in a function."""
        frame = next(self._frames(), None)
        in_function = frame is not None and frame.f_code.co_flags & CO_NEWLOCALS
        return None if in_function else self._namespace.get(name)

    def local(self) -> list[Mapping[str, Any]]:
        """Return the local variables of the running functions, innermost first."""
        return [_variables(frame) for frame in self._frames() if frame.f_code.co_flags & CO_NEWLOCALS]

    def values(self) -> Iterator[tuple[Any, bool]]:
        """Yield the value of each variable, and whether its name is transient: the name of an argument or a loop variable."""
        transient = self._source.loop_variables
        for name, value in list(self._namespace.items()):
            if not name.startswith("__"):
                yield value, name in transient
        for frame in self._frames():
            if frame.f_code.co_flags & CO_NEWLOCALS:
                arguments = _arguments(frame)
                for name, value in _variables(frame).items():
                    yield value, name in transient or name in arguments

    def _frames(self) -> Iterator[FrameType]:
        """Yield the program's own frames, innermost first."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename == self._source.filename:
                yield frame
            frame = frame.f_back


def _is_function(frame: FrameType) -> bool:
    return bool(frame.f_code.co_flags & CO_NEWLOCALS and frame.f_code.co_flags & CO_OPTIMIZED)


def _variables(frame: FrameType) -> Mapping[str, Any]:
    """Return the variables of a frame. The variables of a function are copied.

    Before Python 3.13, a function's frame keeps the dict that this read fills, and the dict keeps the values alive. The dict is
    therefore emptied. If the function may itself use this dict, as with ``locals()``, it would notice the read. The variables
    are then not read, and the result is empty.
    """
    if _SHARES_VARIABLES and _is_function(frame) and not set(_READERS).isdisjoint(frame.f_code.co_names):
        return {}
    found = frame.f_locals
    if type(found) is not dict or not _is_function(frame):
        return found
    copied = dict(found)
    if sys.getrefcount(found) <= _OWN_USES:
        found.clear()
    return copied


def _arguments(frame: FrameType) -> tuple[str, ...]:
    code = frame.f_code
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

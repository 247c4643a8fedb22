"""Read the program's variables, in its running functions and in its namespace."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from inspect import CO_NEWLOCALS
from types import FrameType
from typing import Any

from .instrument import ProgramSource


class Scopes:
    """The variables that the program can use at its current line."""

    def __init__(self, source: ProgramSource, namespace: Mapping[str, Any]) -> None:
        self._source = source
        self._namespace = namespace

    def of(self, name: str) -> tuple[Mapping[str, Any], bool]:
        """Return the variables in which the current statement binds a name, and whether it is an argument's name."""
        frame = next(self._frames(), None)
        if frame is None or frame.f_locals is self._namespace:
            return self._namespace, False
        code = frame.f_code
        if name not in (*code.co_varnames, *code.co_cellvars, *code.co_freevars):
            return self._namespace, False
        return frame.f_locals, name in _arguments(frame)

    def replaced(self, name: str) -> Any:
        """Return the value of a variable that the current statement rebinds; ``None`` in a function.

        Looking at the variables of a function would keep their values alive.
        """
        frame = next(self._frames(), None)
        in_function = frame is not None and frame.f_code.co_flags & CO_NEWLOCALS
        return None if in_function else self._namespace.get(name)

    def refresh(self) -> None:
        """Forget deleted variables: a function's frame keeps the values that were looked at."""
        frame = next(self._frames(), None)
        if frame is not None and frame.f_code.co_flags & CO_NEWLOCALS:
            frame.f_locals  # noqa: B018

    def local(self) -> list[dict[str, Any]]:
        """Return the local variables of the running functions, innermost first."""
        return [frame.f_locals for frame in self._frames() if frame.f_locals is not self._namespace]

    def values(self) -> Iterator[tuple[Any, bool]]:
        """Yield the value of each variable, and whether that name is transient: an argument's or a loop variable's."""
        transient = self._source.loop_variables
        for name, value in list(self._namespace.items()):
            if not name.startswith("__"):
                yield value, name in transient
        for frame in self._frames():
            if frame.f_locals is not self._namespace:
                arguments = _arguments(frame)
                for name, value in list(frame.f_locals.items()):
                    yield value, name in transient or name in arguments

    def _frames(self) -> Iterator[FrameType]:
        """Yield the program's own frames, innermost first."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename == self._source.filename:
                yield frame
            frame = frame.f_back


def _arguments(frame: FrameType) -> tuple[str, ...]:
    code = frame.f_code
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

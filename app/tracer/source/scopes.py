"""Look at the program's variables, in the functions of it that run and in its namespace."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

from .instrument import ProgramSource


class Scopes:
    """The variables of a program where it stands."""

    def __init__(self, source: ProgramSource, namespace: Mapping[str, Any]) -> None:
        self._source = source
        self._namespace = namespace

    def of(self, name: str) -> tuple[Mapping[str, Any], bool]:
        """The variables among which the statement that runs binds a name, and whether it is an argument's."""
        frame = next(self._frames(), None)
        if frame is None or frame.f_locals is self._namespace:
            return self._namespace, False
        code = frame.f_code
        if name not in (*code.co_varnames, *code.co_cellvars, *code.co_freevars):
            return self._namespace, False
        return frame.f_locals, name in _arguments(frame)

    def local(self) -> list[dict[str, Any]]:
        """The local variables, innermost first."""
        return [frame.f_locals for frame in self._frames() if frame.f_locals is not self._namespace]

    def values(self) -> Iterator[tuple[Any, bool]]:
        """What all variables hold, each with whether it is but a passing name for that: an argument, or a loop's variable."""
        passing = self._source.loop_variables
        for name, value in list(self._namespace.items()):
            if not name.startswith("__"):
                yield value, name in passing
        for frame in self._frames():
            if frame.f_locals is not self._namespace:
                arguments = _arguments(frame)
                for name, value in list(frame.f_locals.items()):
                    yield value, name in passing or name in arguments

    def _frames(self) -> Iterator[FrameType]:
        """The program's own frames, from the inside out."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename == self._source.filename:
                yield frame
            frame = frame.f_back


def _arguments(frame: FrameType) -> tuple[str, ...]:
    code = frame.f_code
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

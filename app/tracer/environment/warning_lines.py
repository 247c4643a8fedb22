"""Show warnings at the same lines as without the recorder."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from .. import FOLDER
from ..source.tracebacks import frames_alone

_ABOVE_ALL = ("sys", 1) if sys.version_info < (3, 12) else ("<sys>", 0)
"""The file and line that Python reports for a warning whose ``stacklevel`` is larger than the stack."""


@contextmanager
def show_warnings_at_program_lines() -> Iterator[None]:
    """If a warning names a line of the recorder, show it at the line outside the recorder that made the call.

    The warning is issued again at that line, where the filters of the program apply.
    """
    shown: Any = warnings
    original = shown._showwarnmsg

    def show(message: Any) -> None:
        moved = _moved(message, sys._getframe(1))
        if moved is None:
            original(message)
            return
        for loaded in [loaded for loaded in sys.modules.values() if getattr(loaded, "__file__", None) == message.filename]:
            loaded.__dict__.pop("__warningregistry__", None)  # otherwise the next warning would count as a repetition
        shown.onceregistry.pop((str(message.message), message.category), None)
        filename, line, scope = moved
        registry = scope.setdefault("__warningregistry__", {})
        module = scope.get("__name__") or "<string>"
        warnings.warn_explicit(message.message, message.category, filename, line, module, registry, source=message.source)

    shown._showwarnmsg = show
    try:
        yield
    finally:
        shown._showwarnmsg = original


def _moved(message: Any, innermost: FrameType) -> tuple[str, int, dict[str, Any]] | None:
    """Return the file, line and variables to show a warning at, ``None`` to leave the warning at its own line."""
    named: FrameType | None = innermost
    while named is not None and (named.f_code.co_filename != message.filename or named.f_lineno != message.lineno):
        named = named.f_back
    if named is None:
        return None
    alone = frames_alone(innermost)
    if named in alone:
        return None
    outer = frames_alone(named) if message.filename.startswith(FOLDER) else []
    if outer:
        return outer[0].f_code.co_filename, outer[0].f_lineno, outer[0].f_globals
    if any(frame.f_code.co_filename == message.filename and frame.f_lineno == message.lineno for frame in alone):
        return None
    return *_ABOVE_ALL, vars(sys)

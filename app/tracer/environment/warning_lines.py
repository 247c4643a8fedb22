"""Show warnings that the recorder causes at the program's own lines."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .. import FOLDER
from ..source.tracebacks import program_frames


@contextmanager
def show_warnings_at_program_lines(filename: str, module: dict[str, Any]) -> Iterator[None]:
    """Show warnings that name a line of the recorder at the program's line instead, in the file and module given.

    Such a warning is issued again at the program's line, where the program's own filters apply.
    """
    shown: Any = warnings
    original = shown._showwarnmsg

    def show(message: Any) -> None:
        location = next(program_frames(sys._getframe(1), filename), None) if message.filename.startswith(FOLDER) else None
        if location is None:
            original(message)
            return
        for loaded in [loaded for loaded in sys.modules.values() if getattr(loaded, "__file__", None) == message.filename]:
            loaded.__dict__.pop("__warningregistry__", None)  # otherwise the next warning would count as a repetition
        shown.onceregistry.pop((str(message.message), message.category), None)
        line = list(location[0].co_positions())[location[1] // 2][0] or 1
        registry = module.setdefault("__warningregistry__", {})
        warnings.warn_explicit(message.message, message.category, filename, line, module["__name__"], registry)

    shown._showwarnmsg = show
    try:
        yield
    finally:
        shown._showwarnmsg = original

"""Read the message of an exception in a form that can be sent."""

from __future__ import annotations

import sys
import traceback
from threading import get_ident
from typing import Any


def exception_text(error: BaseException) -> str:
    """Return the message of an exception as text that can be sent, even if its ``str()`` fails."""
    try:
        if isinstance(error, SystemExit) and isinstance(error.code, int):
            return f"The program ended itself with exit status {error.code}."
        return encodable(str(error))
    except Exception:
        return f"<exception str() failed: {type(error).__name__}>"


def encodable(text: str) -> str:
    """Return text with lone surrogates replaced, since UTF-8 cannot encode them."""
    return text.encode("utf-8", "replace").decode()


def with_suggestion(text: str, error: BaseException) -> str:
    """Add the name that Python suggests in place of a misspelled name to a formatted traceback.

    Before Python 3.12 only Python's own hook computes the suggestion, and :mod:`traceback` leaves it out.
    """
    if sys.version_info >= (3, 12) or not isinstance(error, NameError | AttributeError):
        return text
    last = "".join(traceback.format_exception_only(error)).partition("\n")[0]
    printed = _Captured(sys.stderr)
    sys.stderr = printed
    try:
        sys.__excepthook__(type(error), error, error.__traceback__)
    finally:
        sys.stderr = printed.original
    _, found, rest = "".join(printed.texts).rpartition(f"\n{last}. Did you mean: ")
    if not found:
        return text
    start, same, end = text.rpartition(last)
    return f"{start}{last}. Did you mean: {rest.partition(chr(10))[0]}{end}" if same else text


class _Captured:
    """A stream that keeps the texts of this thread, and passes on the texts of other threads."""

    def __init__(self, original: Any) -> None:
        self.original = original
        self.texts: list[str] = []
        self._thread = get_ident()

    def write(self, text: str) -> int:
        """Keep a text, or pass it on."""
        if get_ident() != self._thread:
            return int(self.original.write(text))
        self.texts.append(text)
        return len(text)

    def flush(self) -> None:
        """Do nothing: the texts are in memory."""

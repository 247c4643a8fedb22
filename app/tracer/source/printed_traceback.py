"""Format the traceback of an exception as Python prints it at the end of a program."""

from __future__ import annotations

import linecache
import sys
import traceback
import unicodedata
from threading import get_ident
from traceback import FrameSummary, StackSummary, TracebackException
from typing import Any

from .exceptions import encodable
from .instrument import PROGRAM

_ENTRIES = 1_000
"""How many entries of a traceback Python prints, unless the program sets ``sys.tracebacklimit``."""
SYNTAX_ERRORS = (SyntaxError, IndentationError, TabError)
"""Python's own classes of syntax errors."""
_BY_C = sys.version_info < (3, 13)
"""Whether Python prints tracebacks with a function in C, whose text differs from that of :mod:`traceback`."""


def printed_traceback(error: BaseException, length: int) -> str:
    """Return the traceback of an exception with its causes. A text of more than ``length`` characters loses its middle."""
    formatted = TracebackException.from_exception(error, limit=-_limit(), compact=True)
    if _BY_C:
        _format_as_c(formatted)
    text = encodable(_with_last_lines(_with_suggestion("".join(formatted.format()), error), error))
    if len(text) <= length:
        return text
    start = length // 4
    return f"{text[:start]}…{text[start + 1 - length :]}"


def printed_syntax_error(error: SyntaxError) -> str:
    """Return the text that Python prints for a syntax error, without the traceback and the causes."""
    alone = type(error)(error.msg, (error.filename, error.lineno, error.offset, error.text, error.end_lineno, error.end_offset))
    for note in getattr(error, "__notes__", ()):
        alone.add_note(note)
    return _printed_by_hook(alone)


def _with_last_lines(text: str, error: BaseException) -> str:
    """Replace the text of a syntax error at the end of a traceback: :mod:`traceback` chooses other columns than Python."""
    if not (_BY_C and isinstance(error, SyntaxError) and type(error) in SYNTAX_ERRORS):
        return text
    return text.removesuffix("".join(traceback.format_exception_only(error))) + printed_syntax_error(error)


def _with_suggestion(text: str, error: BaseException) -> str:
    """Add Python's suggestion for a misspelled name to a formatted traceback.

    Before Python 3.12 only Python's own hook computes the suggestion, and :mod:`traceback` leaves it out.
    """
    if sys.version_info >= (3, 12) or not isinstance(error, NameError | AttributeError):
        return text
    last = "".join(traceback.format_exception_only(error)).partition("\n")[0]
    _, found, rest = _printed_by_hook(error).rpartition(f"\n{last}. Did you mean: ")
    if not found:
        return text
    start, same, end = text.rpartition(last)
    return f"{start}{last}. Did you mean: {rest.partition(chr(10))[0]}{end}" if same else text


def _printed_by_hook(error: BaseException) -> str:
    printed = _Captured(sys.stderr)
    sys.stderr = printed
    try:
        sys.__excepthook__(type(error), error, error.__traceback__)
    finally:
        sys.stderr = printed.original
    return "".join(printed.texts)


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


def _limit() -> int:
    limit = getattr(sys, "tracebacklimit", None)
    return max(limit, 0) if isinstance(limit, int) else _ENTRIES


def _format_as_c(formatted: TracebackException) -> None:
    """Replace the stacks of an exception and of its causes, contexts and parts."""
    waiting: list[TracebackException | None] = [formatted]
    while waiting:
        each = waiting.pop()
        if each is not None:
            each.stack = _PrintedStack(each.stack)
            waiting += [each.__cause__, each.__context__, *(each.exceptions or ())]


class _PrintedStack(StackSummary):
    """Entries of a traceback with their lines and carets as Python's function in C prints them.

    Unlike :mod:`traceback`, it keeps spaces at the end of a line. In a line with such spaces, it also marks an expression that
    fills the rest. It counts characters of more than one byte correctly. For a file with a name in angle brackets, it prints no
    line, except for the program itself.
    """

    def format_frame_summary(self, frame_summary: FrameSummary) -> str:
        """Return the text of one entry."""
        frame = frame_summary
        bracketed = frame.filename.startswith("<") and frame.filename.endswith(">") and frame.filename != PROGRAM
        original = "" if bracketed or frame.lineno is None else linecache.getline(frame.filename, frame.lineno).rstrip("\n")
        line = original.rstrip()
        columns = [
            None if column is None else len(_ascii(_characters(line, column))) for column in (frame.colno, frame.end_colno)
        ]
        rows = super().format_frame_summary(
            FrameSummary(
                frame.filename,
                frame.lineno,
                frame.name,
                lookup_line=False,
                line=f"{_ascii(line)}\n" if line else "",
                end_lineno=frame.end_lineno,
                colno=columns[0],
                end_colno=columns[1],
            )
        )
        if not line:
            return rows
        head, _, *carets = rows.splitlines(keepends=True)
        start, end = columns
        if not carets and original != line and start is not None and end is not None:
            stop = end if frame.end_lineno == frame.lineno else len(_ascii(line))
            carets = [f"    {' ' * (start - len(line) + len(line.lstrip()))}{'^' * (stop - start)}\n"]
        return "".join([head, f"    {original.lstrip()}\n", *carets])


def _characters(line: str, count: int) -> str:
    """Return the first ``count`` bytes of a line as text."""
    return line.encode()[:count].decode(errors="ignore")


def _ascii(text: str) -> str:
    """Return a text of the same width in ASCII: a character that is two columns wide becomes two letters."""
    if text.isascii():
        return text
    return "".join(each if each.isascii() else "xx" if unicodedata.east_asian_width(each) in "FW" else "x" for each in text)

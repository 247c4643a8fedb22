"""Find the program's locations in frames and tracebacks, and remove the recorder's frames from tracebacks."""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType, FrameType, TracebackType

from .. import FOLDER

Location = tuple[CodeType, int]
"""A code object and the offset of an instruction in it."""
_DISPATCH_FILE = "torch/overrides.py"
"""The file whose frames pass a call on to a mode, which then calls the function again."""


def program_frames(frame: FrameType | None, filename: str) -> Iterator[Location]:
    """Yield the locations of the program's own frames, innermost first."""
    while frame is not None:
        code = frame.f_code
        if code.co_filename == filename:
            yield code, frame.f_lasti
        frame = frame.f_back


def raised_at(error: BaseException, filename: str) -> Location | None:
    """Return the program's innermost location in an exception's traceback."""
    locations = [(trace.tb_frame.f_code, trace.tb_lasti) for trace in traceback_entries(error.__traceback__)]
    return next((location for location in reversed(locations) if location[0].co_filename == filename), None)


def leave_out(error: BaseException) -> None:
    """Remove the recorder's frames from the tracebacks of an exception and of its causes and contexts."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.__traceback__ = _without_us(each.__traceback__)
        waiting += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions


def _without_us(first: TracebackType | None) -> TracebackType | None:
    entries = traceback_entries(first)
    files = [entry.tb_frame.f_code.co_filename for entry in entries]
    ours = [file.startswith(FOLDER) for file in files]
    for index, file in enumerate(files[:-1]):
        if ours[index + 1] and file.endswith(_DISPATCH_FILE):
            ours[index] = True
            if index:  # the frame that passed the call on appears a second time, further in
                ours[index - 1] = True
    kept = [entry for entry, left_out in zip(entries, ours, strict=True) if not left_out]
    for entry, following in zip(kept, [*kept[1:], None], strict=True):
        entry.tb_next = following
    return kept[0] if kept else first


def traceback_entries(trace: TracebackType | None) -> list[TracebackType]:
    """Return the entries of a traceback, outermost first."""
    entries = []
    while trace is not None:
        entries.append(trace)
        trace = trace.tb_next
    return entries

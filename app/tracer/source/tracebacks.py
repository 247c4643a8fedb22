"""Leave the recorder out of the tracebacks that a program sees: they are those that it has alone."""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType, FrameType, TracebackType

from .. import FOLDER

Location = tuple[CodeType, int]
"""An instruction: its code and its offset there."""
_HANDING = "torch/overrides.py"
"""Where a function of torch's hands its call over to a mode, which then calls that function again."""


def program_frames(frame: FrameType | None, filename: str) -> Iterator[Location]:
    """Yield the locations of the program's own frames, innermost first."""
    while frame is not None:
        code = frame.f_code
        if code.co_filename == filename:
            yield code, frame.f_lasti
        frame = frame.f_back


def raised_at(error: BaseException, filename: str) -> Location | None:
    """The program's innermost place in an exception's traceback."""
    places = [(trace.tb_frame.f_code, trace.tb_lasti) for trace in traceback_entries(error.__traceback__)]
    return next((place for place in reversed(places) if place[0].co_filename == filename), None)


def leave_out(error: BaseException) -> None:
    """Take the recorder's frames out of the tracebacks of an exception, and of those that it came from."""
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
    found = traceback_entries(first)
    files = [entry.tb_frame.f_code.co_filename for entry in found]
    ours = [file.startswith(FOLDER) for file in files]
    for place, file in enumerate(files[:-1]):
        if ours[place + 1] and file.endswith(_HANDING):
            ours[place] = True
            if place:  # what handed over stands there a second time, further in
                ours[place - 1] = True
    kept = [entry for entry, left_out in zip(found, ours, strict=True) if not left_out]
    for entry, following in zip(kept, [*kept[1:], None], strict=True):
        entry.tb_next = following
    return kept[0] if kept else first


def traceback_entries(trace: TracebackType | None) -> list[TracebackType]:
    """The entries of a traceback, the outermost first."""
    found = []
    while trace is not None:
        found.append(trace)
        trace = trace.tb_next
    return found

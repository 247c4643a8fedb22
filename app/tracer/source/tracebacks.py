"""Find the program's locations in frames and tracebacks, and remove the recorder's frames from them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, FrameType, TracebackType

from .. import FOLDER

Location = tuple[CodeType, int]
"""A code object and the offset of an instruction in it."""
_DISPATCH_FILE = "torch/overrides.py"
"""The file whose frames dispatch a call to a mode, which then calls the function again."""
_RUNNER = os.path.join(FOLDER, "program.py")
"""The file whose frames call the program. Without the recorder, the program's own frames are the outermost."""


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


def raised_in(error: BaseException, filename: str, is_own: Callable[[CodeType], bool]) -> Location | None:
    """Return the innermost location of an exception in the user's own modules, unless the program itself is further in."""
    for trace in reversed(traceback_entries(error.__traceback__)):
        code = trace.tb_frame.f_code
        if code.co_filename == filename:
            return None
        if is_own(code):
            return code, trace.tb_lasti
    return None


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
    """Return a traceback without the recorder's entries; ``None`` if no other entry is left."""
    entries = traceback_entries(first)
    left_out = are_ours([entry.tb_frame.f_code.co_filename for entry in entries])
    kept = [entry for entry, ours in zip(entries, left_out, strict=True) if not ours]
    following = None
    for entry in reversed(kept):
        entry.tb_next = following
        following = entry
    return following


def are_ours(files: Sequence[str]) -> list[bool]:
    """Return which frames exist only because the recorder is active, given the files of frames, outermost first."""
    ours = [file.startswith(FOLDER) for file in files]
    for index, file in enumerate(files[:-1]):
        if ours[index + 1] and file.endswith(_DISPATCH_FILE):
            ours[index] = True
            if index:  # the frame that dispatched the call appears a second time, further in
                ours[index - 1] = True
    return ours


def frames_alone(frame: FrameType | None) -> list[FrameType]:
    """Return the frames that a program would have without the recorder, from ``frame`` outwards."""
    frames = []
    while frame is not None and frame.f_code.co_filename != _RUNNER:
        frames.append(frame)
        frame = frame.f_back
    ours = are_ours([each.f_code.co_filename for each in reversed(frames)])
    return [each for each, left_out in zip(frames, reversed(ours), strict=True) if not left_out]


def traceback_entries(trace: TracebackType | None) -> list[TracebackType]:
    """Return the entries of a traceback, outermost first."""
    entries = []
    while trace is not None:
        entries.append(trace)
        trace = trace.tb_next
    return entries

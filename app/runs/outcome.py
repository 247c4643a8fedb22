"""Describe in words how a run ended."""

from __future__ import annotations

from typing import Final

from .. import model

STOPPED: Final[dict[str, str]] = {
    "timed_out": "Stopped at the time limit",
    "out_of_memory": "Out of memory",
    "output_limit": "Stopped at the limit of a recording",
    "killed": "The process ended early",
    "cancelled": "Cancelled",
    "interrupted": "Interrupted",
}
"""Headline of each status of a run that was not ended by an exception of the program."""


def headline(status: model.Status, error: model.ProgramError | None) -> str:
    """Return a short phrase that describes how a run ended.

    >>> headline("failed", model.ProgramError("RuntimeError", "sizes differ", "train.py", 12, ""))
    'RuntimeError on line 12 of train.py'
    >>> headline("timed_out", model.ProgramError("timed_out", "It was stopped after 10 s.", None, 7, ""))
    'Stopped at the time limit on line 7'
    >>> headline("out_of_memory", model.ProgramError("RuntimeError", "[enforce fail …]", None, 2, ""))
    'Out of memory on line 2'
    """
    if error is None:
        return STOPPED.get(status, status.capitalize())
    what = STOPPED[status] if status == "out_of_memory" else STOPPED.get(error.type, error.type)
    line = f" on line {error.line}" if error.line else ""
    return f"{what}{line}{f' of {error.file}' if error.file else ''}"


def explanation(status: model.Status, error: model.ProgramError | None) -> str:
    """Return the headline, followed by the message of the exception or the reason of the stop.

    >>> explanation("cancelled", model.ProgramError("cancelled", "The run was cancelled.", None, None, ""))
    'Cancelled: The run was cancelled.'
    """
    start = headline(status, error)
    return f"{start}: {error.message}" if error is not None and error.message else start

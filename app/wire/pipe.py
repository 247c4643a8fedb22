"""Write frames to a pipe from one process, without side effects on the program."""

from __future__ import annotations

import contextlib
import os
import select
from typing import Final

_BUFFER: Final = 8 << 20
"""Size of the buffer. If a signal interrupts a write of up to this size, the next write completes it."""


class Pipe:
    """The write end of the pipe for events. The program may close it at any time.

    A forked child closes its copy of it, and a program that the process starts does not inherit it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._identity = _identity(descriptor)
        os.set_inheritable(descriptor, False)
        self._file = open(descriptor, "wb", buffering=_BUFFER, closefd=False)  # noqa: SIM115 (open while the process lives)
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll is not None:
            self._poll.register(descriptor, 0)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._leave)

    def write(self, data: bytes) -> None:
        """Write all of the data. Raises :class:`OSError` if nobody reads it, or if the program has closed the descriptor."""
        if self._descriptor < 0 or _identity(self._descriptor) != self._identity:
            raise OSError("the pipe is closed, or its descriptor belongs to another file")
        if self._poll is not None and any(event & select.POLLERR for _, event in self._poll.poll(0)):
            raise BrokenPipeError("nobody reads the pipe")  # a write would raise SIGPIPE, which may end the process
        self._file.write(data)
        self._file.flush()

    def _leave(self) -> None:
        """Close the pipe in a forked child."""
        descriptor, self._descriptor = self._descriptor, -1
        with contextlib.suppress(OSError):
            if descriptor >= 0 and _identity(descriptor) == self._identity:
                os.close(descriptor)


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino

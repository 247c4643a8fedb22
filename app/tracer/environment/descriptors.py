"""Record text that is written to the descriptors of stdout and stderr: by ``os.write``, C libraries and other processes."""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import fcntl
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import IO, Final

from ...model import Stream

STREAMS: Final[tuple[tuple[int, Stream], ...]] = ((1, "stdout"), (2, "stderr"))
CHUNK: Final = 1 << 20
"""Maximum number of bytes that are read at once."""


class Descriptors:
    """Files that stand for descriptors 1 and 2 while a program runs, and whose text goes to ``add``.

    A pipe would end the processes that outlive the program and write to it later; a file doesn't. The program's own prints
    call :meth:`collect`, so that all text is recorded in the order in which it was written.
    """

    def __init__(self, add: Callable[[Stream, str], None]) -> None:
        self._add = add
        self._files: list[_WrittenFile] = []

    @contextlib.contextmanager
    def replaced(self) -> Iterator[None]:
        """Replace both descriptors inside the ``with`` block."""
        _flush_own()
        with contextlib.ExitStack() as stack:
            self._files = [_WrittenFile(number, stream, stack) for number, stream in STREAMS]
            yield
            _flush_own()
            self.collect()
            self._files = []

    def collect(self) -> None:
        """Add the text that was written since the last call."""
        for file in self._files:
            for text in file.read():
                self._add(file.stream, text)


class _WrittenFile:
    """A file without a name that stands for one descriptor."""

    def __init__(self, number: int, stream: Stream, stack: contextlib.ExitStack) -> None:
        self.stream = stream
        self._position = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        before = stack.enter_context(_Copy(number))
        with _new_file() as file:
            fcntl.fcntl(file, fcntl.F_SETFL, os.O_APPEND)
            self._copy = stack.enter_context(_Copy(file.fileno()))
        self._copy.put_on(number)
        stack.callback(before.put_on, number)

    def read(self) -> Iterator[str]:
        """Yield what was written since the last call."""
        while data := self._copy.read(self._position):
            self._position += len(data)
            yield self._decoder.decode(data)


class _Copy:
    """A copy of a descriptor. The program may close the copy, and then use its number for a file of its own."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)
        self._identity = self._current()

    def __enter__(self) -> _Copy:
        return self

    def __exit__(self, *_: object) -> None:
        if self._current() == self._identity:
            os.close(self._descriptor)

    def put_on(self, number: int) -> None:
        """Make another descriptor refer to the same file."""
        if self._current() == self._identity:
            os.dup2(self._descriptor, number)

    def read(self, position: int) -> bytes:
        """Return the bytes from a position on, up to a chunk. There are none once the program has closed the copy."""
        current = self._current()
        if current is None or current != self._identity or os.fstat(self._descriptor).st_size <= position:
            return b""
        return os.pread(self._descriptor, CHUNK, position)

    def _current(self) -> tuple[int, int] | None:
        """Return the device and the number of the file that has the descriptor now."""
        try:
            status = os.fstat(self._descriptor)
        except OSError:
            return None
        return status.st_dev, status.st_ino


def _new_file() -> IO[bytes]:
    """Return a file without a name: on the disk, or in memory where the disk is read-only or full."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return open(os.memfd_create("output"), "w+b")


def _flush_own() -> None:
    """Write what the process's own streams and those of C libraries have buffered."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    ctypes.CDLL(None).fflush(None)

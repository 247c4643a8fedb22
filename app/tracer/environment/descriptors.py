"""Record text that is written to the descriptors of stdout and stderr: by ``os.write``, C libraries and other processes."""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import fcntl
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, Final

from ...model import Stream

STREAMS: Final[tuple[tuple[int, Stream], ...]] = ((1, "stdout"), (2, "stderr"))
CHUNK: Final = 1 << 20
"""Maximum number of bytes that are read at once."""
LAP: Final = 1 << 19
"""Size in bytes above which a file in memory is overwritten from its start."""


class Descriptors:
    """The files behind descriptors 1 and 2 while a program runs. ``add`` receives the text written to them.

    A pipe would end a process that outlives the program and writes to it later; a file doesn't. The program's own prints
    call :meth:`collect`, so that all text is recorded in the order in which it was written.
    """

    def __init__(self, add: Callable[[Stream, str], None]) -> None:
        self._add = add
        self._files: Sequence[_WrittenFile | _OwnFile] = []

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

    @contextlib.contextmanager
    def own_files(self) -> Iterator[None]:
        """Inside the ``with`` block, read the files in memory to which both descriptors refer. No other process uses them.

        A confined process cannot create files. Its two files are limited in size, so a long ``os.write`` is divided.
        """
        _flush_own()
        self._files = [_OwnFile(number, stream) for number, stream in STREAMS]
        original = os.write
        numbers = [number for number, _ in STREAMS]

        def write(fd: int, data: Any, /) -> int:
            view = memoryview(data).cast("B") if fd in numbers else None
            if not view:
                return original(fd, data)
            for start in range(0, len(view), LAP // 2):
                original(fd, view[start : start + LAP // 2])
                self.collect()
            return len(view)

        os.write = write
        try:
            yield
        finally:
            os.write = original
            _flush_own()
            self.collect()
            self._files = []

    def collect(self) -> None:
        """Add the text that was written since the last call."""
        for file in self._files:
            for text in file.read():
                self._add(file.stream, text)


class _WrittenFile:
    """An unnamed file that replaces one descriptor."""

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


class _OwnFile:
    """A file in memory behind one of the descriptors. All its descriptors share the position at which text is written."""

    def __init__(self, number: int, stream: Stream) -> None:
        self.stream = stream
        self._number = number
        self._identity = identity(number)
        self._position = 0
        self._position = self._end()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read(self) -> Iterator[str]:
        """Yield what was written since the last call."""
        end = self._end()
        if end == self._position or identity(self._number) != self._identity:
            return
        data = os.pread(self._number, max(0, end - self._position), self._position)
        self._position = end
        if end > LAP:
            self._position = os.lseek(self._number, 0, os.SEEK_SET)
        yield self._decoder.decode(data)

    def _end(self) -> int:
        """Return the position at which the text ends; the last known position if the program has closed the descriptor."""
        try:
            return os.lseek(self._number, 0, os.SEEK_CUR)
        except OSError:
            return self._position


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
        """Return at most :data:`CHUNK` bytes from a position on; no bytes once the program has closed the copy."""
        current = self._current()
        if current is None or current != self._identity or os.fstat(self._descriptor).st_size <= position:
            return b""
        return os.pread(self._descriptor, CHUNK, position)

    def _current(self) -> tuple[int, int] | None:
        return identity(self._descriptor)


def identity(descriptor: int) -> tuple[int, int] | None:
    """Return the device and the number of the file to which a descriptor refers now; ``None`` if it is closed."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _new_file() -> IO[bytes]:
    """Return an unnamed file: on the disk, or in memory if the disk is read-only or full."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return open(os.memfd_create("output"), "w+b")


def _flush_own() -> None:
    """Flush the process's own streams and the streams of C libraries."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    ctypes.CDLL(None).fflush(None)

"""Replace stdout and stderr, and send what the program prints to both, in order and up to a limit."""

from __future__ import annotations

import codecs
import contextlib
import io
import sys
import threading
from collections.abc import Iterator
from typing import Any, Final, TextIO

from ... import wire
from ...model import Stream
from ..emitter import Emitter
from .descriptors import Descriptors

ALTERNATIONS: Final = 10_000
"""Largest number of changes between the streams whose order is kept. Each change takes an event, even if its text is short."""


class Printer:
    """Collects the text of both streams, and sends it.

    It sends the first ``limit`` characters, and drops the rest while the program continues. Once the emitter is closed, as in a
    forked child, the text goes to ``stdout`` and ``stderr``, the process's own streams.
    """

    def __init__(self, emitter: Emitter, limit: int, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self._emitter = emitter
        self._limit = limit
        self._sent = 0
        self._waiting: list[tuple[Stream, list[str]]] = []
        self._size = 0
        self._alternations = 0
        self._lock = threading.RLock()  # a signal's handler may print too
        self.cell = 0
        self._descriptors = Descriptors(self._take)
        self.stdout = PrintedStream(self, "stdout", getattr(sys.__stdout__, "errors", None) or "strict", stdout)
        self.stderr = PrintedStream(self, "stderr", "backslashreplace", stderr)

    @property
    def closed(self) -> bool:
        """True once recording has ended."""
        return self._emitter.closed

    @contextlib.contextmanager
    def with_descriptors(self) -> Iterator[None]:
        """Inside the ``with`` block, also send what the program and its child processes write to descriptors 1 and 2."""
        with self._descriptors.replaced():
            yield

    @contextlib.contextmanager
    def with_own_files(self) -> Iterator[None]:
        """Inside the ``with`` block, also send what is written to descriptors 1 and 2. Only this process uses their files."""
        with self._descriptors.own_files():
            yield

    def add(self, stream: Stream, text: str) -> None:
        """Take text that the program has printed."""
        self._descriptors.collect()
        self._take(stream, text)

    def _take(self, stream: Stream, text: str) -> None:
        if self.closed:
            return
        room = self._limit - self._sent
        if room > 0 and text:
            kept = text[:room]
            with self._lock:
                self._texts(stream).append(kept)
            self._size += len(kept)
            self._sent += len(kept)
            if self._sent >= self._limit:
                self.flush()
                self._emitter.emit(wire.StdoutTruncated(limit=self._limit))
            elif self._size > 1 << 16 or self._emitter.due():
                self.flush()

    def _texts(self, stream: Stream) -> list[str]:
        """Return the list of waiting texts to which the next text of a stream belongs."""
        if self._waiting and self._waiting[-1][0] == stream:
            return self._waiting[-1][1]
        if self._alternations >= ALTERNATIONS:
            for waiting, texts in reversed(self._waiting):  # only the first texts keep their order
                if waiting == stream:
                    return texts
        self._alternations += 1
        self._waiting.append((stream, []))
        return self._waiting[-1][1]

    def flush(self) -> None:
        """Send the waiting text."""
        self._descriptors.collect()
        if self._emitter.closed:
            self._waiting = []
        if self._waiting:
            with self._lock:
                waiting, self._waiting, self._size = self._waiting, [], 0
            for stream, texts in waiting:
                text = "".join(texts)
                for start in range(0, len(text), 1 << 17):
                    self._emitter.emit(wire.OutputEvent(text[start : start + (1 << 17)], self.cell, stream))

    def send(self) -> None:
        """Send the text and all other events that wait, since the program has flushed a stream."""
        self.flush()
        self._emitter.flush()


class PrintedStream(io.TextIOBase):
    """The replacement for ``own``, one of the two streams.

    ``errors`` says what happens to text that the encoding cannot encode, such as a lone surrogate in UTF-8. Bytes that are not
    UTF-8 are recorded as U+FFFD.
    """

    encoding = "utf-8"

    def __init__(self, printer: Printer, stream: Stream, errors: str, own: TextIO | None) -> None:
        self._printer = printer
        self._stream = stream
        self._errors = errors
        self._newline = "\n"
        self._own = own
        self.name = f"<{stream}>"
        self.mode = "w"
        self.line_buffering = stream == "stderr"
        self.write_through = False
        self.buffer = _Bytes(self)

    @property
    def errors(self) -> str:  # type: ignore[override]
        return self._errors

    def reconfigure(
        self,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        line_buffering: bool | None = None,
        write_through: bool | None = None,
    ) -> None:
        """Change settings as :meth:`io.TextIOWrapper.reconfigure` does. Raises the same exceptions for wrong settings."""
        own = self._own if isinstance(self._own, io.TextIOWrapper) else io.TextIOWrapper(io.BytesIO(), self.encoding)
        own.reconfigure(
            encoding=encoding, errors=errors, newline=newline, line_buffering=line_buffering, write_through=write_through
        )
        if errors is not None or encoding is not None:
            self._errors = errors or "strict"
        self.encoding = encoding or self.encoding
        self._newline = self._newline if newline is None else newline or "\n"
        self.line_buffering = self.line_buffering if line_buffering is None else bool(line_buffering)
        self.write_through = self.write_through if write_through is None else bool(write_through)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        """Return the descriptor of the process's own stream. Raises :class:`io.UnsupportedOperation` without such a stream."""
        return super().fileno() if self._own is None else self._own.fileno()

    def write(self, text: str) -> int:
        if self._printer.closed:
            self.take(text)
            return len(text)
        try:
            text.encode(self.encoding)
        except UnicodeEncodeError:  # the program gets this error where Python would raise it
            printed = text.encode(self.encoding, self._errors).decode(self.encoding, "replace")
        else:
            printed = text
        self.take(printed if self._newline == "\n" else printed.replace("\n", self._newline))
        return len(text)

    def take(self, text: str) -> None:
        """Print text unchanged, regardless of the encoding."""
        if not self._printer.closed:
            self._printer.add(self._stream, text)
        elif self._own is not None:
            self._own.write(text)

    def flush(self) -> None:
        self._printer.send()
        if self._printer.closed and self._own is not None:
            self._own.flush()


class _Bytes(io.BufferedIOBase):
    """The replacement for a stream's ``buffer``: decodes bytes and writes the text."""

    def __init__(self, stream: PrintedStream) -> None:
        self._stream = stream
        self.name = stream.name
        self.mode = "wb"
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._stream.take(self._decoder.decode(part))
        return len(part)

    def flush(self) -> None:
        self._stream.flush()

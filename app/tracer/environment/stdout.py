"""Replace stdout and stderr, and send what the program prints, up to a limit."""

from __future__ import annotations

import codecs
import io
from typing import Any, TextIO

from ... import wire
from ..emitter import Emitter


class OutputLimit(BaseException):
    """Raised to stop a program that has printed more than the limit."""


class Printer(io.TextIOBase):
    """A replacement for stdout and stderr.

    It sends the first ``limit`` characters, drops the rest, and raises :class:`OutputLimit` above ``most``. Once the emitter is
    closed, as in a forked child, the text goes to ``stream``, the process's own output.
    """

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, emitter: Emitter, limit: int, most: int, stream: TextIO | None = None) -> None:
        self._emitter = emitter
        self._stream = stream
        self._limit = limit
        self._most = most
        self._sent = 0
        self._printed = 0
        self._waiting: list[str] = []
        self._size = 0
        self.cell = 0
        self.buffer = _Bytes(self)

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self._emitter.closed:
            return self._stream.write(text) if self._stream is not None else len(text)
        self._printed += len(text)
        if 0 < self._most < self._printed:
            raise OutputLimit(f"stopped after printing {self._most >> 20} MB")
        room = self._limit - self._sent
        if room > 0 and text:
            self._waiting.append(text[:room])
            self._size += len(self._waiting[-1])
            self._sent += len(self._waiting[-1])
            if self._sent >= self._limit:
                self.flush()
                self._emitter.emit(wire.StdoutTruncated(limit=self._limit))
            elif self._size > 1 << 16 or self._emitter.due():
                self.flush()
        return len(text)

    def flush(self) -> None:
        """Send the text that waits."""
        if self._emitter.closed:
            self._waiting = []
            if self._stream is not None:
                self._stream.flush()
            return
        if self._waiting:
            text, self._waiting, self._size = "".join(self._waiting), [], 0
            text = text.encode("utf-8", "replace").decode()  # lone surrogates cannot be encoded
            for start in range(0, len(text), 1 << 17):
                self._emitter.emit(wire.OutputEvent(text[start : start + (1 << 17)], self.cell))


class _Bytes(io.BufferedIOBase):
    """The replacement for ``sys.stdout.buffer``: decodes bytes and writes the text."""

    def __init__(self, printer: Printer) -> None:
        self._printer = printer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._printer.write(self._decoder.decode(part))
        return len(part)

    def flush(self) -> None:
        self._printer.flush()

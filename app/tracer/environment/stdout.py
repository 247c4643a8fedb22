"""Stand in for stdout and stderr: send on what a program prints, as far as anybody would read it."""

from __future__ import annotations

import codecs
import io
from typing import Any

from ... import wire
from ..emitter import Emitter


class OutputLimit(BaseException):
    """The program has printed more than anybody would read."""


class Printer(io.TextIOBase):
    """Stands in for stdout and stderr: sends the first ``limit`` bytes on, drops what follows, and raises past ``most``."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, emitter: Emitter, limit: int, most: int) -> None:
        self._emitter = emitter
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
        """Hand on what was printed."""
        if self._waiting:
            text, self._waiting, self._size = "".join(self._waiting), [], 0
            text = text.encode("utf-8", "replace").decode()  # lone surrogates can't travel
            for start in range(0, len(text), 1 << 17):
                self._emitter.emit(wire.OutputEvent(text[start : start + (1 << 17)], self.cell))


class _Bytes(io.BufferedIOBase):
    """What ``sys.stdout.buffer`` is: takes bytes, of which the printer sends the text."""

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

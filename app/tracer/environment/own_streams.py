"""Record the text that a program prints to the standard streams of its own process.

The replacements of the streams write to the same descriptors, with the same encoding and buffering. Text of the program, of C
libraries and of other processes is therefore printed in the same order as without the recorder. This module imports nothing
that may print.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import sys
from collections.abc import Iterator
from typing import Any, Protocol

from ...model import Stream


class Listener(Protocol):
    """Records the text of the streams."""

    def add(self, stream: Stream, text: str) -> None:
        """Take text that the program has written to a stream."""

    def send(self) -> None:
        """Send the events so far. The program flushes a stream, and its reader may then end the process."""


_kept: list[Any] = []
"""The original streams. They are kept alive, because freeing one would close its file."""


class RecordedText(io.TextIOWrapper):
    """A standard stream that passes each text to ``listener`` after writing it, and announces a flush before it."""

    listener: Listener | None = None
    stream: Stream = "stdout"
    view: BufferView | None = None

    def write(self, text: str, /) -> int:
        count = super().write(text)
        if self.listener is not None:
            self.listener.add(self.stream, _encodable(text, self.errors))
        return count

    def flush(self) -> None:
        if self.listener is not None:
            self.listener.send()
        super().flush()

    @property
    def buffer(self) -> Any:
        """The buffer as the program sees it: a view that records writes. The stream itself writes to the original buffer."""
        return super().buffer if self.view is None else self.view


class BufferView(io.BufferedIOBase):
    """The ``buffer`` of a :class:`RecordedText`: records each write, and delegates everything else to the original buffer."""

    def __init__(self, text: RecordedText, buffer: Any) -> None:
        self._text = text
        self._own = buffer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write(self, data: Any, /) -> int:
        count: int = self._own.write(data)
        if self._text.listener is not None:
            self._text.listener.add(self._text.stream, self._decoder.decode(bytes(memoryview(data).cast("B")[:count])))
        return count

    def __getattribute__(self, name: str) -> Any:
        if name in ("write", "writelines", "_text", "_own", "_decoder"):
            return super().__getattribute__(name)
        return getattr(super().__getattribute__("_own"), name)  # __class__ too

    def __repr__(self) -> str:
        return repr(self._own)


def install() -> None:
    """Replace the standard streams. Call this before any other code keeps a reference to them."""
    streams: tuple[Stream, Stream] = ("stdout", "stderr")
    for name in streams:
        stream = getattr(sys, name)
        if type(stream) is io.TextIOWrapper:
            setattr(sys, name, _replacement(stream, name))
            setattr(sys, f"__{name}__", getattr(sys, name))


def listen(listener: Listener | None) -> bool:
    """Pass all text written to the replaced streams to a listener, if any. Return ``False`` if no stream was replaced."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, RecordedText)]
    for stream in streams:
        stream.listener = listener
    return bool(streams)


@contextlib.contextmanager
def unrecorded() -> Iterator[None]:
    """Record no text that is written inside the ``with`` block."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, RecordedText)]
    listeners = [stream.listener for stream in streams]
    for stream in streams:
        stream.listener = None
    try:
        yield
    finally:
        for stream, listener in zip(streams, listeners, strict=True):
            stream.listener = listener


def _replacement(stream: io.TextIOWrapper, name: Stream) -> RecordedText:
    stream.flush()
    _kept.append(stream)
    old: Any = stream.buffer
    buffer: Any = old if isinstance(old, io.FileIO) else io.BufferedWriter(old.raw, old.raw._blksize)
    text = RecordedText(buffer, stream.encoding, stream.errors, "\n", stream.line_buffering, stream.write_through)
    text.mode = stream.mode  # type: ignore[misc]
    text.stream = name
    text.view = BufferView(text, buffer)
    return text


def _encodable(text: str, errors: str | None) -> str:
    """Return text that UTF-8 can encode. Lone surrogates become escapes if ``errors`` says so, else question marks."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace" if errors == "backslashreplace" else "replace").decode()
    return text

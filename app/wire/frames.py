"""Encode events as messages and messages as frames, and decode them again."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from ..errors import ProtocolError
from ..model import Limits
from .check import EventChecker
from .events import AnyEvent, Job
from .fields import Event

FRAME_BYTES: Final = 1 << 20
"""Maximum size of a frame, without its header."""
_HEADER: Final = struct.Struct("<I")
_MORE: Final = 1 << 31
"""The bit of a header that is set if more frames of the message follow."""


def encode_job(job: Job) -> bytes:
    """Encode a job for a child's pipe."""
    return msgspec.msgpack.encode(job)


def decode_job(data: bytes) -> Job:
    """Decode a job. The child trusts the server, so nothing is checked but the schema."""
    return msgspec.msgpack.decode(data, type=Job)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[AnyEvent])
_envelope = msgspec.msgpack.Decoder(list[msgspec.Raw])
_event_decoder: msgspec.msgpack.Decoder[AnyEvent] = msgspec.msgpack.Decoder(AnyEvent)


def pack(events: Sequence[Event]) -> bytes:
    """Encode events as one message, without frames."""
    return _encoder.encode(events)


def unpack(message: bytes) -> list[AnyEvent]:
    """Decode a message without checking its indices. Use :class:`Reader` for messages from a child."""
    return _decoder.decode(message)


def frames(message: bytes) -> bytes:
    """Split a message into frames, concatenated as they are written to a pipe.

    >>> frames(b"abc")
    b'\\x03\\x00\\x00\\x00abc'
    """
    parts: list[bytes] = []
    for start in range(0, max(len(message), 1), FRAME_BYTES):
        chunk = message[start : start + FRAME_BYTES]
        more = _MORE if start + FRAME_BYTES < len(message) else 0
        parts += (_HEADER.pack(len(chunk) | more), chunk)
    return b"".join(parts)


class Reader:
    """Joins frames, decodes messages and checks events, for the lifetime of one child.

    ``replay`` is true if the child's job orders a replay. Only then may events answer one. ``confined`` is true if the child is
    confined: its events may then name no file. :attr:`total` is the number of bytes read, :attr:`events` the number of events.
    :meth:`feed` enforces the limits on both.
    """

    def __init__(self, limits: Limits, *, replay: bool = False, confined: bool = True) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._message = bytearray()
        self._checker = EventChecker(limits, replay=replay, confined=confined)
        self.total = 0
        self.events = 0

    def feed(self, data: bytes) -> Iterator[AnyEvent]:
        """Add bytes from the pipe, and yield the events that are complete and valid.

        Raises :class:`ProtocolError` for malformed data and :class:`Overflow` beyond a limit. The reader is unusable
        afterwards, and the child must be killed.
        """
        self.total += len(data)
        if self.total > self._limits.recording_bytes:
            raise Overflow(f"The recording is larger than {self._limits.recording_bytes >> 20} MB.")
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            (header,) = _HEADER.unpack_from(self._buffer)
            length = header & ~_MORE
            # All frames but the last must be full: reading endless empty frames would cost more than sending them.
            if length > FRAME_BYTES or (header & _MORE and length != FRAME_BYTES):
                raise ProtocolError(f"a frame has {length:,} bytes")
            if len(self._buffer) < _HEADER.size + length:
                return
            self._message += self._buffer[_HEADER.size : _HEADER.size + length]
            del self._buffer[: _HEADER.size + length]
            if len(self._message) > self._limits.message_bytes:
                raise ProtocolError(f"a message has more than {self._limits.message_bytes:,} bytes")
            if not header & _MORE:
                message, self._message = bytes(self._message), bytearray()
                yield from self._decode(message)

    def _decode(self, message: bytes) -> Iterator[AnyEvent]:
        try:
            # Decode one event at a time: decoding does not release the GIL, and a large message would block for seconds.
            for raw in _envelope.decode(message):
                self.events += 1
                if self.events > self._limits.events:
                    raise Overflow(f"More than {self._limits.events:,} events were recorded.")
                event = _event_decoder.decode(raw)
                self._checker.check(event)
                yield event
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise ProtocolError(f"a message is not a list of events: {error}") from error


class Overflow(ProtocolError):
    """The recording exceeds a size limit. Its events are valid, but there are too many."""

"""Put events into messages and messages into frames, and take them out again."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from ..errors import ProtocolError
from ..model import Limits
from .check import Check
from .events import AnyEvent, Job
from .fields import Event

FRAME_BYTES: Final = 1 << 20
_HEADER: Final = struct.Struct("<I")
_MORE: Final = 1 << 31


def encode_job(job: Job) -> bytes:
    """Pack a job for a child's pipe."""
    return msgspec.msgpack.encode(job)


def decode_job(data: bytes) -> Job:
    """Unpack a job: the program's side of the pipe trusts the server."""
    return msgspec.msgpack.decode(data, type=Job)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[AnyEvent])
_envelope = msgspec.msgpack.Decoder(list[msgspec.Raw])
_event_decoder: msgspec.msgpack.Decoder[AnyEvent] = msgspec.msgpack.Decoder(AnyEvent)


def pack(events: Sequence[Event]) -> bytes:
    """Encode events as one message, without frames: the form in which the store keeps them."""
    return _encoder.encode(events)


def unpack(message: bytes) -> list[AnyEvent]:
    """Decode a message that was checked when it came in."""
    return _decoder.decode(message)


def frames(message: bytes) -> bytes:
    """Cut a message into frames, as it goes over a pipe.

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
    """Put frames together and decode them, checking everything: one reader for the life of one child.

    ``asked``: the child's job has a replay, which it may answer.
    ``total`` counts the bytes seen, ``events`` the events; both are held to the limits by :meth:`feed`.
    """

    def __init__(self, limits: Limits, *, asked: bool = False) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._message = bytearray()
        self._check = Check(limits, asked=asked)
        self.total = 0
        self.events = 0

    def feed(self, data: bytes) -> Iterator[AnyEvent]:
        """Take in what came from the pipe; yield the events that are complete and sound.

        Raises :class:`ProtocolError` for anything malformed and :class:`Overflow` past a limit: either way the child is
        done for.
        """
        self.total += len(data)
        if self.total > self._limits.recording_bytes:
            raise Overflow(f"The recording is larger than {self._limits.recording_bytes >> 20} MB.")
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            (header,) = _HEADER.unpack_from(self._buffer)
            length = header & ~_MORE
            # All frames of a message but the last are full: empty ones without end would cost more to read than to send.
            if length > FRAME_BYTES or (header & _MORE and length != FRAME_BYTES):
                raise ProtocolError(f"a frame of {length} bytes")
            if len(self._buffer) < _HEADER.size + length:
                return
            self._message += self._buffer[_HEADER.size : _HEADER.size + length]
            del self._buffer[: _HEADER.size + length]
            if len(self._message) > self._limits.message_bytes:
                raise ProtocolError("a message that never ends")
            if not header & _MORE:
                message, self._message = bytes(self._message), bytearray()
                yield from self._decode(message)

    def _decode(self, message: bytes) -> Iterator[AnyEvent]:
        try:
            # One event at a time: decoding holds the interpreter, and a large message would hold it for seconds.
            for raw in _envelope.decode(message):
                self.events += 1
                if self.events > self._limits.events:
                    raise Overflow(f"More than {self._limits.events:,} events were recorded.")
                event = _event_decoder.decode(raw)
                self._check.event(event)
                yield event
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise ProtocolError(f"a message that is not one of events: {error}") from error


class Overflow(ProtocolError):
    """A recording is above a limit of size: not a lie, only too much."""

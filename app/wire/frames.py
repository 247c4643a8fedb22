"""Encode events as messages and messages as frames, and decode them again."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

import msgspec

from ..errors import ProtocolError
from ..model import Limits, program_lines
from .bounds import MESSAGE_EVENTS, STRUCTURE_BYTES
from .check import EventChecker
from .events import AnyEvent, Job, TensorTable
from .fields import Event
from .memory import memory_of

FRAME_BYTES: Final = 1 << 20
"""Maximum size of a frame, without its header."""
_HEADER: Final = struct.Struct("<I")
_MORE: Final = 1 << 31
"""The bit of a header that is set if more frames of the message follow."""
MEMORY_FACTOR: Final = 14
"""Largest size of a recording in memory, as a multiple of the limit ``recording_bytes``. A training takes 2 to 17 times its
encoded size."""
_MOST_FIELDS: Final = 64
"""A number above the number of fields of any event."""
_BIN: Final = (0xC4, 0xC5, 0xC6)
"""The bytes with which packed columns can begin in msgpack: one for each width of their length."""
_TABLE_HEAD: Final = bytes([0x90 + len(TensorTable.__struct_fields__)])
"""The first byte of a table in msgpack."""


def encode_job(job: Job) -> bytes:
    """Encode a job for a child's pipe."""
    return msgspec.msgpack.encode(job)


def decode_job(data: bytes) -> Job:
    """Decode a job. The child trusts the server, so nothing is checked but the schema."""
    return msgspec.msgpack.decode(data, type=Job)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[AnyEvent])
_envelope = msgspec.msgpack.Decoder(Annotated[list[msgspec.Raw], msgspec.Meta(max_length=MESSAGE_EVENTS)])
_parts = msgspec.msgpack.Decoder(Annotated[list[msgspec.Raw], msgspec.Meta(max_length=_MOST_FIELDS)])
_event_decoder: msgspec.msgpack.Decoder[AnyEvent] = msgspec.msgpack.Decoder(AnyEvent)


def pack(events: Sequence[Event]) -> bytes:
    """Encode events as one message, without frames."""
    return _encoder.encode(events)


def unpack(message: bytes) -> list[AnyEvent]:
    """Decode a message without checking its indices. Use :class:`Reader` for messages from a child."""
    return _decoder.decode(message)


def fits(message: bytes) -> bool:
    """Return whether the texts and collections of a message have the lengths that the schema of its events allows."""
    try:
        _decoder.decode(message)
    except msgspec.ValidationError:
        return False
    return True


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

    ``program`` is the text that the child runs: no event may refer to a line beyond it. ``replay`` is true if the child's job
    orders a replay. Only then may events contain the results of a replay. ``confined`` is true if the child is confined: its
    events may then name no file.
    """

    def __init__(self, limits: Limits, *, program: str | None = None, replay: bool = False, confined: bool = True) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._message = bytearray()
        lines = None if program is None else len(program_lines(program))
        self._checker = EventChecker(limits, lines=lines, replay=replay, confined=confined)
        self.total = 0
        """Number of bytes read, at most ``recording_bytes``."""
        self.events = 0
        """Number of events read, at most ``events``."""
        self.memory = 0
        """Estimated size in memory of the events read, in bytes, at most :data:`MEMORY_FACTOR` times ``recording_bytes``."""

    def feed(self, data: bytes) -> Iterator[AnyEvent]:
        """Add bytes from the pipe, and yield the events that are complete and valid.

        Raises :class:`ProtocolError` for malformed data and :class:`Overflow` beyond a limit. The reader is unusable
        afterwards, and the child must be killed.
        """
        self.total += len(data)
        if self.total > self._limits.recording_bytes:
            raise self._too_large()
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
                if len(raw) > STRUCTURE_BYTES and _structure_bytes(raw) > STRUCTURE_BYTES:
                    raise Overflow(f"An event has more than {STRUCTURE_BYTES >> 20} MB of texts and rows.")
                event = _event_decoder.decode(raw)
                self._checker.check(event)
                self.memory += memory_of(event)
                if self.memory > MEMORY_FACTOR * self._limits.recording_bytes:
                    raise self._too_large()
                yield event
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise ProtocolError(f"a message is not a list of events: {error}") from error

    def _too_large(self) -> Overflow:
        return Overflow(f"The recording is larger than {self._limits.recording_bytes >> 20} MB.")


def _structure_bytes(event: msgspec.Raw) -> int:
    """Return the number of bytes of an encoded event, without the packed columns of the event and of its table."""
    size = 0
    for part in _parts.decode(event):
        inner = _parts.decode(part) if bytes(memoryview(part)[:1]) == _TABLE_HEAD else (part,)
        size += sum(len(each) for each in inner if memoryview(each)[0] not in _BIN)
    return size


class Overflow(ProtocolError):
    """The recording exceeds a size limit. Its events are valid, but there are too many."""

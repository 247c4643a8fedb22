"""Whatever is changed in a message, the reader yields valid events or raises ``ProtocolError``, and nothing else."""

from __future__ import annotations

import copy
import random

import pytest
from tapedeck import wire
from tapedeck.errors import ProtocolError
from tapedeck.model import Limits

from .every_kind import AT_LIMITS, KINDS, REFUSED, reader

LIMITS = Limits(nodes=1_000)
EVENTS = [*KINDS, *(event for events in REFUSED.values() for event in events)]
MESSAGES = [wire.pack([event]) for event in EVENTS]
SPECIAL = bytes([0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xC0, 0xC1, 0xC4, 0xC6, 0xCB, 0xCF, 0xD3, 0xDB, 0xDD, 0xDF, 0xFF])
"""First bytes of values in msgpack, at the ends of their ranges."""


def mutated(random: random.Random) -> bytes:
    """Return a message with one or two changes: a byte, a cut, a repetition, or a part of another message."""
    data = bytearray(random.choice(MESSAGES))
    for _ in range(random.randint(1, 2)):
        start = random.randrange(len(data) + 1)
        stop = min(len(data), start + random.randint(1, 12))
        match random.randrange(6):
            case 0:
                data[start:stop] = random.randbytes(stop - start)
            case 1:
                data[start:stop] = bytes([random.choice(SPECIAL)])
            case 2:
                del data[start:stop]
            case 3:
                data[start:start] = data[start:stop] * random.randint(1, 20)
            case 4 if start < len(data):
                data[start] = random.choice((data[start] ^ 1 << random.randrange(8), 0, 0xFF))
            case _:
                other = random.choice(MESSAGES)
                begin = random.randrange(len(other))
                data[start:stop] = other[begin : begin + random.randint(1, 40)]
    return bytes(data)


def read_mutated(count: int, seed: int) -> tuple[int, int]:
    """Read changed messages after a valid beginning; return how many were valid, and how many were refused."""
    chosen = random.Random(seed)
    prepared = reader(LIMITS)
    valid = refused = 0
    for _ in range(count):
        message = mutated(chosen)
        try:
            for event in copy.deepcopy(prepared).feed(wire.frames(message)):
                assert isinstance(event, wire.Event)
                assert wire.memory_of(event) > 0
        except ProtocolError:
            refused += 1
        else:
            valid += 1
    return valid, refused


def test_changed_messages_are_valid_or_refused() -> None:
    valid, refused = read_mutated(20_000, seed=12)
    assert valid > 200
    assert refused > 5_000


@pytest.mark.ops
@pytest.mark.parametrize("seed", range(20))
def test_a_million_changed_messages_are_valid_or_refused(seed: int) -> None:
    read_mutated(50_000, seed)


@pytest.mark.parametrize("name", AT_LIMITS)
def test_a_message_at_a_limit_that_is_cut_off_is_refused(name: str) -> None:
    message = wire.pack(AT_LIMITS[name])
    for length in (1, len(message) // 3, len(message) - 1):
        with pytest.raises(ProtocolError):
            list(reader(LIMITS).feed(wire.frames(message[:length])))

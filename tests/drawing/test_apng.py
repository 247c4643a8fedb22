"""An animated PNG has the pixels of its pictures, unchanged, in chunks that count up."""

from __future__ import annotations

import struct
import zlib

import pytest
from tapedeck.drawing import apng
from tapedeck.errors import DrawingError


def png(level: int, wide: int = 2) -> bytes:
    """Return a grey picture, one pixel high, whose pixels are in two chunks."""
    pixels = zlib.compress(bytes([0, *[level] * wide]))
    header = struct.pack(">IIBBBBB", wide, 1, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"sRGB", b"\0"), (b"IDAT", pixels[:4]), (b"IDAT", pixels[4:]), (b"IEND", b"")]
    return apng.SIGNATURE + b"".join(apng._chunk(kind, data) for kind, data in chunks)


def test_the_pixels_of_each_picture_follow_its_frame() -> None:
    made = apng.join([png(10), png(20), png(30)], [700, 700, 2100])
    chunks = list(apng._chunks(made))
    assert [kind.decode() for kind, _ in chunks] == [
        "IHDR", "acTL", "sRGB", "fcTL", "IDAT", "IDAT", "fcTL", "fdAT", "fdAT", "fcTL", "fdAT", "fdAT", "IEND",
    ]  # fmt: skip
    assert chunks[1][1] == struct.pack(">II", 3, 0)
    numbers = [struct.unpack(">I", data[:4])[0] for kind, data in chunks if kind in (b"fcTL", b"fdAT")]
    assert numbers == list(range(7))
    shown = [struct.unpack(">IIIIIHHBB", data)[5] for kind, data in chunks if kind == b"fcTL"]
    assert shown == [700, 700, 2100]
    pixels = [b"".join(data for kind, data in chunks if kind == b"IDAT")]
    pixels += [chunks[at][1][4:] + chunks[at + 1][1][4:] for at in (7, 10)]
    assert [zlib.decompress(each)[1] for each in pixels] == [10, 20, 30]


def test_pictures_of_two_sizes_are_not_joined() -> None:
    with pytest.raises(DrawingError, match=r"use \.svg instead"):
        apng.join([png(10), png(10, wide=3)], [700, 700])

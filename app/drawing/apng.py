"""Join PNG pictures into an animated PNG, as in the PNG specification, third edition (W3C, 2025), sections 11.3.6 and 12.

The pixels stay compressed as they are: only the chunks around them change.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Final

from ..errors import DrawingError

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_IN_FRONT: Final = (b"PLTE", b"tRNS", b"sRGB", b"gAMA", b"iCCP")
"""Chunks that describe the pixels. Those of the first picture apply to all pictures."""


def join(pictures: Sequence[bytes], milliseconds: Sequence[int]) -> bytes:
    """Return an animated PNG that shows each picture for some time, and repeats.

    All pictures must have one size and one kind of pixels; otherwise :class:`DrawingError` is raised. A viewer that does not
    animate shows the first one.
    """
    parts = [list(_chunks(picture)) for picture in pictures]
    header = parts[0][0][1]
    if any(chunks[0] != (b"IHDR", header) for chunks in parts):
        raise DrawingError("The pictures of the animation differ in their size or colours: use .svg instead.")
    wide, high = struct.unpack(">II", header[:8])
    made = [SIGNATURE, _chunk(b"IHDR", header), _chunk(b"acTL", struct.pack(">II", len(parts), 0))]
    made += [_chunk(kind, data) for kind, data in parts[0] if kind in _IN_FRONT]
    number = 0
    for index, (chunks, shown) in enumerate(zip(parts, milliseconds, strict=True)):
        made.append(_chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, wide, high, 0, 0, shown, 1000, 0, 0)))
        number += 1
        for data in (data for kind, data in chunks if kind == b"IDAT"):
            made.append(_chunk(b"IDAT", data) if index == 0 else _chunk(b"fdAT", struct.pack(">I", number) + data))
            number += index > 0
    return b"".join([*made, _chunk(b"IEND", b"")])


def _chunks(picture: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while at < len(picture):
        (size,) = struct.unpack_from(">I", picture, at)
        yield picture[at + 4 : at + 8], picture[at + 8 : at + 8 + size]
        at += size + 12


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

"""Convert our SVGs to PNG and PDF, on a server in a process with limits."""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from typing import Any, Final, Literal, Protocol

import typst

from ..byte_cache import ByteCache
from ..errors import DrawingError, OverBudget
from ..workers import Budget, FairGate, Workers
from .failed_work import FailedWork

Target = Literal["png", "pdf"]

SECONDS: Final = 10.0
"""Limit on the processor time of one conversion, in seconds."""
BUDGET: Final = Budget(cpu_seconds=SECONDS, wall_seconds=2 * SECONDS, answer_bytes=64 * 1024 * 1024)
MEMORY_BYTES: Final = 1024 * 1024 * 1024
"""Address space that one conversion may add."""
CACHE_BYTES: Final = 16 * 1024 * 1024
"""Total size of the converted pictures that are cached."""
DENSITY: Final = 144.0
"""Pixels per inch of a PNG: two for each pixel of the SVG."""
LARGEST_SIDE: Final = 8_000
"""Largest number of pixels on the longer side of a PNG. Larger pictures have a lower density."""
SHORTER: Final = 0.005
"""Part of a pixel by which the width of a PNG is shorter than whole pixels, so that rounding up never adds a pixel."""
_SIZE: Final = re.compile(r'width="([\d.e+]+)" height="([\d.e+]+)"')
_OPENING: Final = re.compile(
    r'(<svg [^>]*?)width="[\d.e+]+" height="[\d.e+]+" viewBox="0 0 (?P<wide>[\d.e+]+) (?P<high>[\d.e+]+)"'
)
LAST_COVERED: Final = "\u2fff"
"""Last character for which typst's embedded fonts suffice. A picture with later characters also uses the machine's fonts."""


class Converter(Protocol):
    """Converts pictures, without blocking the event loop."""

    async def close(self) -> None: ...

    async def convert(self, drawn: str, form: Target, client: str) -> bytes:
        """Return a picture as PNG or PDF. Raises :class:`DrawingError` if that fails. ``client`` takes turns with others."""


class ThreadConverter:
    """Converts pictures in a thread of this process, for one person's own pictures."""

    async def close(self) -> None: ...

    async def convert(self, drawn: str, form: Target, client: str) -> bytes:
        return await asyncio.to_thread(convert, drawn, form)


class WorkerConverter:
    """Converts strangers' pictures in ``count`` processes with limits. Create and use an instance on one event loop."""

    def __init__(self, count: int = 1) -> None:
        self._workers = Workers(count, modules=(__name__,), memory_bytes=MEMORY_BYTES)
        self._gate = FairGate(count)
        self._failures = FailedWork()
        self._pictures = ByteCache[bytes, bytes](CACHE_BYTES)

    async def close(self) -> None:
        """Kill the processes."""
        await self._workers.close()

    async def convert(self, drawn: str, form: Target, client: str) -> bytes:
        key = hashlib.blake2b(form.encode() + drawn.encode(errors="replace"), digest_size=16).digest()
        if (picture := self._pictures.get(key)) is not None:
            return picture
        self._failures.check(key)
        try:
            async with self._gate.entered(client):
                picture = await self._workers.run(convert, drawn, form, budget=BUDGET)
        except OverBudget as error:
            slow = DrawingError(f"The conversion of the picture to {form.upper()} took too long: use .svg instead.")
            self._failures.add(key, slow, slow=True)
            raise slow from error
        except DrawingError as error:
            self._failures.add(key, error)
            raise
        self._failures.forget(key)
        self._pictures.put(key, picture, len(picture))
        return picture


def convert(drawn: str, form: Target) -> bytes:
    """Convert one of our SVGs to PNG or PDF, with typst's embedded fonts. Raises :class:`DrawingError` if that fails."""
    width, height = size(drawn)
    density = min(DENSITY, 72.0 * LARGEST_SIDE / max(width, height))
    if form == "png":
        drawn, width, height = _in_whole_pixels(drawn, density)
    page = (
        f"#set page(width: {width:.5f}pt, height: {height:.5f}pt, margin: 0pt, fill: none)\n"
        f'#image(bytes(sys.inputs.svg), format: "svg", width: {width:.5f}pt, alt: "Backward graph")'
    )
    # Typst's embedded font lacks some scripts, for which the machine's fonts are used if there are any.
    uncovered = any(character > LAST_COVERED for character in drawn)
    try:
        made: Any = typst.compile(
            page.encode(), sys_inputs={"svg": drawn}, format=form, ppi=density, ignore_system_fonts=not uncovered, timestamp=0
        )
    except typst.TypstError as error:
        raise DrawingError(f"The picture could not be converted to {form.upper()}: {error}") from error
    return bytes(made)


def size(drawn: str) -> tuple[float, float]:
    """Return the width and height of one of our SVGs, in pixels.

    >>> size('<svg width="10" height="20.5" viewBox="0 0 10 20.5">')
    (10.0, 20.5)
    """
    found = _SIZE.search(drawn)
    assert found, "each of our SVGs begins with its size"
    return float(found[1]), float(found[2])


def _in_whole_pixels(drawn: str, density: float) -> tuple[str, float, float]:
    """Return an SVG without the part of a pixel at its right and lower margin, with its width and height.

    Typst draws an SVG into pixels of its own: as many columns as its width, rounded up, and as many rows as these columns
    divided by its aspect ratio, rounded up. It copies each to the nearest pixel of the page. If the page had fewer pixels, the
    copy would lack a row or a column in the middle of the picture.
    """
    pixel, sides = 72.0 / density, size(drawn)
    columns, rows = (max(1, math.floor(side / pixel)) for side in sides)
    whole = (columns - SHORTER) * pixel, (rows - SHORTER * (1 + rows / columns)) * pixel
    root = _OPENING.match(drawn)
    assert root, "each of our SVGs begins with its size and viewBox"
    seen = [float(root[name]) * new / old for name, new, old in zip(("wide", "high"), whole, sides, strict=True)]
    opening = f'{root[1]}width="{whole[0]:.5f}" height="{whole[1]:.5f}" viewBox="0 0 {seen[0]:.5f} {seen[1]:.5f}"'
    return opening + drawn[root.end() :], whole[0], whole[1]

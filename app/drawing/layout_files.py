"""Keep layouts in files, so that a structure is laid out once even if the server is restarted.

Several processes may use a folder at the same time: a file is written under another name and then renamed, so it is whole or
missing. A layout has positions and sizes only, no text of a program.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
import zlib
from pathlib import Path
from typing import Final

import msgspec

from .graph_layout import GraphLayout

MOST_BYTES: Final = 64 * 1024 * 1024
"""Largest total size of the files in a folder. When it is exceeded, the least recently used layouts are deleted."""
CHECKED: Final = 64
"""Number of files that are written between two checks of the size."""
FRESH_SECONDS: Final = 3600.0
"""Age up to which a file counts as just used. Reading such a file does not set its time again."""
LARGEST: Final = 16 * 1024 * 1024
"""Largest size of a decompressed file that is read."""


class LayoutFiles:
    """The layouts in a folder, by the hash of their plan. ``program`` names the program and the version that computed them."""

    def __init__(self, folder: Path, program: str = "", *, most_bytes: int = MOST_BYTES, checked: int = CHECKED) -> None:
        self._folder = folder
        self._program = zlib.crc32(program.encode())
        self._most_bytes = most_bytes
        self._checked = checked
        self._written = 0
        self._lock = threading.Lock()
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(GraphLayout).decode

    def read(self, key: bytes) -> GraphLayout | None:
        """Return a layout, or ``None`` if there is none. A file that is damaged is deleted."""
        path = self._path(key)
        try:
            packed = path.read_bytes()
            if path.stat().st_mtime < time.time() - FRESH_SECONDS:
                os.utime(path)
        except OSError:
            return None
        try:
            return self._decode(_decompressed(packed))
        except (zlib.error, msgspec.DecodeError):
            path.unlink(missing_ok=True)
            return None

    def write(self, key: bytes, layout: GraphLayout) -> None:
        """Keep a layout. Nothing is kept if the disk is full or cannot be written."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
                file.write(zlib.compress(self._encode(layout), 1))
            Path(file.name).replace(self._path(key))
            with self._lock:
                due = self._written % self._checked == 0
                self._written += 1
            if due:
                self._limit()

    def _path(self, key: bytes) -> Path:
        return self._folder / f"{key.hex()}-{self._program:08x}"

    def _limit(self) -> None:
        """Delete the least recently used files until the others fit. Unfinished files of killed processes count too."""
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # another process deleted the file
                    found.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))
        size = sum(each[1] for each in found)
        for _, bytes_, path in sorted(found):
            if size <= self._most_bytes:
                break
            Path(path).unlink(missing_ok=True)
            size -= bytes_


def _decompressed(packed: bytes) -> bytes:
    """Return decompressed data. Raises :class:`zlib.error` if it is not whole, or larger than :data:`LARGEST`."""
    unpacker = zlib.decompressobj()
    data = unpacker.decompress(packed, LARGEST)
    if not unpacker.eof:
        raise zlib.error("The data is cut off or too large.")
    return data

"""Keep some space on the disk in reserve, so that runs can be deleted when the disk is full."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

RESERVE_BYTES: Final = 8 * 1024 * 1024
"""Size of the reserve. To delete a run, the database writes a few pages, and then the pages of its write-ahead log."""
SHARE: Final = 4
"""The reserve takes at most a quarter of the space that is left."""

log = logging.getLogger(__name__)


class DiskReserve:
    """A file that takes up space until it is needed: ``size`` bytes, or less if the disk has little space left."""

    def __init__(self, folder: Path, size: int = RESERVE_BYTES) -> None:
        self._path = folder / "reserve"
        self._size = min(size, shutil.disk_usage(folder).free // SHARE)
        self._fill()

    @contextlib.contextmanager
    def released(self) -> Iterator[None]:
        """Free the reserve inside the ``with`` block. Afterwards, take it again, or as much of it as the disk has left."""
        self._path.unlink(missing_ok=True)
        try:
            yield
        finally:
            self._fill()

    def _fill(self) -> None:
        try:
            if self._size == 0 or self._path.exists():
                return
            size = max(1, min(self._size, shutil.disk_usage(self._path.parent).free))
            with open(self._path, "wb") as file:
                os.fchmod(file.fileno(), 0o600)
                os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:  # the reserve is filled again when the next run is deleted
            log.warning("No space is kept on the disk for deleting runs: %s.", error.strerror)
            self._path.unlink(missing_ok=True)

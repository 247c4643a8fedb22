"""Find out whether runs can be stored at the moment."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

PROBE_BYTES: Final = 64 * 1024
"""Size of the file that is written and deleted again."""


def probe(engine: Engine, folder: Path, needed_bytes: int) -> str | None:
    """Return why runs cannot be stored in a folder, or ``None`` if they can.

    The folder and the database must accept a write, and the disk must have ``needed_bytes`` left. The check blocks the
    calling thread.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
        left = shutil.disk_usage(folder).free
    except OSError as error:
        return f"The folder of the recordings cannot be written: {error.strerror}."
    if left < needed_bytes:
        needed = f"a recording takes up to {needed_bytes / 1e6:,.0f} MB"
        return f"The disk has {left / 1e6:,.0f} MB left, and {needed}: make room on it."
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # fails if the database cannot be written
            connection.rollback()
    except SQLAlchemyError as error:
        return f"The database cannot be written: {getattr(error, 'orig', error)}."
    return None

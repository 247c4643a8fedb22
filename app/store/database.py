"""Open the SQLite database in WAL mode, and migrate its tables to the current schema."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.exc import DatabaseError

from ..errors import RecordingDamaged, StoreUnusable

PRAGMAS: Final = (
    "PRAGMA auto_vacuum=INCREMENTAL",  # must precede the first table; it lets the file shrink when runs are deleted
    "PRAGMA journal_mode=WAL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA busy_timeout=5000",
    "PRAGMA temp_store=MEMORY",
)
DURABLE: Final = "PRAGMA synchronous=FULL"
"""A power failure loses nothing that was written: a write waits for the disk."""
FAST: Final = "PRAGMA synchronous=NORMAL"
"""A power failure may lose the last runs, but never damages the file."""
ELSEWHERE: Final = "choose another folder with --data or TAPEDECK_DATA"


def open_database(path: Path, *, durable: bool = True) -> Engine:
    """Open or create the database at a path, readable by its owner only, and migrate it.

    Raises :class:`StoreUnusable`, which names the remedy, and leaves the file as it is. Damage that is found later, by a query,
    raises :class:`RecordingDamaged` there.
    """
    engine = create_engine(f"sqlite:///{path}", pool_size=4, max_overflow=4)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        for pragma in (*PRAGMAS, DURABLE if durable else FAST):
            connection.execute(pragma)

    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its other files the same mode
        with contextlib.suppress(PermissionError):
            path.chmod(0o600)  # a file of an earlier version
        with engine.connect() as connection:
            migrate(connection)
            connection.commit()
    except CommandError as error:
        raise StoreUnusable(
            f"{path} was written by a newer version of Tapedeck: install that version, or {ELSEWHERE}."
        ) from error
    except OSError as error:
        raise StoreUnusable(f"{path} cannot be opened ({error.strerror}): {ELSEWHERE}.") from error
    except DatabaseError as error:
        raise StoreUnusable(f"{path} cannot be used: {_reason(error)}, or {ELSEWHERE}.") from error
    event.listen(engine, "handle_error", _report_damage)
    return engine


def _report_damage(context: ExceptionContext) -> None:
    if _is_damage(str(context.original_exception)):
        raise RecordingDamaged from context.original_exception


def _is_damage(message: str) -> bool:
    return "not a database" in message or "malformed" in message


def _reason(error: DatabaseError) -> str:
    """Return what is wrong, and the remedy."""
    text = str(error.orig)
    if _is_damage(text):
        return "it is damaged. Restore a backup with `tapedeck restore`"
    if is_full(error):
        return "the disk is full. Make room on it"
    if "readonly" in text:
        return "it is read-only. Make it writable"
    return f"{text}. Make it readable and writable"


def is_full(error: DatabaseError) -> bool:
    """Return whether an error says that the disk is full."""
    return "full" in str(error.orig)


def migrate(connection: Connection, revision: str = "head") -> None:
    """Migrate the tables to a revision, by default the latest one."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)

"""Copy a store into one file, even while a server uses it, and restore it from there.

A backup is a SQLite database. Besides the tables of the store, it has a table with the secret that signs owners' cookies:
without it, nobody could delete their own runs after a restore.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..errors import BadRequest, StoreUnusable
from .database import open_database
from .folder import locked
from .store import FILE

SECRET: Final = "secret"
"""Name of the file with the secret, in the folder of the store."""
_TABLE: Final = "tapedeck_backup"


def back_up(folder: Path, target: Path) -> int:
    """Write a consistent copy of the store in a folder to a new file, and return the number of its runs.

    A server may be using the store. Raises :class:`BadRequest` if the file exists or cannot be written, and
    :class:`StoreUnusable` if there is no store or it is damaged.
    """
    if not (folder / FILE).exists():
        raise StoreUnusable(f"There are no recordings in {folder}: choose their folder with --data or TAPEDECK_DATA.")
    part = target.with_name(f"{target.name}.part")
    try:
        if target.exists():
            raise BadRequest(f"{target} exists already: choose another file, or remove it.")
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            with _connected(folder / FILE) as source:
                source.execute("VACUUM INTO ?", (str(part),))
            secret = folder / SECRET
            with _connected(part) as copy:
                copy.execute(f"CREATE TABLE {_TABLE} (secret TEXT)")
                copy.execute(f"INSERT INTO {_TABLE} VALUES (?)", (secret.read_text() if secret.exists() else None,))
                copy.commit()
                count: int = copy.execute("SELECT count(*) FROM runs").fetchone()[0]
            _sync(part)
            os.replace(part, target)
            _sync(target.parent)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise BadRequest(f"{target} cannot be written ({error.strerror}): choose another file.") from error
    except sqlite3.Error as error:
        raise StoreUnusable(f"{folder / FILE} cannot be copied to {target}: {error}.") from error
    return count


def restore(source: Path, folder: Path, *, overwrite: bool = False) -> int:
    """Restore the store in a folder from a backup, and return the number of its runs.

    The store is replaced at the end, in one step. Raises :class:`BadRequest` if the file is not an intact backup, if the folder
    has recordings and ``overwrite`` is false, or if a server uses it.
    """
    try:
        if not source.is_file():
            raise BadRequest(f"There is no file {source}: pass a file that `tapedeck backup` wrote.")
        with locked(folder):
            if (folder / FILE).exists() and not overwrite:
                raise BadRequest(f"{folder} has recordings already: --force replaces them, --data chooses another folder.")
            return _replace(source, folder)
    except BlockingIOError as error:
        raise BadRequest(f"A server uses {folder}: stop it first, or choose another folder with --data.") from error
    except OSError as error:
        raise BadRequest(f"{folder} cannot be written ({error.strerror}): choose another folder with --data.") from error


def _replace(source: Path, folder: Path) -> int:
    part = folder / f"{FILE}.part"
    _remove(part)
    try:
        shutil.copyfile(source, part)
        part.chmod(0o600)
        secret, count = _unpack(source, part)
        open_database(part).dispose()  # migrates a backup of an earlier version
        with _connected(part) as copy:
            copy.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        _sync(part)
        with contextlib.suppress(sqlite3.Error), _connected(folder / FILE) as earlier:
            earlier.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the old log must not be applied to the restored file
        for suffix in ("-wal", "-shm"):
            (folder / f"{FILE}{suffix}").unlink(missing_ok=True)
        os.replace(part, folder / FILE)
        if secret:
            _write_secret(folder / SECRET, secret)
        _sync(folder)
        return count
    finally:
        _remove(part)


def _unpack(source: Path, part: Path) -> tuple[str | None, int]:
    """Check the copy of a backup, and remove its secret; return the secret and the number of runs."""
    try:
        with _connected(part) as copy:
            tables = [name for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            if _TABLE not in tables:
                raise BadRequest(f"{source} is not a backup: pass a file that `tapedeck backup` wrote.")
            problem: str = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
            if problem != "ok":
                raise BadRequest(f"{source} is damaged: pass another backup.")
            secret: str | None = copy.execute(f"SELECT secret FROM {_TABLE}").fetchone()[0]
            count: int = copy.execute("SELECT count(*) FROM runs").fetchone()[0]
            copy.execute(f"DROP TABLE {_TABLE}")
            copy.commit()
    except sqlite3.Error as error:
        raise BadRequest(f"{source} is not a backup, or it is damaged: pass a file that `tapedeck backup` wrote.") from error
    return secret, count


def _write_secret(path: Path, secret: str) -> None:
    part = path.with_name(f"{path.name}.part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


@contextlib.contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database that exists, and close it."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=30.0)
    try:
        yield connection
    finally:
        connection.close()


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Wait until the disk has stored a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

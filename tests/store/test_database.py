"""A store that cannot be used is reported in one sentence with a remedy, and is not changed."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest
from sqlalchemy import text
from tapedeck.errors import StoreUnusable
from tapedeck.store import Store

from ..handmade_events import fit
from .test_store import DONE, new

FILE = "tapedeck.sqlite3"


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """Return the folder of a store with one run."""
    store = Store(tmp_path)
    store.write(new(), fit(), 0, DONE)
    store.close()
    return tmp_path


def refused(folder: Path) -> str:
    """Open a store that cannot be used; return the message, and check that the file has not changed."""
    before = (folder / FILE).read_bytes()
    with pytest.raises(StoreUnusable) as error:
        Store(folder)
    assert (folder / FILE).read_bytes() == before
    message = str(error.value)
    assert str(folder / FILE) in message
    assert "TAPEDECK_DATA" in message
    assert "\n" not in message
    return message


def test_a_file_that_is_no_database_is_reported(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"This is no database." * 1_000)
    assert "damaged" in refused(tmp_path)


def test_a_damaged_database_is_reported(used: Path) -> None:
    data = bytearray((used / FILE).read_bytes())
    data[100:4_096] = bytes(3_996)  # the page that lists the tables
    (used / FILE).write_bytes(data)
    message = refused(used)
    assert "damaged" in message
    assert "tapedeck restore" in message


def test_a_database_of_a_newer_version_is_reported(used: Path) -> None:
    with sqlite3.connect(used / FILE) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert "newer version" in refused(used)


def test_a_database_that_cannot_be_opened_is_reported(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(StoreUnusable, match="TAPEDECK_DATA"):
        Store(tmp_path)


def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    (tmp_path / FILE).touch(0o644)
    (tmp_path / FILE).chmod(0o644)
    store = Store(tmp_path)
    store.write(new(), fit(), 0, DONE)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir() if path.is_file()}
    store.close()
    assert f"{FILE}-wal" in modes
    assert set(modes.values()) == {0o600}, modes


@pytest.mark.parametrize(("durable", "level"), [(True, 2), (False, 1)])
def test_a_write_waits_for_the_disk_only_in_a_durable_store(tmp_path: Path, durable: bool, level: int) -> None:
    store = Store(tmp_path, durable=durable)
    with store._engine.connect() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == level
    store.close()

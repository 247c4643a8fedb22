"""A backup has every acknowledged run, and restores the store with its owners."""

from __future__ import annotations

import sqlite3
import stat
import threading
from pathlib import Path

import pytest
from sqlalchemy import text
from tapedeck.errors import BadRequest, StoreUnusable
from tapedeck.store import Store, back_up, locked, restore

from ..handmade_events import fit
from .test_store import DONE, new


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a store with one run and a secret."""
    made = tmp_path / "recordings"
    store = Store(made)
    store.write(new(), fit(), 0, DONE)
    store.close()
    (made / "secret").write_text("hush")
    return made


def runs_in(folder: Path) -> list[str]:
    store = Store(folder)
    with store._engine.connect() as connection:
        found = list(connection.execute(text("SELECT id FROM runs ORDER BY number")).scalars())
    store.close()
    return found


def test_a_backup_is_restored_with_its_runs_and_its_secret(folder: Path, tmp_path: Path) -> None:
    file, elsewhere = tmp_path / "backup", tmp_path / "elsewhere"
    assert back_up(folder, file) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert restore(file, elsewhere) == 1
    assert (elsewhere / "secret").read_text() == "hush"
    assert stat.S_IMODE((elsewhere / "secret").stat().st_mode) == 0o600
    store = Store(elsewhere)
    run = store.get("a" * 32)
    assert run is not None
    assert store.log(run).step(1).index == 1
    with store._engine.connect() as connection:
        assert connection.execute(text("PRAGMA auto_vacuum")).scalar_one() == 2
        assert "tapedeck_backup" not in connection.execute(text("SELECT name FROM sqlite_master")).scalars().all()
    store.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "elsewhere", "recordings"]
    assert not list(elsewhere.glob("*.part*"))


def test_a_store_is_backed_up_while_it_is_written_to(folder: Path, tmp_path: Path) -> None:
    store = Store(folder)
    written: list[str] = []
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            id = f"{len(written):032}"
            store.write(new(id), fit(), 0, DONE)
            written.append(id)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for index in range(3):
            while len(written) < 4 * (index + 1):
                pass
            acknowledged = list(written)
            back_up(folder, tmp_path / f"backup {index}")
            restore(tmp_path / f"backup {index}", tmp_path / f"restored {index}")
            found = runs_in(tmp_path / f"restored {index}")
            assert found[0] == "a" * 32
            assert found[1:] == [f"{number:032}" for number in range(len(found) - 1)]
            assert len(found) > len(acknowledged)
    finally:
        stop.set()
        writer.join()
        store.close()


def test_a_restore_replaces_recordings_only_if_it_is_forced(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    back_up(folder, file)
    store = Store(folder)
    store.write(new("b" * 32), fit(), 0, DONE)
    store.close()
    with pytest.raises(BadRequest, match="--force"):
        restore(file, folder)
    assert runs_in(folder) == ["a" * 32, "b" * 32]
    assert restore(file, folder, overwrite=True) == 1
    assert runs_in(folder) == ["a" * 32]


def test_a_damaged_store_is_replaced_by_a_restore(folder: Path, tmp_path: Path) -> None:
    back_up(folder, tmp_path / "backup")
    (folder / "tapedeck.sqlite3").write_bytes(b"damaged" * 1_000)
    (folder / "tapedeck.sqlite3-wal").write_bytes(b"damaged too" * 1_000)
    with pytest.raises(StoreUnusable):
        back_up(folder, tmp_path / "another")
    assert restore(tmp_path / "backup", folder, overwrite=True) == 1
    assert runs_in(folder) == ["a" * 32]


def test_a_store_in_use_is_not_replaced(folder: Path, tmp_path: Path) -> None:
    back_up(folder, tmp_path / "backup")
    with locked(folder), pytest.raises(BadRequest, match="stop it first"):
        restore(tmp_path / "backup", folder, overwrite=True)


def test_an_existing_file_is_not_overwritten_by_a_backup(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "backup").write_text("precious")
    with pytest.raises(BadRequest, match="exists"):
        back_up(folder, tmp_path / "backup")
    assert (tmp_path / "backup").read_text() == "precious"


def test_a_folder_without_recordings_is_not_backed_up(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="--data"):
        back_up(tmp_path, tmp_path / "backup")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["missing", "text", "another database", "damaged", "newer", "cut off"])
def test_only_an_intact_backup_is_restored(folder: Path, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "backup"
    if kind == "text":
        file.write_text("not a backup" * 500)
    elif kind == "another database":
        file.write_bytes((folder / "tapedeck.sqlite3").read_bytes())
    elif kind != "missing":
        back_up(folder, file)
    if kind == "damaged":
        data = bytearray(file.read_bytes())
        data[8_192:-4_096] = bytes(len(data) - 12_288)
        file.write_bytes(data)
    elif kind == "cut off":
        file.write_bytes(file.read_bytes()[:-5_000])
    elif kind == "newer":
        with sqlite3.connect(file) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.close()
    with pytest.raises((BadRequest, StoreUnusable)):
        restore(file, folder, overwrite=True)
    assert runs_in(folder) == ["a" * 32]
    assert not list(folder.glob("*.part*"))

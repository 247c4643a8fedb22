"""A full store deletes the oldest runs of the owners who use the most."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tapedeck.store import Store
from tapedeck.store import store as stores

from .test_store import DONE, RUNNING, new

KB = 1_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.close()


def put(store: Store, id: str, owner: str, size: int, address: str | None = None, status: str = "done") -> None:
    """Store a run that takes ``size`` bytes."""
    run = msgspec.structs.replace(new(id, owner), address=address)
    store.write(run, [], 0, DONE if status == "done" else RUNNING)
    with store._engine.begin() as connection:
        row = connection.exec_driver_sql("SELECT number, recording_bytes FROM runs WHERE id = ?", (id,)).one()
        connection.exec_driver_sql("UPDATE runs SET recording_bytes = ? WHERE number = ?", (size, row.number))
    store.bytes += size - row.recording_bytes


def left(store: Store, most: int, *exempt: str) -> list[str]:
    """Make room, and return the runs that are left. Check that the store reports the deleted runs."""
    with store._engine.connect() as connection:
        before = set(connection.exec_driver_sql("SELECT id FROM runs").scalars())
    gone = store.make_room(most, exempt)
    with store._engine.connect() as connection:
        after = connection.exec_driver_sql("SELECT id FROM runs ORDER BY number").scalars().all()
        stored = connection.exec_driver_sql("SELECT sum(recording_bytes) FROM runs").scalar() or 0
    assert before - set(after) == set(gone)
    assert stored == store.bytes
    return list(after)


def test_a_store_with_room_deletes_nothing(store: Store) -> None:
    put(store, "a", "anna", 10 * KB)
    assert left(store, 100 * KB) == ["a"]


def test_the_oldest_runs_of_the_largest_session_are_deleted_first(store: Store) -> None:
    for index in range(5):
        put(store, f"big {index}", "big", 20 * KB)
        put(store, f"small {index}", "small", 4 * KB)
    small = [f"small {index}" for index in range(5)]
    assert sorted(left(store, 85 * KB)) == ["big 2", "big 3", "big 4", *small]
    assert sorted(left(store, 40 * KB)) == ["big 4", *small]


def test_the_pinned_runs_of_a_session_are_deleted_last_and_give_it_no_larger_share(store: Store) -> None:
    for index in range(5):
        put(store, f"big {index}", "big", 20 * KB)
    put(store, "small", "small", 20 * KB)
    for index in range(4):
        assert store.mark(f"big {index}", title=None, pinned=True)
    assert left(store, 80 * KB) == ["big 1", "big 2", "big 3", "small"]
    assert left(store, 40 * KB) == ["big 3", "small"]


def test_sessions_of_equal_size_lose_equally_many_runs(store: Store) -> None:
    for index in range(4):
        for owner in ("anna", "ben"):
            put(store, f"{owner} {index}", owner, 10 * KB)
    assert left(store, 40 * KB) == ["anna 2", "ben 2", "anna 3", "ben 3"]


def test_many_sessions_of_one_address_count_together(store: Store) -> None:
    put(store, "honest", "anna", 30 * KB, "home")
    for index in range(40):
        put(store, f"greedy {index}", f"session {index}", 10 * KB, "other")
    assert "honest" in left(store, 280 * KB)


def test_an_address_of_many_people_has_several_shares(store: Store) -> None:
    for index in range(20):
        put(store, f"student {index}", f"student {index}", 5 * KB, "campus")
    put(store, "single 0", "single", 20 * KB, "home")
    put(store, "single 1", "single", 20 * KB, "home")
    assert len(left(store, 125 * KB)) == 21
    assert store.get("single 0") is None


def test_runs_in_progress_and_exempt_owners_stay(store: Store) -> None:
    put(store, "live", "big", 50 * KB, status="running")
    put(store, "ours", "tapedeck", 50 * KB)
    put(store, "a", "anna", KB)
    assert left(store, 10 * KB, "tapedeck") == ["live", "ours"]
    assert left(store, 10 * KB, "tapedeck") == ["live", "ours"]


def test_answers_of_replays_of_exempt_runs_go_first_because_they_can_be_computed_again(store: Store) -> None:
    put(store, "example", "ours", 10 * KB)
    put(store, "a", "anna", 10 * KB)
    for number in range(5):
        assert store.keep_replay("example", f"replay {number}", secrets.token_bytes(20 * KB))
    assert store.keep_replay("a", "replay", secrets.token_bytes(KB))
    assert left(store, 50 * KB, "ours") == ["example", "a"]
    assert store.replay("example", "replay 0") is None
    assert store.replay("a", "replay") is not None
    assert store.bytes < 25 * KB


def test_the_answers_of_the_replays_of_one_run_are_limited_in_bytes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "REPLAY_BYTES", 50 * KB)
    put(store, "a", "anna", 10 * KB)
    kept = [store.keep_replay("a", f"replay {number}", secrets.token_bytes(20 * KB)) for number in range(4)]
    assert kept == [True, True, False, False]
    assert store.keep_replay("a", "replay 0", secrets.token_bytes(21 * KB)), "a newer answer takes the place of the earlier one"
    assert store.keep_replay("a", "small", b"small")

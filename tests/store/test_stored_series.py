"""The series of a long run are read from its steps once, and from then on from the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import sqlalchemy as sa
from tapedeck import wire
from tapedeck.errors import InvalidInput
from tapedeck.recording import MemoryLog, Recording, StepSeries, series
from tapedeck.store import MANY_STEPS, Store
from tapedeck.store.series import pack_series, unpack_series

from ..handmade_events import FIT, fit
from .test_overviews import ID, LONG, STEPS, run_of, spoil_blocks
from .test_store import new

KEYS = ("loss", "p*", "p0.grad.max", "p0.value[0]", "iteration", "loss:*", "p*.grad.norm")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a stored run of many steps."""
    store = Store(tmp_path)
    store.write(new(), fit(STEPS), 0, LONG, MemoryLog(fit(STEPS)).overview)
    store.close()
    return tmp_path


def recording(store: Store) -> Recording:
    return Recording(store.log(run_of(store)), FIT)


def assert_same(found: StepSeries, expected: StepSeries) -> None:
    assert found.index.tolist() == expected.index.tolist()
    assert list(found.values) == list(expected.values)
    for key in expected.values:
        assert np.array_equal(found.values[key], expected.values[key], equal_nan=True), key
        assert np.array_equal(found.present[key], expected.present[key]), key


def test_a_series_that_was_read_before_is_read_without_the_steps(folder: Path) -> None:
    memory = Recording(MemoryLog(fit(STEPS)), FIT)
    store = Store(folder)
    assert_same(recording(store).series(KEYS, 10, 5), memory.series(KEYS, 10, 5))
    spoil_blocks(store)
    store.close()
    again = Store(folder)
    assert_same(recording(again).series(KEYS), memory.series(KEYS))
    assert_same(recording(again).series(KEYS, points=50), memory.series(KEYS, points=50))
    assert_same(recording(again).series(["p0.grad.max"], STEPS - 3), memory.series(["p0.grad.max"], STEPS - 3))
    assert again.bytes == run_of(again).recording_bytes
    again.close()


def test_the_series_of_a_run_that_may_grow_are_not_stored(tmp_path: Path) -> None:
    store = Store(tmp_path)
    half = fit(STEPS)[: 3 + 3 * 500]
    running = msgspec.structs.replace(LONG, status="running", steps=500, passes=500)
    number = store.write(new(), half, 0, running).number
    assert len(recording(store).series(["loss"]).index) == 500
    store.write(number, fit(STEPS)[len(half) :], len(half), LONG)
    assert len(recording(store).series(["loss"]).index) == STEPS
    store.close()


def test_a_full_disk_does_not_fail_a_read(folder: Path) -> None:
    store = Store(folder)
    with store._engine.connect() as connection:
        pages = connection.execute(sa.text("PRAGMA page_count")).scalar_one()
        connection.execute(sa.text(f"PRAGMA max_page_count={pages}")).scalar_one()
    size = store.bytes
    assert len(recording(store).series(["loss", "p0", "p0.grad", "p0.grad.max", "p0.value_after.min"]).index) == STEPS
    assert store.bytes == size
    store.close()


def test_the_parts_of_a_run_are_limited(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(folder)
    monkeypatch.setattr("tapedeck.store.derived.FREE_BYTES", 0)
    names = [f"p0.{tensor}.{statistic}" for tensor in ("value", "grad", "value_after") for statistic in ("norm", "min", "max")]
    for name in names:
        recording(store).series([name])
    with store._engine.connect() as connection:
        stored, count = connection.execute(sa.text("SELECT sum(length(payload)), count(*) FROM derived")).one()
    blocks = run_of(store).recording_bytes - stored
    assert 1 < count < len(names)
    assert stored <= blocks / 4
    store.close()


def test_an_unknown_key_reads_only_the_first_and_last_steps(folder: Path) -> None:
    store = Store(folder)
    for _ in range(2):
        with pytest.raises(InvalidInput, match=r"No step has 'p0.state.step': this run has loss, iteration, loss:loss, p0\."):
            recording(store).series(["p0.state.step"])
        with store._engine.begin() as connection:
            middle = f"step_first > 100 AND step_first + step_count < {STEPS - 100}"
            assert connection.execute(sa.text(f"UPDATE blocks SET payload = x'00' WHERE {middle}")).rowcount
        store.close()
        store = Store(folder)
    store.close()


def test_a_request_for_too_many_numbers_is_refused_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    log = MemoryLog(fit(20))
    read: list[int] = []

    def groups() -> Iterator[series.StepGroup]:
        for start in range(0, 20, 2):
            read.append(start)
            yield from log.step_groups(start, start + 2)

    monkeypatch.setattr(series, "MOST_NUMBERS", 10)
    with pytest.raises(InvalidInput, match="more than 10 numbers"):
        series.read_each(groups(), ["loss", "p0"])
    assert read == [0, 2, 4]


def test_numbers_are_packed_without_a_loss() -> None:
    values = {"a": np.array([0.1, np.nan, np.inf]), "b": np.array([0.5, np.nan, 1e300]), "c": np.array([0.5, 2.0, np.nan])}
    present = {"a": np.ones(3, bool), "b": np.array([True, False, True]), "c": np.array([True, True, False])}
    packed = StepSeries(np.array([3, 4, 9]), values, present)
    found = unpack_series(pack_series(packed, 7), 7)
    assert found is not None
    assert_same(found, packed)
    assert unpack_series(pack_series(packed, 7), 8) is None


def test_a_short_run_stores_no_series(tmp_path: Path) -> None:
    store = Store(tmp_path)
    short = MANY_STEPS - 1
    store.write(new(ID), fit(short), 0, msgspec.structs.replace(LONG, steps=short, passes=short))
    assert isinstance(fit(short)[-1], wire.EndEvent)
    recording(store).series(KEYS)
    with store._engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM derived WHERE name <> 'overview'")).scalar_one() == 0
    store.close()

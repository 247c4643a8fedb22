"""The parts of a run that are read as a whole never need its blocks, also in a store of an earlier version."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from tapedeck import wire
from tapedeck.recording import MemoryLog, Recording, Tensors
from tapedeck.store import Store, migrations
from tapedeck.store.store import RunRow

from ..handmade_events import FIT, fit, pass_, table
from .test_store import DONE, new

STEPS = 1_000
LONG = msgspec.structs.replace(DONE, steps=STEPS, passes=STEPS)
ID = "a" * 32


def events() -> list[wire.AnyEvent]:
    """Return a long run that prints on each step, and in which one number is not finite."""
    found = [each for event in fit(STEPS) for each in (event, *printed(event))]
    position = next(index for index, event in enumerate(found) if isinstance(event, wire.PassEvent) and event.index == 700)
    found[position] = pass_(700, float("nan"))
    return found


def printed(event: wire.AnyEvent) -> list[wire.OutputEvent]:
    return [wire.OutputEvent(f"step {event.index}\n")] if isinstance(event, wire.StepEvent) else []


def run_of(store: Store) -> RunRow:
    run = store.get(ID)
    assert run is not None
    return run


def parts(store: Store) -> list[Any]:
    """Return everything that the answers of a run, besides its steps and graphs, contain."""
    recording = Recording(store.log(run_of(store)), FIT)
    log = recording.log
    rest = [recording.parameters(), recording.signals(), recording.graphs()]
    return [recording.lines(), recording.stdout(), recording.output(), *rest, log.previous_line_steps(900), log.nonfinite()]


def spoil_blocks(store: Store) -> None:
    with store._engine.begin() as connection:
        assert connection.execute(sa.text("UPDATE blocks SET payload = x'00'")).rowcount >= 3


def downgrade(connection: sa.Connection, revision: str) -> None:
    """Migrate a store back to the form of an earlier version."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    command.downgrade(config, revision)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a stored run that has an overview."""
    store = Store(tmp_path)
    log = MemoryLog(events())
    store.write(new(), events(), 0, LONG, log.overview)
    store.close()
    return tmp_path


def test_a_run_is_read_without_its_blocks(folder: Path) -> None:
    store = Store(folder)
    expected = parts(store)
    spoil_blocks(store)
    store.close()
    again = Store(folder)
    assert parts(again) == expected
    assert again.bytes == run_of(again).recording_bytes
    memory = Recording(MemoryLog(events()), FIT)
    assert expected[:3] == [memory.lines(), memory.stdout(), memory.output()]
    assert expected[-2:] == [{6: 899, 7: 899}, ([700], [])]
    assert (expected[1].count("\n"), expected[1][:14]) == (STEPS + 1, "step 0\nstep 1\n")
    again.close()


def test_a_store_of_an_earlier_version_reads_the_same_and_unpacks_its_blocks_only_once(folder: Path) -> None:
    store = Store(folder)
    expected = parts(store)
    size = run_of(store).recording_bytes
    with store._engine.begin() as connection:
        stored = connection.execute(sa.text("SELECT sum(length(payload)) FROM derived")).scalar_one()
        connection.execute(sa.text("UPDATE runs SET recording_bytes = recording_bytes - :stored"), {"stored": stored})
        downgrade(connection, "0003")
    store.close()
    migrated = Store(folder)
    assert parts(migrated) == expected
    assert run_of(migrated).recording_bytes == migrated.bytes == size
    spoil_blocks(migrated)
    migrated.close()
    again = Store(folder)
    assert parts(again) == expected
    again.close()


def test_the_overview_of_a_run_in_progress_is_not_stored(tmp_path: Path) -> None:
    store = Store(tmp_path)
    number = store.write(new(), events()[:2000], 0, msgspec.structs.replace(LONG, status="running")).number
    assert store.log(run_of(store)).overview.others
    store.write(number, events()[2000:], 2000, LONG)
    assert len(store.log(run_of(store)).overview.history.before(STEPS)) == 2
    assert Recording(store.log(run_of(store)), FIT).stdout().count("\n") == STEPS + 1
    store.close()


def test_an_overview_of_another_version_is_made_again(folder: Path) -> None:
    store = Store(folder)
    expected = parts(store)
    with store._engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE derived SET payload = :other"), {"other": zlib.compress(msgspec.msgpack.encode([1, "other"]))}
        )
    store.close()
    again = Store(folder)
    assert parts(again) == expected
    again.close()


def test_a_live_run_keeps_its_overview_when_its_events_are_dropped_from_memory() -> None:
    log = MemoryLog(events()[:2000])

    checking: list[bool] = []

    class Unread(MemoryLog):
        def __getattribute__(self, name: str) -> Any:
            assert not checking or name in ("counts", "_before", "_graphs", "_passes", "_steps"), name
            return super().__getattribute__(name)

    earlier = Unread(events()[:1000])
    checking.append(True)
    left = log.without(earlier)
    for event in events()[2000:]:
        left.append(event)
    whole = MemoryLog(events())
    assert left.counts() == whole.counts()
    assert list(left.others()) == list(whole.others())
    assert (left.lines(), left.graph_sizes(), left.nonfinite()) == (whole.lines(), whole.graph_sizes(), whole.nonfinite())
    assert left.previous_line_steps(500) == whole.previous_line_steps(500)
    assert left.step(900) == whole.step(900)


def test_only_the_last_value_of_each_line_is_kept() -> None:
    def lines(line: int, value: float) -> wire.LinesEvent:
        return wire.LinesEvent([wire.LineRow(line, None, None, 1), wire.LineRow(9, None, "text")], table(-1.0, [value, 1.0]))

    overview = MemoryLog([lines(3, 0.5), *(lines(number % 2, float(number)) for number in range(100))]).overview
    merged = overview.lines()
    assert merged is not None
    tensors = Tensors(merged.tensors)
    found = {row.line: (row.text, summary and summary.values) for row in merged.rows for summary in [tensors.summary(row.row)]}
    assert found == {3: (None, [0.5, 1.0]), 0: (None, [98.0, 1.0]), 1: (None, [99.0, 1.0]), 9: ("text", None)}
    assert len(tensors) == 3


def test_printed_texts_are_joined_unless_they_differ_in_cell_or_stream() -> None:
    texts = [("a", 0), ("b", 0), ("c", 1), ("d", 1)]
    log = MemoryLog([wire.OutputEvent(text, cell) for text, cell in texts])
    log.append(wire.OutputEvent("e", 1, "stderr"))
    assert [(event.text, event.stream) for event in log.others()] == [("ab", "stdout"), ("cd", "stdout"), ("e", "stderr")]  # type: ignore[union-attr]

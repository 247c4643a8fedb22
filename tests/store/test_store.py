"""The store returns runs and single events as they were written."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.sql.compiler import SQLCompiler
from tapedeck import model, wire
from tapedeck.errors import NotFound, RecordingDamaged, StoreFull
from tapedeck.recording import MemoryLog, Recording, lists
from tapedeck.store import NewRun, Outcome, Store
from tapedeck.store.log import BlockHeading
from tapedeck.store.schema import metadata

from ..handmade_events import FIT, fit, pass_, step, turns

DONE = Outcome(status="done", duration_ms=12.5, torch="2.13.0", findings=[], graphs=1, passes=2, steps=2)
RUNNING = Outcome(status="running")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.close()


def new(id: str = "a" * 32, owner: str = "anna", created: float = 100.0, expires: float | None = None, **more: str) -> NewRun:
    program = model.Program(FIT, "program", [(1, 13)], [{"code": "skipped-magic", "line": 3, "text": "%who"}])
    options = model.Options(seed=7, capture="norms", values=3)
    return NewRun(id=id, owner=owner, program=program, options=options, created=created, expires=expires, **more)


def test_a_run_is_read_as_it_was_written(store: Store) -> None:
    error = model.ProgramError("ValueError", "no", None, 3, "Traceback", (1, 2))
    finding = model.Finding("x", "note", None, 1, 0, None, "m", "w", model.Fix("t", [model.Edit((1, 0), (1, 2), "y")]))
    outcome = Outcome(status="failed", duration_ms=1.5, torch="2.13.0", error=error, findings=[finding], truncated=True)
    store.write(new(expires=200.0), fit(), 0, outcome)
    run = store.get("a" * 32)
    assert run is not None
    assert run.program == new().program
    assert run.options == new().options
    assert (run.owner, run.status, run.created, run.expires, run.truncated) == ("anna", "failed", 100.0, 200.0, True)
    assert (run.error, run.findings, run.duration_ms, run.torch) == (error, [finding], 1.5, "2.13.0")
    assert run.events == len(fit())


def test_queries_for_reading_are_compiled_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write(new(), fit(), 0, DONE)
    compiled: list[object] = []
    made = SQLCompiler.__init__
    monkeypatch.setattr(SQLCompiler, "__init__", lambda *given, **more: compiled.append(given) or made(*given, **more))
    store.prepare()
    assert len(compiled) == 4
    run = store.get("a" * 32)
    assert run is not None
    assert store.log(run).step(1).index == 1
    assert store.log(run).graph_sizes() == [(5, 4)]
    assert len(compiled) == 4


def test_a_recording_reads_the_same_from_the_store_as_from_memory(store: Store) -> None:
    store.write(new(), fit(), 0, DONE)
    run = store.get("a" * 32)
    assert run is not None
    stored, memory = Recording(store.log(run), FIT), Recording(MemoryLog(fit()), FIT)
    assert stored.log.counts() == memory.log.counts() == (1, 2, 2)
    assert [stored.step(k) for k in range(2)] == [memory.step(k) for k in range(2)]
    assert stored.graph(0) == memory.graph(0)
    assert stored.lines() == memory.lines()
    assert [line.line for line in stored.lines()] == [7, 13]
    assert stored.parameters() == memory.parameters()
    assert stored.stdout() == "done\n"
    assert lists.node(stored, 1, "n4") == lists.node(memory, 1, "n4")


def test_numbers_that_are_not_finite_are_found_in_the_store_as_in_memory(store: Store) -> None:
    events = [event for event in fit(8) if not isinstance(event, wire.PassEvent | wire.StepEvent)]
    events[3:3] = [pass_(index, float("nan") if index in (2, 5) else 1.0) for index in range(8)]
    events[11:11] = [step(index, 1.0, float("inf") if index == 6 else 0.5) for index in range(8)]
    store.write(new(), events, 0, msgspec.structs.replace(DONE, steps=8, passes=8))
    run = store.get("a" * 32)
    assert run is not None
    assert [list(found) for found in store.log(run).nonfinite()] == [[2, 5], [6]]
    memory = MemoryLog(events)
    assert memory.nonfinite() == ([2, 5], [6])
    assert memory.without(MemoryLog(events[:15])).nonfinite() == ([2, 5], [6])


def test_batches_of_events_are_appended_in_order(store: Store) -> None:
    events = fit(30)
    number = store.write(new(), events[:10], 0, RUNNING).number
    store.write(number, events[10:50], 10, RUNNING)
    store.write(number, events[50:], 50, msgspec.structs.replace(DONE, steps=30, passes=30))
    run = store.get("a" * 32)
    assert run is not None
    assert [seq for seq, _ in store.log(run).all()] == list(range(len(events)))
    assert wire.pack([event for _, event in store.log(run).all(40)]) == wire.pack(events[40:])


def test_events_that_are_written_again_replace_stored_ones(store: Store) -> None:
    events = fit(900)
    number = store.write(new(), events[:10], 0, RUNNING).number
    sealed = 0
    for end in range(100, len(events), 300):
        written = store.write(number, events[sealed:end], sealed, RUNNING)
        assert sealed <= written.sealed <= end
        sealed = written.sealed
    store.write(number, events[sealed:], sealed, msgspec.structs.replace(DONE, steps=900, passes=900))
    run = store.get("a" * 32)
    assert run is not None
    assert sealed > 0
    assert run.events == len(events)
    assert wire.pack([event for _, event in store.log(run).all()]) == wire.pack(events)
    assert [store.log(run).step(index).index for index in (0, 450, 899)] == [0, 450, 899]
    assert [store.log(run).pass_(index).index for index in (0, 450, 899)] == [0, 450, 899]
    with store._engine.connect() as connection:
        stored = connection.execute(sa.text("SELECT sum(length(payload)) FROM blocks")).scalar_one()
    assert run.recording_bytes == store.bytes == stored + len(FIT)


def test_reading_one_step_unpacks_only_its_block(store: Store) -> None:
    store.write(new(), fit(1000), 0, msgspec.structs.replace(DONE, steps=1000, passes=1000))
    run = store.get("a" * 32)
    assert run is not None
    with store._engine.begin() as connection:
        blocks = "UPDATE blocks SET payload = x'00' WHERE NOT (step_first <= 700 AND 700 < step_first + step_count)"
        assert connection.execute(sa.text(blocks)).rowcount >= 2
    assert store.log(run).step(700).index == 700
    assert [group.index.tolist() for group in store.log(run).step_groups(699, 702)] == [[699, 700, 701]]
    with pytest.raises(RecordingDamaged):
        store.log(run).step(0)


class CountedList(list[BlockHeading]):
    """Counts how often an item is read."""

    reads = 0

    def __getitem__(self, index: Any) -> Any:
        self.reads += 1
        return super().__getitem__(index)

    def __iter__(self) -> Iterator[BlockHeading]:
        self.reads += len(self)
        return super().__iter__()


def test_a_step_is_found_without_looking_at_every_block(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapedeck.store.block.FULL_EVENTS", 4)
    store.write(new(), fit(1000), 0, msgspec.structs.replace(DONE, steps=1000, passes=1000))
    run = store.get("a" * 32)
    assert run is not None
    log = store.log(run)
    headings = log.__dict__["_headings"] = CountedList(log._headings)
    assert len(headings) > 400
    for index in (0, 1, 500, 999):
        headings.reads = 0
        assert log.step(index).index == index
        assert headings.reads < 20


@pytest.mark.parametrize("index", [2, -1, 10**20])
def test_a_step_that_was_not_recorded_is_not_found(store: Store, index: int) -> None:
    store.write(new(), fit(), 0, DONE)
    run = store.get("a" * 32)
    assert run is not None
    with pytest.raises(NotFound, match="the last is 1"):
        store.log(run).step(index)


def test_an_owner_lists_only_their_own_runs_newest_first_in_pages(store: Store) -> None:
    for index in range(5):
        store.write(new(f"{index}", created=100.0 + index // 2), [], 0, DONE)
    store.write(new("other", owner="ben"), [], 0, DONE)
    first = store.of_owner("anna", 3)
    assert [run.id for run in first] == ["4", "3", "2"]
    assert [run.id for run in store.of_owner("anna", 3, (first[-1].created, first[-1].number))] == ["1", "0"]


def test_a_run_is_deleted_with_its_events(store: Store) -> None:
    store.write(new(), fit(), 0, DONE)
    size = store.bytes
    assert size > 0
    assert store.delete("a" * 32)
    assert not store.delete("a" * 32)
    assert store.get("a" * 32) is None
    assert store.bytes == 0
    with store._engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM blocks")).scalar_one() == 0


def test_events_of_a_deleted_run_are_dropped(store: Store) -> None:
    events = fit()
    number = store.write(new(), events[:5], 0, RUNNING).number
    store.delete("a" * 32)
    store.write(new("b" * 32), [], 0, RUNNING)
    store.write(number, events[5:], 5, DONE)
    assert store.get("a" * 32) is None
    other = store.get("b" * 32)
    assert other is not None
    assert other.status == "running"


def test_a_run_is_deleted_when_it_expires(store: Store) -> None:
    store.write(new("old", expires=150.0), fit(), 0, DONE)
    store.write(new("kept", expires=None), fit(), 0, DONE)
    store.write(new("later", expires=250.0), fit(), 0, DONE)
    assert store.sweep(149.0) == 0
    assert store.sweep(150.0) == 1
    assert store.get("old") is None
    assert store.get("kept") is not None
    assert store.get("later") is not None


def test_a_run_ended_by_a_stopping_server_is_marked_interrupted_and_keeps_its_events(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(new(), fit()[:6], 0, Outcome(status="running", graphs=1, passes=1, steps=1))
    store.write(new("b" * 32), fit(), 0, DONE)
    store.close()
    again = Store(tmp_path)
    assert again.interrupt() == 1
    run, other = again.get("a" * 32), again.get("b" * 32)
    assert run is not None
    assert other is not None
    assert (run.status, other.status) == ("interrupted", "done")
    assert again.log(run).step(0).index == 0
    assert again.bytes == run.recording_bytes + other.recording_bytes > 0
    again.close()


def test_a_run_is_found_by_its_idempotency_key(store: Store) -> None:
    store.write(new(idempotency="key", fingerprint="print"), [], 0, DONE)
    run = store.by_idempotency("key")
    assert run is not None
    assert run.fingerprint == "print"
    assert store.by_idempotency("other") is None


def test_several_threads_can_write_and_read(store: Store) -> None:
    def work(name: str) -> None:
        for index in range(10):
            store.write(new(f"{name}{index}", owner=name), fit(), 0, DONE)
            run = store.get(f"{name}{index}")
            assert run is not None
            assert store.log(run).step(1).index == 1

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(len(store.of_owner(name, 100)) for name in "abcd") == 40


def test_a_store_without_a_folder_deletes_its_files_when_closed() -> None:
    store = Store(None)
    assert store._temporary is not None
    folder = Path(store._temporary.name)
    store.write(new(), fit(), 0, DONE)
    assert store.get("a" * 32) is not None
    store.close()
    assert not folder.exists()


def test_the_migrations_create_the_tables_of_the_schema(store: Store) -> None:
    with store._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert connection.execute(sa.text("PRAGMA journal_mode")).scalar_one() == "wal"


def test_large_payloads_are_compressed(store: Store) -> None:
    text = wire.OutputEvent("the same again\n" * 1000)
    store.write(new(), [text], 0, DONE)
    assert store.bytes < 2_000
    run = store.get("a" * 32)
    assert run is not None
    assert list(store.log(run).others()) == [text]


def test_the_disk_space_of_expired_runs_is_freed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    noise = [wire.OutputEvent(secrets.token_hex(1000)) for _ in range(200)]
    store.write(new(expires=1.0), noise, 0, DONE)
    with store._engine.connect() as connection:
        before = connection.execute(sa.text("PRAGMA page_count")).scalar_one()
        store.sweep(2.0)
        assert connection.execute(sa.text("PRAGMA page_count")).scalar_one() < before / 4
    store.close()


def test_a_full_disk_raises_an_error_and_leaves_the_store_intact(store: Store) -> None:
    store.write(new("kept"), fit(), 0, DONE)
    with store._engine.connect() as connection:
        pages = connection.execute(sa.text("PRAGMA page_count")).scalar_one()
        connection.execute(sa.text(f"PRAGMA max_page_count={pages + 5}")).scalar_one()
    before = store.bytes
    with pytest.raises(StoreFull, match="disk"):
        store.write(new("large"), [wire.OutputEvent(secrets.token_hex(1000)) for _ in range(200)], 0, DONE)
    assert store.bytes == before
    assert store.get("large") is None
    kept = store.get("kept")
    assert kept is not None
    assert store.log(kept).step(1).index == 1


def test_every_log_finds_the_steps_in_which_lines_ran(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapedeck.store.block.FULL_EVENTS", 3)
    events = [event for event in turns() if not isinstance(event, wire.LinesEvent | wire.EndEvent)]
    written = store.write(new(), events, 0, msgspec.structs.replace(RUNNING, passes=4, steps=4))
    logs = [
        MemoryLog(events),
        store.log_of(written.number, (1, 4, 4), len(events)),
        MemoryLog(events).without(store.log_of(written.number, (1, 1, 1), 5)),
    ]
    for log in logs:
        assert log.counts() == (1, 4, 4)
        assert log.previous_line_steps(3) == {1: 0, 3: 0, 4: 2, 6: 1}
        assert log.previous_line_steps(0) == {}
        assert log.previous_line_steps(4) == {1: 0, 3: 0, 4: 2, 6: 3}
        assert Recording(log, FIT).step(3).earlier["4"].text == "3.0"

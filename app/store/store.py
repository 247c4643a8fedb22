"""Write runs to the database, read them, and delete them when they expire."""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
import threading
import zlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType
from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, text, update
from sqlalchemy.exc import OperationalError

from .. import model, wire
from ..errors import RecordingDamaged, StoreFull
from ..recording import Overview
from .database import is_full, open_database
from .derived import OVERVIEW, DerivedParts, insert_parts
from .log import BlockCache, PackedEvents, StoredLog, has_overview, packed_events
from .overviews import Overviews, pack_overview
from .probe import probe
from .reserve import RESERVE_BYTES, DiskReserve
from .schema import blocks, replays, runs
from .series import StoredSeries
from .shares import leaving
from .whole_steps import StoredWholeSteps

FILE: Final = "tapedeck.sqlite3"
"""Name of the database in its folder."""
DISK_FULL: Final = 'The disk of this server is full: delete old runs, or send "store": false.'
MOST_REPLAYS: Final = 500
"""Largest number of replay answers that are stored for one run."""
REPLAY_BYTES: Final = 16 * 1024 * 1024
"""Largest size of the replay answers of one run, in bytes. Anybody who has the run's address can request replays."""

log = logging.getLogger(__name__)


class NewRun(Struct, frozen=True, kw_only=True):
    """A run before it starts. Times are seconds since 1970."""

    id: str
    owner: str
    program: model.Program
    options: model.Options
    created: float
    expires: float | None
    idempotency: str | None = None
    fingerprint: str | None = None
    address: str | None = None
    """Digest of the address that it was started from, ``None`` if that is unknown."""
    title: str | None = None
    """The title that the owner chose, ``None`` for one from the program."""
    pinned: bool = False


class Outcome(Struct, frozen=True, kw_only=True):
    """The columns of a run that change while it runs and when it ends."""

    status: model.Status
    duration_ms: float | None = None
    torch: str | None = None
    error: model.ProgramError | None = None
    findings: list[model.Finding] | UnsetType = UNSET
    findings_omitted: list[str] | UnsetType = UNSET
    truncated: bool = False
    graphs: int = 0
    passes: int = 0
    steps: int = 0


class RunRow(Struct, frozen=True, kw_only=True):
    """A stored run, without its events."""

    number: int
    id: str
    owner: str
    status: model.Status
    program: model.Program
    options: model.Options
    created: float
    expires: float | None
    duration_ms: float | None
    torch: str | None
    error: model.ProgramError | None
    findings: list[model.Finding]
    truncated: bool
    graphs: int
    passes: int
    steps: int
    events: int
    recording_bytes: int
    fingerprint: str | None
    findings_omitted: list[str]
    title: str | None = None
    pinned: bool = False


class Written(Struct, frozen=True):
    """The result of writing events."""

    number: int
    """Number of the run, for writing more events."""
    sealed: int
    """Position up to which the stored events are final, because their blocks are full."""


class Store:
    """The database in a folder, or in a temporary folder that is deleted on :meth:`close`.

    Several threads may use it. Writes run one after the other, and reads do not wait for them. Calls block, so an event loop
    must make them in a thread.
    """

    def __init__(self, folder: Path | None, *, durable: bool = True) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="tapedeck-") if folder is None else None
        folder = Path(self._temporary.name) if self._temporary else cast(Path, folder)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._engine = open_database(folder / FILE, durable=durable)
        self._reserve = DiskReserve(folder, 0 if self._temporary else RESERVE_BYTES)
        self._blocks = BlockCache(self._engine)
        self._writing = threading.Lock()
        self._parts = DerivedParts(self._engine, self._writing, self._grow)
        self._overviews = Overviews(self._parts)
        self._series = StoredSeries(self._parts)
        with self._engine.connect() as connection:
            self.bytes: int = connection.execute(select(func.coalesce(func.sum(runs.c.recording_bytes), 0))).scalar_one()
            """Stored size of all recordings, in bytes."""

    def close(self) -> None:
        """Close all connections."""
        with self._writing, self._engine.connect() as connection, contextlib.suppress(OperationalError):
            connection.execute(text("PRAGMA optimize"))  # needs space, and only makes later reads faster
        self._engine.dispose()
        if self._temporary:
            self._temporary.cleanup()

    def probe(self, needed_bytes: int) -> str | None:
        """Return why a run cannot be stored at the moment, or ``None``. The disk must have ``needed_bytes`` left."""
        with self._writing:
            return probe(self._engine, self._folder, needed_bytes)

    def prepare(self) -> None:
        """Compile the queries for reading, so that the first reader does not wait for the compilation."""
        self.get("")
        self._blocks.prepare()
        self._parts.read(0, [OVERVIEW])

    def pack(self, run: NewRun | int, events: Sequence[wire.AnyEvent], first: int) -> PackedEvents:
        """Pack the events of a run from the position ``first`` on, for :meth:`write`."""
        return packed_events(events, first, self._counted(run, first) if isinstance(run, int) else (0, 0, 0))

    def write(
        self,
        run: NewRun | int,
        events: Sequence[wire.AnyEvent],
        first: int,
        outcome: Outcome,
        overview: Overview | None = None,
        packed: PackedEvents | None = None,
    ) -> Written:
        """Write the events of a run from the position ``first`` on, replace stored events there, and update the outcome.

        ``run`` is a new run or the number of a stored one. ``overview`` is given with the last events. Everything is written in
        one transaction. Events of a run that was deleted in the meantime are dropped. ``packed`` is used if it has exactly
        these events. Raises :class:`StoreFull` if the disk is full.
        """
        if packed is None or (packed.first, packed.count) != (first, len(events)):
            packed = self.pack(run, events, first)
        size = sum(len(row["payload"]) for row in packed.rows)
        end = first + len(events)
        columns = _columns(outcome) | {"events": end}
        large = first > 0 or has_overview(size)
        parts = {OVERVIEW: pack_overview(overview, end)} if overview is not None and large else {}
        size += sum(map(len, parts.values()))
        try:
            with self._writing, self._engine.begin() as connection:
                if isinstance(run, int):
                    number = run
                    later = (blocks.c.run == number) & (blocks.c.first >= first)
                    size -= connection.execute(
                        select(func.coalesce(func.sum(func.length(blocks.c.payload)), 0)).where(later)
                    ).scalar_one()
                    connection.execute(delete(blocks).where(later))
                    columns["recording_bytes"] = runs.c.recording_bytes + size
                    exists = connection.execute(update(runs).where(runs.c.number == number).values(columns)).rowcount
                else:
                    exists = 1
                    size += len(run.program.text)
                    number = _insert(connection, _new(run) | columns | {"recording_bytes": size})
                if packed.rows and exists:
                    connection.execute(insert(blocks), [row | {"run": number} for row in packed.rows])
                if exists:
                    insert_parts(connection, number, parts)
                self.bytes += size * exists
        except OperationalError as error:
            if is_full(error):
                raise StoreFull(DISK_FULL) from error
            raise
        return Written(number, packed.sealed)

    def get(self, id: str) -> RunRow | None:
        """Return the run with an id, or ``None``."""
        with self._engine.connect() as connection:
            row = connection.execute(_GET, {"id": id}).first()
        return None if row is None else _stored(row)

    def latest(self) -> float:
        """Return the time of the newest run, 0 if there is none."""
        with self._engine.connect() as connection:
            newest = select(runs.c.created).order_by(runs.c.number.desc()).limit(1)
            return connection.execute(newest).scalar_one_or_none() or 0.0

    def by_idempotency(self, key: str) -> RunRow | None:
        """Return the run that was requested with an idempotency key, or ``None``."""
        with self._engine.connect() as connection:
            row = connection.execute(select(runs).where(runs.c.idempotency == key)).first()
        return None if row is None else _stored(row)

    def log(self, run: RunRow) -> StoredLog:
        """Return the events of a run."""
        return self.log_of(run.number, (run.graphs, run.passes, run.steps), run.events)

    def log_of(self, run: int, counts: tuple[int, int, int], end: int) -> StoredLog:
        """Return the events of the run with a number, up to the position ``end``.

        ``counts`` is the number of graphs, passes and steps before that position.
        """
        return StoredLog(self._blocks, self._overviews, self._series, run, counts, end)

    def whole_steps(self, run: int, end: int) -> StoredWholeSteps:
        """Return the whole steps of the run with a number, which has ``end`` events."""
        return StoredWholeSteps(self._parts, run, end)

    def replay(self, run: str, id: str) -> bytes | None:
        """Return the stored answer of a replay, or ``None``."""
        query = select(replays.c.payload).join(runs).where(runs.c.id == run, replays.c.id == id)
        with self._engine.connect() as connection:
            payload = connection.execute(query).scalar_one_or_none()
        try:
            return None if payload is None else zlib.decompress(payload)
        except zlib.error:  # the value can be computed again
            return None

    def keep_replay(self, run: str, id: str, answer: bytes) -> bool:
        """Store the answer of a replay and return whether it is stored.

        It is not stored if the run was deleted, if it already has :data:`MOST_REPLAYS` answers or :data:`REPLAY_BYTES` of
        them, or if the disk is full.
        """
        try:
            return self._keep_replay(run, id, zlib.compress(answer, 6))
        except OperationalError as error:
            if is_full(error):
                return False
            raise

    def _keep_replay(self, run: str, id: str, payload: bytes) -> bool:
        with self._writing, self._engine.begin() as connection:
            number = connection.execute(select(runs.c.number).where(runs.c.id == run)).scalar_one_or_none()
            if number is None:
                return False
            sizes = select(replays.c.id, func.length(replays.c.payload).label("bytes")).where(replays.c.run == number)
            stored = {row.id: row.bytes for row in connection.execute(sizes)}
            others = sum(size for each, size in stored.items() if each != id)
            if (id not in stored and len(stored) >= MOST_REPLAYS) or others + len(payload) > REPLAY_BYTES:
                return False
            connection.execute(delete(replays).where(replays.c.run == number, replays.c.id == id))
            connection.execute(insert(replays), {"run": number, "id": id, "payload": payload})
            growth = len(payload) - stored.get(id, 0)
            grown = runs.c.recording_bytes + growth
            connection.execute(update(runs).where(runs.c.number == number).values(recording_bytes=grown))
            self.bytes += growth
        return True

    def of_owner(self, owner: str, count: int, before: tuple[float, int] | None = None) -> list[RunRow]:
        """Return up to ``count`` runs of an owner, newest first, older than the run with the time and number ``before``.

        Runs whose rows are damaged are left out.
        """
        query = select(runs).where(runs.c.owner == owner).order_by(runs.c.created.desc(), runs.c.number.desc()).limit(count)
        if before is not None:
            created, number = before
            query = query.where((runs.c.created < created) | ((runs.c.created == created) & (runs.c.number < number)))
        with self._engine.connect() as connection:
            return [run for row in connection.execute(query) if (run := _stored_if_readable(row)) is not None]

    def mark(self, id: str, *, title: str | None, pinned: bool) -> bool:
        """Set a run's title, and pin or unpin it. Return whether the run exists. Raises :class:`StoreFull` on a full disk."""
        query = update(runs).where(runs.c.id == id).values(title=title, pinned=int(pinned))
        try:
            with self._writing, self._engine.begin() as connection:
                return connection.execute(query).rowcount > 0
        except OperationalError as error:
            if is_full(error):
                raise StoreFull(DISK_FULL) from error
            raise

    def delete(self, id: str) -> bool:
        """Delete a run and its events, and return whether it existed."""
        return self._delete(runs.c.id == id) > 0

    def make_room(self, most: int, exempt: Collection[str] = ()) -> list[str]:
        """Delete ended runs until all recordings have at most ``most`` bytes; return their ids. See :mod:`.shares`.

        The runs of the owners in ``exempt`` are not deleted. The answers of their replays are deleted first, because they can
        be computed again.
        """
        if self.bytes > most:
            self._delete_replays(exempt)
        excess = self.bytes - most
        if excess <= 0:
            return []
        with self._engine.connect() as connection:
            numbers = leaving(connection, excess, exempt)
            ids = [connection.execute(select(runs.c.id).where(runs.c.number == number)).scalar_one() for number in numbers]
        for number in numbers:
            self._delete(runs.c.number == number)
        return ids

    def _delete_replays(self, owners: Collection[str]) -> None:
        """Delete the answers of all replays of some owners' runs."""
        size = func.sum(func.length(replays.c.payload)).label("bytes")
        of_runs = select(replays.c.run, size).join(runs).where(runs.c.owner.in_(owners)).group_by(replays.c.run)
        with self._writing, self._engine.begin() as connection:
            sizes = {row.run: row.bytes for row in connection.execute(of_runs)}
            for number, freed in sizes.items():
                connection.execute(delete(replays).where(replays.c.run == number))
                less = runs.c.recording_bytes - freed
                connection.execute(update(runs).where(runs.c.number == number).values(recording_bytes=less))
        self.bytes -= sum(sizes.values())

    def sweep(self, now: float) -> int:
        """Delete the expired runs, free their disk space, and return their number."""
        count = self._delete((runs.c.expires <= now) & runs.c.status.in_(model.FINAL))
        if count:
            self._vacuum()
        return count

    def _vacuum(self) -> None:
        with self._writing, self._engine.connect() as connection:
            # The pragma frees one page per step and returns no columns. Only `executescript` runs all steps.
            connection.connection.cursor().executescript("PRAGMA incremental_vacuum(2000)")

    def interrupt(self) -> int:
        """Mark the runs that were in progress when the server stopped, and return their number."""
        query = update(runs).where(runs.c.status.not_in(model.FINAL)).values(status="interrupted")

        def mark() -> int:
            with self._writing, self._engine.begin() as connection:
                return connection.execute(query).rowcount

        return self._even_if_full(mark)

    def _counted(self, run: int, first: int) -> tuple[int, int, int]:
        """Return the number of graphs, passes and steps that a run has before the position ``first``."""
        earlier = (blocks.c.run == run) & (blocks.c.first < first)
        with self._engine.connect() as connection:
            found = connection.execute(
                select(*(func.coalesce(func.sum(blocks.c[f"{name}_count"]), 0) for name in ("graph", "pass", "step"))).where(
                    earlier
                )
            ).one()
        graphs, passes, steps = found
        return graphs, passes, steps

    def _grow(self, size: int) -> None:
        self.bytes += size

    def _delete(self, where: Any) -> int:
        return self._even_if_full(lambda: self._delete_where(where))

    def _delete_where(self, where: Any) -> int:
        with self._writing, self._engine.begin() as connection:
            found = connection.execute(select(runs.c.number, runs.c.recording_bytes).where(where)).all()
            for number, _ in found:
                connection.execute(delete(runs).where(runs.c.number == number))
        self.bytes -= sum(size for _, size in found)
        return len(found)

    def _even_if_full(self, work: Callable[[], int]) -> int:
        """Return the result of a write that needs little space. On a full disk, use the reserve."""
        try:
            return work()
        except OperationalError as error:
            if not (is_full(error) or shutil.disk_usage(self._folder).free < RESERVE_BYTES):
                raise
        with self._reserve.released():
            count = work()
            with contextlib.suppress(OperationalError), self._writing, self._engine.connect() as connection:
                connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))  # shortens the log, which takes space too
        return count


_GET = select(runs).where(runs.c.id == bindparam("id"))
_encode = msgspec.msgpack.encode


def _insert(connection: Connection, row: dict[str, Any]) -> int:
    key = connection.execute(insert(runs), row).inserted_primary_key
    assert key is not None
    number: int = key[0]
    return number


def _new(run: NewRun) -> dict[str, Any]:
    return {
        "id": run.id,
        "owner": run.owner,
        "kind": run.program.kind,
        "program": run.program.text,
        "cells": _encode(run.program.cells),
        "notes": _encode(run.program.notes),
        "options": _encode(run.options),
        "created": run.created,
        "expires": run.expires,
        "idempotency": run.idempotency,
        "fingerprint": run.fingerprint,
        "address": run.address,
        "title": run.title,
        "pinned": int(run.pinned),
    }


def _columns(outcome: Outcome) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "status": outcome.status,
        "duration_ms": outcome.duration_ms,
        "torch": outcome.torch,
        "error": None if outcome.error is None else _encode(outcome.error),
        "truncated": int(outcome.truncated),
        "graphs": outcome.graphs,
        "passes": outcome.passes,
        "steps": outcome.steps,
    }
    if outcome.findings is not UNSET:
        columns["findings"] = _encode(outcome.findings)
    if outcome.findings_omitted is not UNSET:
        columns["findings_omitted"] = _encode(outcome.findings_omitted)
    return columns


_cells = msgspec.msgpack.Decoder(list[tuple[int, int]])
_notes = msgspec.msgpack.Decoder(list[dict[str, Any]])
_options = msgspec.msgpack.Decoder(model.Options)
_error = msgspec.msgpack.Decoder(model.ProgramError)
_codes = msgspec.msgpack.Decoder(list[str])
_findings = msgspec.msgpack.Decoder(list[model.Finding])


def _stored_if_readable(row: Row[Any]) -> RunRow | None:
    try:
        return _stored(row)
    except RecordingDamaged:
        log.error("Run %s is left out of a list, because it is damaged on the disk.", row.id)
        return None


def _stored(row: Row[Any]) -> RunRow:
    """Return the run in a row. Raises :class:`RecordingDamaged` if it cannot be decoded."""
    try:
        return _decoded(row)
    except msgspec.DecodeError as error:
        raise RecordingDamaged from error


def _decoded(row: Row[Any]) -> RunRow:
    return RunRow(
        number=row.number,
        id=row.id,
        owner=row.owner,
        status=row.status,
        program=model.Program(row.program, row.kind, _cells.decode(row.cells), _notes.decode(row.notes)),
        options=_options.decode(row.options),
        created=row.created,
        expires=row.expires,
        duration_ms=row.duration_ms,
        torch=row.torch,
        error=None if row.error is None else _error.decode(row.error),
        findings=[] if row.findings is None else _findings.decode(row.findings),
        truncated=bool(row.truncated),
        graphs=row.graphs,
        passes=row.passes,
        steps=row.steps,
        events=row.events,
        recording_bytes=row.recording_bytes,
        fingerprint=row.fingerprint,
        findings_omitted=[] if row.findings_omitted is None else _codes.decode(row.findings_omitted),
        title=row.title,
        pinned=bool(row.pinned),
    )

"""Write runs, find them again, and forget them when their time has come."""

from __future__ import annotations

import tempfile
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType
from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, text, update
from sqlalchemy.exc import OperationalError

from .. import model, wire
from ..errors import StoreFull
from .database import open_database
from .log import BlockCache, StoredLog, block_rows
from .schema import blocks, replays, runs

MOST_REPLAYS: Final = 500
"""Answers of replays that are kept for one run."""


class NewRun(Struct, frozen=True, kw_only=True):
    """A run as it begins. Times are seconds since 1970."""

    id: str
    owner: str
    program: model.Program
    options: model.Options
    created: float
    expires: float | None
    idempotency: str | None = None
    fingerprint: str | None = None


class Outcome(Struct, frozen=True, kw_only=True):
    """How far a run is: what of its row changes while it goes on and when it ends."""

    status: model.Status
    duration_ms: float | None = None
    torch: str | None = None
    error: model.ProgramError | None = None
    findings: list[model.Finding] | UnsetType = UNSET
    truncated: bool = False
    graphs: int = 0
    passes: int = 0
    steps: int = 0


class RunRow(Struct, frozen=True, kw_only=True):
    """A run as the store keeps it, without its events."""

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


class Written(Struct, frozen=True):
    """A run's number, to write more of it, and the place up to which what was written is as it will stay."""

    number: int
    sealed: int


class Store:
    """The database in a folder; with no folder, one that goes when it is closed.

    Safe to use from several threads: writes take turns, reads don't wait for them. Every call does its work at once, so
    an event loop calls them from a thread.
    """

    def __init__(self, folder: Path | None) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="tapedeck-") if folder is None else None
        folder = Path(self._temporary.name) if self._temporary else cast(Path, folder)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._engine = open_database(folder / "tapedeck.sqlite3")
        self._blocks = BlockCache(self._engine)
        self._writing = threading.Lock()
        with self._engine.connect() as connection:
            self.bytes: int = connection.execute(select(func.coalesce(func.sum(runs.c.recording_bytes), 0))).scalar_one()
            """Size of all recordings, as stored."""

    def close(self) -> None:
        """Close every connection."""
        with self._writing, self._engine.connect() as connection:
            connection.execute(text("PRAGMA optimize"))
        self._engine.dispose()
        if self._temporary:
            self._temporary.cleanup()

    def prepare(self) -> None:
        """Put together what each reader asks the database for, so that the first one need not wait for that."""
        self.get("")
        self._blocks.prepare()

    def write(self, run: NewRun | int, events: Sequence[wire.AnyEvent], first: int, outcome: Outcome) -> Written:
        """Write the events of a run from the place ``first`` on, instead of what was there, and note how far it is.

        A new run is made. All is one transaction. Events of a run that was deleted meanwhile are dropped. Raises
        :class:`StoreFull` where the disk is full.
        """
        packed, sealed = block_rows(events, first, self._counted(run, first) if isinstance(run, int) else (0, 0, 0))
        size = sum(len(row["payload"]) for row in packed)
        columns = _columns(outcome) | {"events": first + len(events)}
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
                    there = connection.execute(update(runs).where(runs.c.number == number).values(columns)).rowcount
                else:
                    there = 1
                    size += len(run.program.text)
                    number = _insert(connection, _new(run) | columns | {"recording_bytes": size})
                if packed and there:
                    connection.execute(insert(blocks), [row | {"run": number} for row in packed])
                self.bytes += size * there
        except OperationalError as error:
            if "full" in str(error.orig):
                raise StoreFull("The disk of this server is full: nothing can be kept just now.") from error
            raise
        return Written(number, sealed)

    def get(self, id: str) -> RunRow | None:
        """The run with an id."""
        with self._engine.connect() as connection:
            row = connection.execute(_GET, {"id": id}).first()
        return None if row is None else _stored(row)

    def by_idempotency(self, key: str) -> RunRow | None:
        """The run that was asked for with a key."""
        with self._engine.connect() as connection:
            row = connection.execute(select(runs).where(runs.c.idempotency == key)).first()
        return None if row is None else _stored(row)

    def log(self, run: RunRow) -> StoredLog:
        """The events of a run."""
        return self.log_of(run.number, (run.graphs, run.passes, run.steps), run.events)

    def log_of(self, run: int, counts: tuple[int, int, int], end: int) -> StoredLog:
        """The events of the run with a number, up to a place where it has so many graphs, passes and steps."""
        return StoredLog(self._blocks, run, counts, end)

    def replay(self, run: str, id: str) -> bytes | None:
        """The answer of a replay of a run."""
        query = select(replays.c.payload).join(runs).where(runs.c.id == run, replays.c.id == id)
        with self._engine.connect() as connection:
            payload = connection.execute(query).scalar_one_or_none()
        return None if payload is None else zlib.decompress(payload)

    def keep_replay(self, run: str, id: str, answer: bytes) -> bool:
        """Keep the answer of a replay with its run; of more than :data:`MOST_REPLAYS`, none. Tells whether it is kept."""
        payload = zlib.compress(answer, 6)
        with self._writing, self._engine.begin() as connection:
            number = connection.execute(select(runs.c.number).where(runs.c.id == run)).scalar_one_or_none()
            if number is None:  # deleted meanwhile
                return False
            known = connection.execute(select(replays.c.id).where(replays.c.run == number)).scalars().all()
            if id in known or len(known) >= MOST_REPLAYS:
                return id in known
            connection.execute(insert(replays), {"run": number, "id": id, "payload": payload})
            grown = runs.c.recording_bytes + len(payload)
            connection.execute(update(runs).where(runs.c.number == number).values(recording_bytes=grown))
            self.bytes += len(payload)
        return True

    def of_owner(self, owner: str, count: int, before: tuple[float, int] | None = None) -> list[RunRow]:
        """An owner's runs, newest first, from the one older than ``before`` (created, number) on."""
        query = select(runs).where(runs.c.owner == owner).order_by(runs.c.created.desc(), runs.c.number.desc()).limit(count)
        if before is not None:
            created, number = before
            query = query.where((runs.c.created < created) | ((runs.c.created == created) & (runs.c.number < number)))
        with self._engine.connect() as connection:
            return [_stored(row) for row in connection.execute(query)]

    def delete(self, id: str) -> bool:
        """Delete a run and its events; tells whether there was one."""
        return self._delete(runs.c.id == id) > 0

    def sweep(self, now: float) -> int:
        """Delete the runs whose time has come, and give their room back to the disk; returns how many there were."""
        count = self._delete((runs.c.expires <= now) & runs.c.status.in_(model.FINAL))
        if count:
            with self._writing, self._engine.connect() as connection:
                # A step for each page, and no columns: only `executescript` steps to the end.
                connection.connection.cursor().executescript("PRAGMA incremental_vacuum(2000)")
        return count

    def interrupt(self) -> int:
        """Mark the runs that a stop of the server cut off; returns how many there were."""
        with self._writing, self._engine.begin() as connection:
            query = update(runs).where(runs.c.status.not_in(model.FINAL)).values(status="interrupted")
            return connection.execute(query).rowcount

    def _counted(self, run: int, first: int) -> tuple[int, int, int]:
        """How many graphs, passes and steps a run has before a place."""
        earlier = (blocks.c.run == run) & (blocks.c.first < first)
        with self._engine.connect() as connection:
            found = connection.execute(
                select(*(func.coalesce(func.sum(blocks.c[f"{name}_count"]), 0) for name in ("graph", "pass", "step"))).where(
                    earlier
                )
            ).one()
        graphs, passes, steps = found
        return graphs, passes, steps

    def _delete(self, where: Any) -> int:
        with self._writing, self._engine.begin() as connection:
            found = connection.execute(select(runs.c.number, runs.c.recording_bytes).where(where)).all()
            for number, _ in found:
                connection.execute(delete(runs).where(runs.c.number == number))
        self.bytes -= sum(size for _, size in found)
        return len(found)


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
    return columns


_cells = msgspec.msgpack.Decoder(list[tuple[int, int]])
_notes = msgspec.msgpack.Decoder(list[dict[str, Any]])
_options = msgspec.msgpack.Decoder(model.Options)
_error = msgspec.msgpack.Decoder(model.ProgramError)
_findings = msgspec.msgpack.Decoder(list[model.Finding])


def _stored(row: Row[Any]) -> RunRow:
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
    )

"""Describe the tables: what the migrations arrive at."""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()

runs = Table(
    "runs",
    metadata,
    Column("number", Integer, primary_key=True),  # ours alone, and small: each event carries it
    Column("id", String(40), nullable=False, unique=True),
    Column("owner", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("program", Text, nullable=False),
    Column("cells", LargeBinary, nullable=False),  # msgpack, like notes, options, error and findings
    Column("notes", LargeBinary, nullable=False),
    Column("options", LargeBinary, nullable=False),
    Column("created", Float, nullable=False),  # seconds since 1970, like expires
    Column("expires", Float),
    Column("duration_ms", Float),
    Column("torch", String(40)),
    Column("error", LargeBinary),
    Column("findings", LargeBinary),
    Column("truncated", Integer, nullable=False),
    Column("graphs", Integer, nullable=False),
    Column("passes", Integer, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("events", Integer, nullable=False),
    Column("recording_bytes", Integer, nullable=False),
    Column("idempotency", String(64), unique=True),  # of the owner's key; the fingerprint is of what was asked with it
    Column("fingerprint", String(64)),
    Index("runs_by_owner", "owner", "created", "number"),
    Index("runs_by_expiry", "expires"),
    sqlite_autoincrement=True,  # a deleted run's number must not come back while somebody still writes to it
)

blocks = Table(
    "blocks",
    metadata,
    Column("run", Integer, ForeignKey("runs.number", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("first", Integer, primary_key=True, autoincrement=False),  # place in the run of its first event
    Column("count", Integer, nullable=False),  # events in it
    Column("graph_first", Integer, nullable=False),  # index of its first graph, if it has any
    Column("graph_count", Integer, nullable=False),
    Column("pass_first", Integer, nullable=False),
    Column("pass_count", Integer, nullable=False),
    Column("step_first", Integer, nullable=False),
    Column("step_count", Integer, nullable=False),
    Column("payload", LargeBinary, nullable=False),
)

replays = Table(
    "replays",
    metadata,
    Column("run", Integer, ForeignKey("runs.number", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("id", String(40), primary_key=True),  # of the request, however it was put
    Column("payload", LargeBinary, nullable=False),  # the answer as JSON, deflated
)

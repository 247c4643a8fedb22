"""Define the tables that the migrations create."""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()

runs = Table(
    "runs",
    metadata,
    Column("number", Integer, primary_key=True),  # internal, and small because each block repeats it
    Column("id", String(40), nullable=False, unique=True),
    Column("owner", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("program", Text, nullable=False),
    Column("cells", LargeBinary, nullable=False),  # msgpack, like notes, options, error and both findings
    Column("notes", LargeBinary, nullable=False),
    Column("options", LargeBinary, nullable=False),
    Column("created", Float, nullable=False),  # seconds since 1970, like expires
    Column("expires", Float),
    Column("duration_ms", Float),
    Column("torch", String(40)),
    Column("error", LargeBinary),
    Column("findings", LargeBinary),
    Column("findings_omitted", LargeBinary),
    Column("truncated", Integer, nullable=False),
    Column("graphs", Integer, nullable=False),
    Column("passes", Integer, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("events", Integer, nullable=False),
    Column("recording_bytes", Integer, nullable=False),
    Column("idempotency", String(64), unique=True),  # hash of the owner and the key; `fingerprint` is the hash of the request
    Column("fingerprint", String(64)),
    Column("address", String(32)),  # a keyed digest
    Column("title", String(80)),  # null unless the owner chose one
    Column("pinned", Integer, nullable=False, server_default="0"),  # 1 if a full store deletes the owner's other runs first
    Index("runs_by_owner", "owner", "created", "number"),
    Index("runs_by_expiry", "expires"),
    sqlite_autoincrement=True,  # a number is never reused, because events of a deleted run may still be written
)

blocks = Table(
    "blocks",
    metadata,
    Column("run", Integer, ForeignKey("runs.number", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("first", Integer, primary_key=True, autoincrement=False),  # position of its first event in the run
    Column("count", Integer, nullable=False),  # number of events
    Column("graph_first", Integer, nullable=False),  # index of its first graph, if it has any
    Column("graph_count", Integer, nullable=False),
    Column("pass_first", Integer, nullable=False),
    Column("pass_count", Integer, nullable=False),
    Column("step_first", Integer, nullable=False),
    Column("step_count", Integer, nullable=False),
    Column("payload", LargeBinary, nullable=False),
)

derived = Table(
    "derived",  # parts of ended runs that can be computed from their blocks or by a replay
    metadata,
    Column("run", Integer, ForeignKey("runs.number", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("name", String(250), primary_key=True),  # the names are defined in `derived.py`
    Column("payload", LargeBinary, nullable=False),
)

replays = Table(
    "replays",
    metadata,
    Column("run", Integer, ForeignKey("runs.number", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("id", String(40), primary_key=True),  # hash of the normalized request
    Column("payload", LargeBinary, nullable=False),  # the answer as compressed JSON
)

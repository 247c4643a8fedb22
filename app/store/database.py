"""Open the SQLite database in WAL mode, and migrate its tables to the current schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event

PRAGMAS = (
    "PRAGMA auto_vacuum=INCREMENTAL",  # must precede the first table; it lets the file shrink when runs are deleted
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=NORMAL",  # a power failure may lose the last runs, but never damages the file
    "PRAGMA foreign_keys=ON",
    "PRAGMA busy_timeout=5000",
    "PRAGMA temp_store=MEMORY",
)


def open_database(path: Path) -> Engine:
    """Open or create the database at a path, and migrate it."""
    engine = create_engine(f"sqlite:///{path}", pool_size=4, max_overflow=4)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        for pragma in PRAGMAS:
            connection.execute(pragma)

    with engine.connect() as connection:
        migrate(connection)
        connection.commit()
    return engine


def migrate(connection: Connection, revision: str = "head") -> None:
    """Migrate the tables to a revision, by default the latest one."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)

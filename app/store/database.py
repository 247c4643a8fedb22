"""Open the database: SQLite in WAL mode, one writer, brought to today's tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event

PRAGMAS = (
    "PRAGMA auto_vacuum=INCREMENTAL",  # before the first table: a deleted run's room goes back to the disk
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=NORMAL",  # a power cut may lose the last runs, never damage the file
    "PRAGMA foreign_keys=ON",
    "PRAGMA busy_timeout=5000",
    "PRAGMA temp_store=MEMORY",
)


def open_database(path: Path) -> Engine:
    """Open, or make, the database at a path and migrate it."""
    engine = create_engine(f"sqlite:///{path}", pool_size=4, max_overflow=4)

    @event.listens_for(engine, "connect")
    def _settle(connection: Any, _record: Any) -> None:
        for pragma in PRAGMAS:
            connection.execute(pragma)

    with engine.connect() as connection:
        migrate(connection)
        connection.commit()
    return engine


def migrate(connection: Connection, revision: str = "head") -> None:
    """Bring the tables to a revision; to today's, unless another is named."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)

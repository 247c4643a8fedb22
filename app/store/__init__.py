"""Keep runs: what was asked, how it ended, and every event of it."""

from .log import StoredLog
from .store import NewRun, Outcome, RunRow, Store, Written

__all__ = ["NewRun", "Outcome", "RunRow", "Store", "StoredLog", "Written"]

"""Keep runs: what was asked, how it ended, and every event of it."""

from .log import StoredLog
from .store import NewRun, Outcome, Store, StoredRun, Written

__all__ = ["NewRun", "Outcome", "Store", "StoredLog", "StoredRun", "Written"]

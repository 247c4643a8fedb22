"""Store runs in a database: the request, the outcome and every event."""

from .log import StoredLog
from .store import NewRun, Outcome, RunRow, Store, Written

__all__ = ["NewRun", "Outcome", "RunRow", "Store", "StoredLog", "Written"]

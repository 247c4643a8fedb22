"""Store runs in a database: the request, the outcome and every event."""

from .log import StoredLog
from .series import MANY_STEPS
from .store import NewRun, Outcome, RunRow, Store, Written

__all__ = ["MANY_STEPS", "NewRun", "Outcome", "RunRow", "Store", "StoredLog", "Written"]

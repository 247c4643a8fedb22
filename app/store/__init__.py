"""Store runs in a database: the request, the outcome and every event.

Events are stored in **blocks**: stretches of events, packed by columns. The **overview** of a recording has its rare events,
its last line values, and the sizes of its graphs; it is read as a whole, without the blocks.
"""

from .backup import back_up, restore
from .folder import locked
from .log import PackedEvents, StoredLog
from .overviews import pack_overview, unpack_overview
from .series import MANY_STEPS
from .sharing import BlocksInStore, blocks_of, reading
from .store import NewRun, Outcome, RunRow, Store, Written

__all__ = [
    "MANY_STEPS",
    "BlocksInStore",
    "NewRun",
    "Outcome",
    "PackedEvents",
    "RunRow",
    "Store",
    "StoredLog",
    "Written",
    "back_up",
    "blocks_of",
    "locked",
    "pack_overview",
    "reading",
    "restore",
    "unpack_overview",
]

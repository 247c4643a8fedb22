"""Gather events and send them on as framed messages, soon but not one by one."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from torch import Tensor

from .. import wire
from .tensors.handles import storage_pointer
from .tensors.memory import Write
from .tensors.packing import blank, pack
from .tensors.table import TableBuilder

MESSAGE_EVENTS = 256
MESSAGE_BYTES = 1 << 20
"""Size of a message beyond which its events are sent in several."""
WAITING_ROWS = 2_000
"""Tensors that wait to be read, at most: they are held until then."""
WAITING_BYTES = 4 << 20
"""Bytes of those that are to be summed up."""
INTERVAL = 0.04
"""Seconds that an event waits at most for others, while the program makes more of them."""


Build = Callable[[wire.TensorTable], wire.Event]


class Emitter:
    """Sends events through ``write``, which takes framed bytes.

    The numbers of events that wait are read together when they are sent; what is written to before that is copied.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._waiting: list[wire.Event | tuple[TableBuilder, Build]] = []
        self._sent = monotonic()
        self._told: set[type[wire.Signal]] = set()
        self._rows = 0
        self._bytes = 0
        self._unsorted: list[TableBuilder] = []
        self._by_storage: dict[int, list[tuple[TableBuilder, int]]] = {}
        """Rows that wait to be read, by their memory; those of tables that are unsorted are not among them."""
        self._holding: set[int] = set()
        """The ids of what waits to be read."""

    def emit(self, event: wire.Event) -> None:
        """Take an event; events keep their order."""
        self._waiting.append(event)
        if len(self._waiting) >= MESSAGE_EVENTS or self.due():
            self.flush()

    def emit_with(self, table: TableBuilder, build: Build) -> None:
        """Take an event that is built once its table is read."""
        table.finalize()
        self._waiting.append((table, build))
        self._unsorted.append(table)
        self._holding.update(map(id, table.rows))
        self._rows += len(table.rows)
        self._bytes += table.deferred_bytes
        if self._rows >= WAITING_ROWS or self._bytes >= WAITING_BYTES or self.due():
            self.flush()

    def protect(self, write: Write) -> None:
        """Memory is about to be written to: copy what waits to be read there."""
        if write.shared:
            for table in self._unsorted:
                for place, row in enumerate(table.rows):
                    if isinstance(row, Tensor):
                        self._by_storage.setdefault(storage_pointer(row), []).append((table, place))
            self._unsorted.clear()
            for key in write.storages:
                for table, place in self._by_storage.pop(key, ()):
                    table.copy_row(place)
        elif not self._holding.isdisjoint(write.ids):
            for item in self._waiting:
                if isinstance(item, tuple):
                    item[0].protect(write)

    def _read(self) -> None:
        tables = [item[0] for item in self._waiting if isinstance(item, tuple)]
        signals: list[wire.Signal] = []
        try:
            packed = pack(tables)
        except Exception as error:  # a tensor that cannot even be asked: the program must not hear of it
            packed = [blank(len(table.rows)) for table in tables]
            signals.append(_failure(error))
        if any(table.shortened for table in tables):
            signals.append(wire.NumbersLeftOut())
        read = iter(packed)
        self._waiting = [item[1](next(read)) if isinstance(item, tuple) else item for item in self._waiting]
        self._waiting[-1:-1] = [signal for signal in signals if self._is_first(signal)]  # nothing follows the end
        self._unsorted.clear()
        self._by_storage.clear()
        self._holding.clear()
        self._rows = self._bytes = 0

    def emit_once(self, signal: wire.Signal) -> None:
        """Take a signal unless one of its kind has been taken."""
        if self._is_first(signal):
            self.emit(signal)

    def _is_first(self, signal: wire.Signal) -> bool:
        first = type(signal) not in self._told
        self._told.add(type(signal))
        return first

    def failed(self, error: Exception) -> None:
        """The recorder itself has failed at something: say so once, since the program must go on as if it were alone."""
        if isinstance(error, RecursionError):  # the program stands at the end of the stack: there is no room for us
            return
        self.emit_once(_failure(error))

    def due(self) -> bool:
        """Whether it is time to let those who listen know more."""
        return monotonic() - self._sent > INTERVAL

    def flush(self) -> None:
        """Send all that waits."""
        if self._waiting:
            self._read()
            events = [item for item in self._waiting if not isinstance(item, tuple)]
            self._waiting = []
            self._send(events)
        self._sent = monotonic()

    def _send(self, events: list[wire.Event]) -> None:
        """Send events as one message, or as several where they are large: who reads holds a whole message in memory."""
        message = wire.pack(events)
        if len(message) <= MESSAGE_BYTES or len(events) == 1:
            self._write(wire.frames(message))
            return
        half = len(events) // 2
        self._send(events[:half])
        self._send(events[half:])


def _failure(error: Exception) -> wire.Signal:
    return wire.RecorderFailed(message=f"{type(error).__name__}: {error}"[:1000])

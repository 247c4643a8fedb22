"""Gather events and send them on as framed messages, soon but not one by one."""

from __future__ import annotations

import time
from collections.abc import Callable

from torch import Tensor

from .. import wire
from .table import Table, blank, pack

MESSAGE_EVENTS = 256
MESSAGE_BYTES = 1 << 20
"""Size of a message beyond which its events are sent in several."""
WAITING_ROWS = 2_000
"""Tensors that wait to be read, at most: they are held until then."""
INTERVAL = 0.02
"""Seconds that an event waits at most for others, while the program makes more of them."""


Build = Callable[[wire.Tensors], wire.Event]


class Emitter:
    """Sends events through ``write``, which takes framed bytes.

    The numbers of events that wait are read together when they are sent, unless something is about to write to them.
    """

    def __init__(self, write: Callable[[bytes], None], storage: Callable[[Tensor], int]) -> None:
        self._write = write
        self._storage = storage
        self._waiting: list[wire.Event | tuple[Table, Build]] = []
        self._sent = time.monotonic()
        self._told: set[str] = set()
        self._rows = 0
        self._storages: set[int] = set()
        self._unchecked: list[Table] = []

    def emit(self, event: wire.Event) -> None:
        """Take an event; events keep their order."""
        self._waiting.append(event)
        if len(self._waiting) >= MESSAGE_EVENTS or self.due:
            self.flush()

    def emit_with(self, table: Table, build: Build) -> None:
        """Take an event that is built once its table is read."""
        table.settle()
        self._waiting.append((table, build))
        self._unchecked.append(table)
        self._rows += len(table.rows)
        if self._rows >= WAITING_ROWS or self.due:
            self.flush()

    def protect(self, storages: set[int]) -> None:
        """These storages are about to be written to: read what waits, if any of it is there."""
        for table in self._unchecked:
            self._storages.update([self._storage(row) for row in table.rows if isinstance(row, Tensor)])
        self._unchecked.clear()
        if not self._storages.isdisjoint(storages):
            self._read()

    def _read(self) -> None:
        tables = [item[0] for item in self._waiting if isinstance(item, tuple)]
        signals: list[wire.Signal] = []
        try:
            packed = pack(tables)
        except Exception as error:  # a tensor that cannot even be asked: the program must not hear of it
            packed = [blank(len(table.rows)) for table in tables]
            signals.append(_failure(error))
        if any(table.shortened for table in tables):
            signals.append(wire.Signal("numbers-left-out"))
        read = iter(packed)
        self._waiting = [item[1](next(read)) if isinstance(item, tuple) else item for item in self._waiting]
        self._waiting[-1:-1] = [signal for signal in signals if self._is_first(signal)]  # nothing follows the end
        self._unchecked.clear()
        self._storages.clear()
        self._rows = 0

    def emit_once(self, signal: wire.Signal) -> None:
        """Take a signal unless one of its kind has been taken."""
        if self._is_first(signal):
            self.emit(signal)

    def _is_first(self, signal: wire.Signal) -> bool:
        first = signal.code not in self._told
        self._told.add(signal.code)
        return first

    def failed(self, error: Exception) -> None:
        """The recorder itself has failed at something: say so once, since the program must go on as if it were alone."""
        if isinstance(error, RecursionError):  # the program stands at the end of the stack: there is no room for us
            return
        self.emit_once(_failure(error))

    @property
    def due(self) -> bool:
        """Whether it is time to let those who listen know more."""
        return time.monotonic() - self._sent > INTERVAL

    def flush(self) -> None:
        """Send all that waits."""
        if self._waiting:
            self._read()
            events = [item for item in self._waiting if not isinstance(item, tuple)]
            self._waiting = []
            self._send(events)
        self._sent = time.monotonic()

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
    return wire.Signal("recorder-failed", detail={"message": f"{type(error).__name__}: {error}"[:1000]})

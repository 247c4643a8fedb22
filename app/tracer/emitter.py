"""Collect events and send them as framed messages, several at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

from torch import Tensor

from .. import wire
from .tensors.handles import storage_pointer
from .tensors.lifetimes import Lifetimes
from .tensors.memory import Write
from .tensors.packing import blank, pack
from .tensors.table import TableBuilder

MESSAGE_EVENTS = 256
"""The number of pending events that triggers sending them."""
MESSAGE_BYTES = 1 << 20
"""The size of a message above which its events are sent as several messages."""
WAITING_ROWS = 2_000
"""The number of pending tensors that triggers reading and sending them. They stay alive until then."""
WAITING_BYTES = 4 << 20
"""The size of pending tensors with statistics, in bytes, that triggers reading and sending them."""
INTERVAL = 0.04
"""The number of seconds after which the next event triggers sending all pending events."""
FIRST_INTERVAL = 0.0005
"""The first interval of an ``early`` emitter, in seconds. Later intervals grow by a quarter each, up to :data:`INTERVAL`."""

_INDEPENDENT = (
    wire.OutputEvent, wire.CellEvent, wire.EndEvent, wire.RecorderFailed, wire.StdoutTruncated, wire.Caught,
    wire.ModuleFileEvent,
)  # fmt: skip
"""The events that refer to no pass, step or graph."""

Build = Callable[[wire.TensorTable], wire.Event]


class Emitter:
    """Sends events through ``write``, which takes framed bytes.

    The tensors of all pending events are read together when the events are sent. A pending tensor is copied before the program
    writes to it. If ``write`` raises an :class:`OSError`, the reader is gone, and the emitter is closed. With ``early``, events
    are sent more often at first, since the process may be ended at any time. While the program observes ``lifetimes``, tensors
    are read and sent at once.
    """

    def __init__(self, write: Callable[[bytes], None], *, early: bool = False, lifetimes: Lifetimes | None = None) -> None:
        self._write = write
        self._lifetimes = Lifetimes() if lifetimes is None else lifetimes
        self._interval = FIRST_INTERVAL if early else INTERVAL
        self._waiting: list[wire.Event | tuple[TableBuilder, Build]] = []
        self.next_due = monotonic() + self._interval
        """The time, in seconds of :func:`time.monotonic`, after which the next event triggers sending all pending events."""
        self._sending = False
        self._afterwards: Callable[[], None] | None = None
        self._lock = threading.RLock()
        """A lock for adding and sending events, because several threads of the program may do so."""
        self.closed = False
        """True if all events are dropped."""
        self._halted = False
        self.sent_bytes = 0
        """Number of bytes that were sent."""
        self.sent_events = 0
        """Number of events that were sent."""
        self._emitted: set[type[wire.Signal]] = set()
        self._rows = 0
        self._bytes = 0
        self._unsorted: list[TableBuilder] = []
        self._by_storage: dict[int, list[tuple[TableBuilder, int]]] = {}
        """The pending rows by storage, except those of the tables in ``_unsorted``."""
        self._unchecked: list[TableBuilder] = []
        """The pending tables that were added since a standing write (see :class:`Write`) was last announced."""
        self._ids: set[int] = set()
        """The ids of the pending tensors."""

    def emit(self, event: wire.Event) -> None:
        """Add an event. Events are sent in the order in which they were added."""
        if self._halted and not isinstance(event, _INDEPENDENT):
            return
        with self._lock:
            self._waiting.append(event)
        if len(self._waiting) >= MESSAGE_EVENTS or self.due():
            self.flush()

    def emit_with(self, table: TableBuilder, build: Build) -> None:
        """Add an event that ``build`` makes once its table has been read."""
        if self._halted:
            return
        table.finalize()
        with self._lock:
            self._add((table, build))
        if self._lifetimes.observed or self._rows >= WAITING_ROWS or self._bytes >= WAITING_BYTES or self.due():
            self.flush()

    def _add(self, item: wire.Event | tuple[TableBuilder, Build]) -> None:
        self._waiting.append(item)
        if isinstance(item, tuple):
            table = item[0]
            self._unsorted.append(table)
            self._unchecked.append(table)
            self._ids.update(map(id, table.rows))
            self._rows += len(table.rows)
            self._bytes += table.deferred_bytes

    def protect(self, write: Write) -> None:
        """Copy the pending tensors that are about to be written to."""
        if write.standing:
            for table in self._unchecked:
                table.protect(write)
            self._unchecked.clear()
        elif write.shared:
            for table in self._unsorted:
                for index, row in enumerate(table.rows):
                    if isinstance(row, Tensor):
                        self._by_storage.setdefault(storage_pointer(row), []).append((table, index))
            self._unsorted.clear()
            for key in write.storages:
                for table, index in self._by_storage.pop(key, ()):
                    table.copy_row(index)
        elif self._ids and not self._ids.isdisjoint(map(id, write.targets)):
            for item in self._waiting:
                if isinstance(item, tuple):
                    item[0].protect(write)

    def halt(self) -> None:
        """Drop all later events that may refer to a pass, step or graph, because one of these is missing."""
        self._halted = True

    def close(self) -> None:
        """Drop the pending events and all later events."""
        self.closed = True
        self._lock = threading.RLock()  # in a forked child, the old lock may be locked by a thread of the parent
        self._forget()

    def _forget(self) -> None:
        self._waiting = []
        self._unsorted.clear()
        self._unchecked.clear()
        self._by_storage.clear()
        self._ids.clear()
        self._rows = self._bytes = 0

    def _read(self, waiting: list[wire.Event | tuple[TableBuilder, Build]]) -> list[wire.Event]:
        """Return the events, with the tensors of all tables read."""
        tables = [item[0] for item in waiting if isinstance(item, tuple)]
        signals: list[wire.Signal] = []
        try:
            packed = pack(tables)
        except Exception as error:  # a tensor that cannot be read must not fail the program
            packed = [blank(len(table.rows)) for table in tables]
            signals.append(_failure(error))
        if any(table.shortened for table in tables):
            signals.append(wire.NumbersLeftOut())
        read = iter(packed)
        events = [item[1](next(read)) if isinstance(item, tuple) else item for item in waiting]
        events[-1:-1] = [each for each in signals if self._is_first(each)]  # before the last event, which may be the end
        return events

    def emit_once(self, signal: wire.Signal) -> None:
        """Add a signal unless one of its type has been added before."""
        if self._is_first(signal):
            self.emit(signal)

    def _is_first(self, signal: wire.Signal) -> bool:
        first = type(signal) not in self._emitted
        self._emitted.add(type(signal))
        return first

    def failed(self, error: Exception) -> None:
        """Report, once per run, that the recorder itself has failed. The program continues as if it were not recorded."""
        if isinstance(error, RecursionError):  # the program has used up the stack, so the recorder is not at fault
            return
        self.emit_once(_failure(error))

    def due(self) -> bool:
        """Return whether the last message was sent longer ago than the interval."""
        return monotonic() >= self.next_due

    def call_between_messages(self, function: Callable[[], None]) -> None:
        """Call a function that emits events: now, or as soon as the message that is being sent is complete."""
        if self._sending:
            self._afterwards = function
        else:
            function()

    def flush(self) -> None:
        """Send all pending events."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        if self.closed:
            self._forget()
            return
        if self._sending:  # a signal handler may call this while events are being sent
            return
        if self._waiting:
            self._sending = True
            try:
                count = len(self._waiting)
                events = self._read(self._waiting[:count])
                added = self._waiting[count:]
                self._forget()
                for item in added:
                    self._add(item)
                self._send(events)
            except OSError:
                self.close()
            finally:
                self._sending = False
            if (call := self._afterwards) is not None:
                self._afterwards = None
                call()
        if self._interval < INTERVAL:
            self._interval = min(INTERVAL, self._interval * 1.25)
        self.next_due = monotonic() + self._interval

    def _send(self, events: list[wire.Event]) -> None:
        """Send events as one message, or as several if one would be large, since the reader keeps a whole message in memory."""
        message = _packed(events)
        if not wire.fits(message):
            message = _packed([wire.shortened(event) for event in events])
        if len(message) <= MESSAGE_BYTES or len(events) == 1:
            data = wire.frames(message)
            self.sent_bytes += len(data)
            self.sent_events += len(events)
            self._write(data)
            return
        half = len(events) // 2
        self._send(events[:half])
        self._send(events[half:])


def _packed(events: list[wire.Event]) -> bytes:
    try:
        return wire.pack(events)
    except (UnicodeEncodeError, OverflowError):
        return wire.pack([wire.encodable(event) for event in events])


def _failure(error: Exception) -> wire.Signal:
    return wire.RecorderFailed(message=f"{type(error).__name__}: {error}"[:1000])

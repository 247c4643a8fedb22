"""Gather events and send them on as framed messages, soon but not one by one."""

from __future__ import annotations

import time
from collections.abc import Callable

from .. import wire

MESSAGE_EVENTS = 256
INTERVAL = 0.02
"""Seconds that an event waits at most for others, while the program makes more of them."""


class Emitter:
    """Sends events through ``write``, which takes framed bytes."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._waiting: list[wire.Event] = []
        self._sent = time.monotonic()
        self._failed = False

    def emit(self, event: wire.Event) -> None:
        """Take an event; events keep their order."""
        self._waiting.append(event)
        if len(self._waiting) >= MESSAGE_EVENTS or self.due:
            self.flush()

    def failed(self, error: Exception) -> None:
        """The recorder itself has failed at something: say so once, since the program must go on as if it were alone."""
        if not self._failed:
            self._failed = True
            self.emit(wire.Signal("recorder-failed", detail={"message": f"{type(error).__name__}: {error}"[:1000]}))

    @property
    def due(self) -> bool:
        """Whether it is time to let those who listen know more."""
        return time.monotonic() - self._sent > INTERVAL

    def flush(self) -> None:
        """Send all that waits."""
        if self._waiting:
            events, self._waiting = self._waiting, []
            self._write(wire.frames(wire.pack(events)))
        self._sent = time.monotonic()

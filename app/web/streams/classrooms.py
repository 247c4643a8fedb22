"""Share the position of a teacher's playhead with a class: opt-in, in memory, and read-only for everybody else."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Final

from ...changes import Changes
from ...errors import NotAllowed, NotFound, TooMany

ROOMS: Final = 500
"""Largest number of open rooms."""
ROOMS_OF_ADDRESS: Final = 20
"""Largest number of open rooms that one address has opened."""
IDLE_SECONDS: Final = 2 * 3600.0
"""Seconds without a new position after which a room closes."""
DESERTED_SECONDS: Final = 600.0
"""Seconds without a new position after which a room that nobody follows may be closed so that another one can open."""
INTERVAL: Final = 0.1
"""Shortest time in seconds between two positions that a listener gets."""
LISTENER_SECONDS: Final = 0.001
"""Seconds that each listener of a room adds to ``INTERVAL``."""
LONGEST: Final = 500
"""Largest number of characters of a position: the query of the page's address."""
HEARTBEAT: Final = 15.0
"""Seconds of silence after which a listener gets a comment, which keeps its connection open."""


class Classroom:
    """One room. ``position`` is the query of the address that the teacher's page shows."""

    def __init__(self, run: str, address: str, now: float) -> None:
        self.run = run
        self.address = address
        self.key = secrets.token_urlsafe(16)
        self.position = ""
        self.moved_at = now
        self.closed = False
        self.listeners = 0
        self.changes = Changes()


class Classrooms:
    """The rooms of a server. They are forgotten when it stops. ``clock`` returns seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rooms: dict[str, Classroom] = {}

    def open(self, run: str, address: str) -> tuple[str, Classroom]:
        """Open a room for a run. Return the room's id and the room.

        If the address or the server has too many rooms, one that nobody follows is closed: see :data:`DESERTED_SECONDS`. Raises
        :class:`TooMany` if there is no such room.
        """
        self._forget()
        own = [id for id, room in self._rooms.items() if room.address == address]
        if (len(own) >= ROOMS_OF_ADDRESS and not self._close_deserted(own)) or (
            len(self._rooms) >= ROOMS and not self._close_deserted(self._rooms)
        ):
            raise TooMany("Too many classrooms are open: close one, or try again later.", retry_after=60.0)
        id = secrets.token_urlsafe(9)
        self._rooms[id] = Classroom(run, address, self._clock())
        return id, self._rooms[id]

    def find(self, id: str) -> Classroom:
        """Return a room. Raises :class:`NotFound` if it is closed."""
        self._forget()
        if (room := self._rooms.get(id)) is None:
            raise NotFound("This classroom is closed. Ask for a new link.")
        return room

    def move(self, id: str, key: str, position: str) -> None:
        """Set the position of a room. Raises :class:`NotAllowed` without its key."""
        room = self._owned(id, key)
        room.position, room.moved_at = position, self._clock()
        room.changes.announce()

    def close(self, id: str, key: str) -> None:
        """Close a room. Raises :class:`NotAllowed` without its key."""
        self._owned(id, key)
        self._close(id)

    async def follow(self, room: Classroom) -> AsyncGenerator[str | None, None]:
        """Yield the position of a room and each new one, ``None`` after a silence, until the room closes.

        A listener gets the newest position a few times a second, and less often if there are many listeners.
        """
        seen: str | None = None
        room.listeners += 1
        try:
            while not room.closed:
                changed = room.changes.next
                if room.position != seen:
                    seen = room.position
                    yield seen
                    await asyncio.sleep(INTERVAL + LISTENER_SECONDS * room.listeners)
                    continue
                try:
                    await asyncio.wait_for(changed.wait(), HEARTBEAT)
                except TimeoutError:
                    self._forget()
                    yield None
        finally:
            room.listeners -= 1

    def _owned(self, id: str, key: str) -> Classroom:
        room = self.find(id)
        if not secrets.compare_digest(room.key.encode(), key.encode()):
            raise NotAllowed("Only the page that opened this classroom can move it.")
        return room

    def _close_deserted(self, among: Iterable[str]) -> bool:
        """Close the room that was moved longest ago and that nobody follows. Return whether there is one."""
        before = self._clock() - DESERTED_SECONDS
        deserted = [id for id in among if not self._rooms[id].listeners and self._rooms[id].moved_at <= before]
        if deserted:
            self._close(min(deserted, key=lambda id: self._rooms[id].moved_at))
        return bool(deserted)

    def _forget(self) -> None:
        oldest = self._clock() - IDLE_SECONDS
        for id in [id for id, room in self._rooms.items() if room.moved_at < oldest]:
            self._close(id)

    def _close(self, id: str) -> None:
        room = self._rooms.pop(id)
        room.closed = True
        room.changes.announce()

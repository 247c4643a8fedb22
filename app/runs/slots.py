"""Share the slots for programs fairly among clients, and estimate how long each caller waits.

A program runs in a slot. Clients take turns (see :mod:`.turns`). Of ``count + 2`` slots, a session uses at most ``count``,
and an address at most ``count + 1``. Endless programs of one client therefore leave a slot free for the next session, and
those of one address leave a slot free for the next address.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Final

from .. import model
from ..errors import Busy, TooMany
from .durations import Durations
from .turns import Client, TurnOrder

ADDRESS_SHARE: Final = 0.75
"""Largest part of the queue that the programs of one address fill."""
QUEUE_BYTES: Final = 64 * 1024 * 1024
"""Largest total size of the programs in the queue, in bytes."""
FRESH_SECONDS: Final = 0.5
"""Seconds for which estimates are reused, because estimating the waits of a full queue takes milliseconds."""


class Ticket:
    """The right of one caller to a slot, now or when its turn comes. Created by :meth:`Slots.admit`."""

    def __init__(self, slots: Slots, client: Client, size: int = 0) -> None:
        self._slots = slots
        self.client = client
        self.size = size
        self.granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the ticket has a slot, or was released."""
        self.began: float | None = None
        """Time at which the ticket got its slot, by the clock of :class:`Slots`."""
        self.released = False

    def position(self) -> model.QueuePosition | None:
        """Return the position in the queue, or ``None`` for a ticket that does not wait."""
        return None if self.granted.done() else self._slots.position(self)


class Slots:
    """The slots in which programs run. Create and use an instance on one event loop.

    Callers use :meth:`admit`, then :meth:`acquire`, and in any case :meth:`release`.

    ``count`` is the number of programs of one session that run at once. ``queue`` and ``per_session`` limit the callers that
    wait in total and of one session. No program runs longer than ``longest`` seconds.
    """

    def __init__(
        self,
        count: int,
        queue: int,
        per_session: int = 32,
        longest: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count = count
        self._queue = queue
        self._per_session = per_session
        self._per_address = math.ceil(queue * ADDRESS_SHARE)
        self._durations = Durations(longest)
        self._clock = clock
        self._estimated = -math.inf
        self._positions: dict[Ticket, model.QueuePosition] = {}
        """The estimates made at the time ``_estimated``, in the order of turns."""
        self._turns: TurnOrder[Ticket] = TurnOrder()
        self._running: set[Ticket] = set()
        self._running_of: Counter[str] = Counter()
        self._running_at: Counter[str] = Counter()
        self._waiting_of: Counter[str] = Counter()
        self._waiting_at: Counter[str] = Counter()
        self._bytes = 0
        self._bytes_at: Counter[str] = Counter()
        self.waiting = 0
        """Number of callers that were admitted and have no slot yet."""

    # -- wait for a slot

    def admit(self, client: Client, size: int = 0) -> Ticket:
        """Add a caller to the queue, with a program of ``size`` bytes. Its ticket has a slot at once if one is free.

        Raises :class:`TooMany` if too many callers of the client's session or address are in the queue, and :class:`Busy` if
        the queue is full.
        """
        self.check_room(client, size)
        ticket = Ticket(self, client, size)
        self._turns.append(ticket)
        self._count_waiting(ticket, 1)
        self._grant()
        return ticket

    async def acquire(self, ticket: Ticket, cancelled: asyncio.Event) -> bool:
        """Wait for a slot. Return whether the caller got one before ``cancelled`` was set."""
        if not ticket.granted.done():
            stopped = asyncio.ensure_future(cancelled.wait())
            try:
                await asyncio.wait((ticket.granted, stopped), return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopped.cancel()
        return ticket.began is not None

    def release(self, ticket: Ticket) -> None:
        """Leave the queue, or free the slot for the next caller. A ticket that was released before is ignored."""
        if ticket.released:
            return
        ticket.released = True
        if ticket.began is None:
            self._turns.remove(ticket)
            self._count_waiting(ticket, -1)
            self._positions = {}
        else:
            self._running.discard(ticket)
            self._count_running(ticket.client, -1)
            self._durations.add(ticket.client.key, self._clock() - ticket.began)
        if not ticket.granted.done():
            ticket.granted.set_result(None)
        self._grant()

    def check_room(self, client: Client, size: int = 0) -> None:
        """Raise the errors of :meth:`admit` if there is no room in the queue for another caller of a client."""
        mine = self._waiting_of[client.key]
        at = self._waiting_at[client.address]
        if client.session is not None and mine >= self._per_session:
            raise self._full(TooMany, f"{mine} of your runs are", lambda ticket: ticket.client.key == client.key)
        if self.waiting >= self._queue or self._bytes + size > QUEUE_BYTES:
            raise self._full(Busy, f"{self.waiting} runs are", lambda _: True)
        if at >= self._per_address or self._bytes_at[client.address] + size > ADDRESS_SHARE * QUEUE_BYTES:
            whose = f"{at} runs from your address are"
            raise self._full(TooMany, whose, lambda ticket: ticket.client.address == client.address)

    def _full(self, error: type[Busy | TooMany], whose: str, concerns: Callable[[Ticket], bool]) -> Busy | TooMany:
        """Return the error for a full queue. A retry may succeed once the first of the concerned tickets has left the queue."""
        concerned = [ticket for ticket in self._turns if concerns(ticket)]
        ends = (concerned[0], concerned[-1]) if concerned else ()  # empty if the setting allows no queue
        first, last = (max(1.0, self.position(ticket).seconds) for ticket in ends) if ends else (1.0, 1.0)
        return error(
            f"{whose} already waiting. The next one starts in about {first:.0f} s, the last one in about {last:.0f} s: "
            f"try again in {math.ceil(first)} s.",
            retry_after=first,
        )

    def _grant(self) -> None:
        """Give every free slot to the first caller in the queue that may use it."""
        while self.waiting and len(self._running) < self._count + 2:
            ticket = next((ticket for ticket in self._turns if self._may_run(ticket.client)), None)
            if ticket is None:
                return
            self._turns.take(ticket)
            self._count_waiting(ticket, -1)
            ticket.began = self._clock()
            self._running.add(ticket)
            self._count_running(ticket.client, 1)
            ticket.granted.set_result(None)

    def _may_run(self, client: Client) -> bool:
        return self._running_of[client.key] < self._count and self._running_at[client.address] <= self._count

    def _count_waiting(self, ticket: Ticket, change: int) -> None:
        self.waiting += change
        self._bytes += change * ticket.size
        _change(self._waiting_of, ticket.client.key, change)
        _change(self._waiting_at, ticket.client.address, change)
        _change(self._bytes_at, ticket.client.address, change * ticket.size)

    def _count_running(self, client: Client, change: int) -> None:
        _change(self._running_of, client.key, change)
        _change(self._running_at, client.address, change)

    # -- estimate how long callers wait

    def position(self, ticket: Ticket) -> model.QueuePosition:
        """Return the position of a waiting ticket, with an estimate of the seconds until it gets a slot."""
        self._estimate(ticket)
        return self._positions[ticket]

    def _estimate(self, ticket: Ticket) -> None:
        """Estimate the waits of all tickets, unless there are fresh estimates that include ``ticket``."""
        fresh = self._clock() < self._estimated + FRESH_SECONDS
        if not fresh or ticket not in self._positions:
            self._estimated = self._clock()
            numbered = enumerate(self._waits(), 1)
            self._positions = {each: model.QueuePosition(at, round(seconds, 1)) for at, (each, seconds) in numbered}

    def _waits(self) -> Iterator[tuple[Ticket, float]]:
        """Yield the waiting tickets in the order of their turns, each with the seconds until it gets a slot.

        All tickets ahead share all slots. Tickets of one session share the slots that a session may use, and tickets of one
        address share the slots that an address may use. The longest of these waits counts.
        """
        now = self._clock()
        running: dict[str, float] = {}
        ahead = 0.0
        ahead_of: defaultdict[str, float] = defaultdict(float)
        ahead_at: defaultdict[str, float] = defaultdict(float)
        for ticket in self._running:
            assert ticket.began is not None
            key, elapsed = ticket.client.key, now - ticket.began
            running[key] = max(running.get(key, 0.0), elapsed)
            left = self._durations.left(key, elapsed)
            ahead += left
            ahead_of[key] += left
            ahead_at[ticket.client.address] += left
        for ticket in self._turns:
            key, address = ticket.client.key, ticket.client.address
            count = self._count
            yield ticket, max(ahead / (count + 2), ahead_of[key] / count, ahead_at[address] / (count + 1))
            seconds = self._durations.expected(key, running.get(key, 0.0))
            ahead += seconds
            ahead_of[key] += seconds
            ahead_at[address] += seconds


def _change(counter: Counter[str], key: str, change: int) -> None:
    """Change a count, and drop it at zero."""
    counter[key] += change
    if not counter[key]:
        del counter[key]

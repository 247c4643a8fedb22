"""Divide the slots in which programs run fairly among clients, and estimate how long each caller waits.

A client is a session at an address. Addresses take turns, and so do the sessions of an address, so that many programs of one
client delay another client by one program. Many people may share an address, so an address with several sessions gets several
turns in a row. ``ADDRESS_TURNS`` limits them, because a caller can make any number of sessions.

Of ``count + 2`` slots, a session uses at most ``count``, and an address at most ``count + 1``. Endless programs of one client
therefore leave a slot free for the next session, and those of one address leave a slot free for the next address.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from .. import model
from ..errors import Busy, TooMany
from .durations import Durations

ADDRESS_TURNS: Final = 8
"""Largest number of turns in a row of one address, whose sessions take them in turn."""
ADDRESS_SHARE: Final = 0.75
"""Largest part of the queue that the programs of one address fill."""
FRESH_SECONDS: Final = 0.5
"""Seconds for which estimates are reused: to estimate the waits of a full queue takes milliseconds."""


@dataclass(frozen=True)
class Client:
    """The origin of a request. Callers without a session share one per address."""

    session: str | None
    """The owner that a cookie or a key identifies, or ``None`` for a request without either."""
    address: str
    """The network address, or a prefix that belongs to one subscriber."""

    @property
    def key(self) -> str:
        """The session, or a name for all callers of the address that have none."""
        return f"anonymous {self.address}" if self.session is None else self.session


class Ticket:
    """The right of one caller to a slot, now or when its turn comes. Created by :meth:`Slots.admit`."""

    def __init__(self, slots: Slots, client: Client) -> None:
        self._slots = slots
        self.client = client
        self.granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the ticket has a slot, or was released."""
        self.began: float | None = None
        """When the ticket got its slot, on the clock of its slots."""
        self.released = False

    def position(self) -> model.QueuePosition | None:
        """Return the position in the queue, or ``None`` for a ticket that does not wait."""
        return None if self.granted.done() else self._slots.position(self)


@dataclass
class _Address:
    """The waiting tickets of one address, by session. Both are in the order of turns."""

    sessions: dict[str, deque[Ticket]] = field(default_factory=dict)
    taken: int = 0
    """Turns taken in a row."""

    def turns(self, anonymous: str) -> int:
        """Return how many turns in a row the address gets: one for each session, where each anonymous caller counts."""
        return min(ADDRESS_TURNS, len(self.sessions) + max(0, len(self.sessions.get(anonymous, ())) - 1))


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
        self._addresses: dict[str, _Address] = {}
        self._running: set[Ticket] = set()
        self._running_of: Counter[str] = Counter()
        self._running_at: Counter[str] = Counter()
        self._waiting_of: Counter[str] = Counter()
        self._waiting_at: Counter[str] = Counter()
        self.waiting = 0
        """Number of callers that were admitted and have no slot yet."""

    # -- wait for a slot

    def admit(self, client: Client) -> Ticket:
        """Add a caller to the queue. Its ticket has a slot at once if one is free.

        Raises :class:`TooMany` if the client has too many callers in the queue, and :class:`Busy` if the queue is full.
        """
        self.check_room(client)
        ticket = Ticket(self, client)
        sessions = self._addresses.setdefault(client.address, _Address()).sessions
        sessions.setdefault(client.key, deque()).append(ticket)
        self._count_waiting(client, 1)
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
            self._leave(ticket)
            self._positions = {}
        else:
            self._running.discard(ticket)
            self._count_running(ticket.client, -1)
            self._durations.add(ticket.client.key, self._clock() - ticket.began)
        if not ticket.granted.done():
            ticket.granted.set_result(None)
        self._grant()

    def check_room(self, client: Client) -> None:
        """Raise the errors of :meth:`admit` if there is no room in the queue for another caller of a client."""
        mine = self._waiting_of[client.key]
        at = self._waiting_at[client.address]
        if client.session is not None and mine >= self._per_session:
            raise self._full(TooMany, f"{mine} of your runs are", lambda ticket: ticket.client.key == client.key)
        if self.waiting >= self._queue:
            raise self._full(Busy, f"{self.waiting} runs are", lambda _: True)
        if at >= self._per_address:
            whose = f"{at} runs from your address are"
            raise self._full(TooMany, whose, lambda ticket: ticket.client.address == client.address)

    def _full(self, error: type[Busy | TooMany], whose: str, concerns: Callable[[Ticket], bool]) -> Busy | TooMany:
        """Return the error for a full queue. A retry makes sense once the first of the concerned tickets has left it."""
        concerned = [ticket for ticket in self._order() if concerns(ticket)]
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
            ticket = next((ticket for ticket in self._order() if self._may_run(ticket.client)), None)
            if ticket is None:
                return
            self._take_turn(ticket)
            self._leave(ticket)
            ticket.began = self._clock()
            self._running.add(ticket)
            self._count_running(ticket.client, 1)
            ticket.granted.set_result(None)

    def _may_run(self, client: Client) -> bool:
        return self._running_of[client.key] < self._count and self._running_at[client.address] <= self._count

    def _take_turn(self, ticket: Ticket) -> None:
        """Move a session to the end of its address, and the address to the end once it has taken its turns."""
        name, key = ticket.client.address, ticket.client.key
        address = self._addresses[name]
        turns = address.turns(f"anonymous {name}")
        address.sessions[key] = address.sessions.pop(key)
        address.taken += 1
        if address.taken >= turns:
            address.taken = 0
            self._addresses[name] = self._addresses.pop(name)

    def _leave(self, ticket: Ticket) -> None:
        name, key = ticket.client.address, ticket.client.key
        sessions = self._addresses[name].sessions
        sessions[key].remove(ticket)
        if not sessions[key]:
            del sessions[key]
        if not sessions:
            del self._addresses[name]
        self._count_waiting(ticket.client, -1)

    def _count_waiting(self, client: Client, change: int) -> None:
        self.waiting += change
        _change(self._waiting_of, client.key, change)
        _change(self._waiting_at, client.address, change)

    def _count_running(self, client: Client, change: int) -> None:
        _change(self._running_of, client.key, change)
        _change(self._running_at, client.address, change)

    def _order(self) -> Iterator[Ticket]:
        """Yield the waiting tickets in the order of their turns. Slots that a client has already do not matter here."""
        addresses = deque(
            (name, _Address({key: deque(tickets) for key, tickets in address.sessions.items()}, address.taken))
            for name, address in self._addresses.items()
        )
        while addresses:
            name, address = addresses.popleft()
            turns = address.turns(f"anonymous {name}")
            key = next(iter(address.sessions))
            tickets = address.sessions.pop(key)
            yield tickets.popleft()
            address.taken += 1
            if tickets:
                address.sessions[key] = tickets
            if address.taken < turns and address.sessions:
                addresses.appendleft((name, address))
            elif address.sessions:
                address.taken = 0
                addresses.append((name, address))

    # -- estimate how long callers wait

    def position(self, ticket: Ticket) -> model.QueuePosition:
        """Return the position of a waiting ticket, with an estimate of the seconds until it gets a slot."""
        self._estimate(ticket)
        return self._positions[ticket]

    def _estimate(self, ticket: Ticket) -> None:
        """Estimate the waits of all tickets, unless there are fresh estimates, which include ``ticket``."""
        fresh = self._clock() < self._estimated + FRESH_SECONDS
        if not fresh or ticket not in self._positions:
            self._estimated = self._clock()
            numbered = enumerate(self._waits(), 1)
            self._positions = {each: model.QueuePosition(at, round(seconds, 1)) for at, (each, seconds) in numbered}

    def _waits(self) -> Iterator[tuple[Ticket, float]]:
        """Yield the waiting tickets in the order of their turns, each with the seconds until it gets a slot.

        All tickets ahead share all slots. The tickets ahead from the same session or address share the slots that it may use.
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
        for ticket in self._order():
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

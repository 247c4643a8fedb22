"""Order waiting callers by turns: addresses take turns, and so do the sessions of an address.

Many people may share an address, so an address with several sessions gets several turns in a row. There are at most
``ADDRESS_TURNS``, because one caller can get a new session with every request.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

ADDRESS_TURNS: Final = 8
"""Largest number of turns in a row of one address. Its sessions share these turns."""


@dataclass(frozen=True)
class Client:
    """The origin of a request.

    Callers without a session can't be distinguished reliably. At one address, such callers share a session if they send the
    same request.
    """

    session: str | None
    """The owner that a cookie or a key identifies, or ``None`` for a request without either."""
    address: str
    """The network address, or a prefix that belongs to one subscriber."""
    asked: str = ""
    """A digest of what a caller without a session asked for."""

    @property
    def key(self) -> str:
        """The session, or a name for all callers of the address that have no session and sent the same request."""
        return f"anonymous {self.address} {self.asked}" if self.session is None else self.session


class _Waiting(Protocol):
    @property
    def client(self) -> Client:
        """The client that waits."""


T = TypeVar("T", bound=_Waiting)


@dataclass
class _Address(Generic[T]):
    """The waiting callers of one address, by session. Sessions, and the callers of each, are in the order of their turns."""

    sessions: dict[str, deque[T]] = field(default_factory=dict)
    taken: int = 0
    """Number of turns taken in a row."""

    def turns(self) -> int:
        """Return how many turns in a row the address gets: one for each session, and one for each caller without a session."""
        turns = 0
        for waiting in self.sessions.values():
            turns += len(waiting) if waiting[0].client.session is None else 1
            if turns >= ADDRESS_TURNS:
                return ADDRESS_TURNS
        return turns


class TurnOrder(Generic[T]):
    """The waiting callers, in the order of their turns."""

    def __init__(self) -> None:
        self._addresses: dict[str, _Address[T]] = {}

    def __iter__(self) -> Iterator[T]:
        addresses = deque(
            (name, _Address({key: deque(waiting) for key, waiting in address.sessions.items()}, address.taken))
            for name, address in self._addresses.items()
        )
        while addresses:
            name, address = addresses.popleft()
            turns = address.turns()
            key = next(iter(address.sessions))
            waiting = address.sessions.pop(key)
            yield waiting.popleft()
            address.taken += 1
            if waiting:
                address.sessions[key] = waiting
            if address.taken < turns and address.sessions:
                addresses.appendleft((name, address))
            elif address.sessions:
                address.taken = 0
                addresses.append((name, address))

    def append(self, waiting: T) -> None:
        """Add a caller at the end of its session."""
        sessions = self._addresses.setdefault(waiting.client.address, _Address()).sessions
        sessions.setdefault(waiting.client.key, deque()).append(waiting)

    def take(self, waiting: T) -> None:
        """Remove a caller whose turn it is, and put its session behind the other sessions of its address.

        When the address has used all its turns in a row, it goes behind the other addresses.
        """
        name, key = waiting.client.address, waiting.client.key
        address = self._addresses[name]
        turns = address.turns()
        address.sessions[key] = address.sessions.pop(key)
        address.taken += 1
        if address.taken >= turns:
            address.taken = 0
            self._addresses[name] = self._addresses.pop(name)
        self.remove(waiting)

    def remove(self, waiting: T) -> None:
        """Remove a caller that no longer waits."""
        name, key = waiting.client.address, waiting.client.key
        sessions = self._addresses[name].sessions
        sessions[key].remove(waiting)
        if not sessions[key]:
            del sessions[key]
        if not sessions:
            del self._addresses[name]

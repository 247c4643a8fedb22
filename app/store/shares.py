"""Choose which runs are deleted from a full store, so that it is shared fairly between sessions and addresses.

A session is the owner of runs. A caller without a cookie gets a new session with each run, so sessions at one address count
together. Many people may share an address, so an address with several sessions gets several shares. It gets at most
:data:`ADDRESS_SHARES`, because one caller can get a new session with every request.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Any, Final

from sqlalchemy import Connection, Select, func, select

from .. import model
from .schema import runs

ADDRESS_SHARES: Final = 8
"""Largest number of shares of one address."""


def leaving(connection: Connection, excess: int, exempt: Collection[str]) -> list[int]:
    """Return the numbers of the runs to delete. They free ``excess`` bytes, or as many bytes as possible.

    The oldest run of the largest session at the address with the most bytes per share goes first. A session's pinned runs
    follow its other runs: nobody gets a larger share by pinning. Runs in progress, and those of the owners in ``exempt``, stay.
    """
    sizes: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for row in connection.execute(_sizes(exempt)):
        sizes[row.place][row.owner] = row.bytes
    oldest: dict[tuple[str, str], Iterator[tuple[int, int]]] = {}
    chosen: list[int] = []
    while excess > 0 and sizes:
        place = max(sizes, key=lambda each: sum(sizes[each].values()) / min(len(sizes[each]), ADDRESS_SHARES))
        sessions = sizes[place]
        owner = max(sessions, key=lambda each: sessions[each])
        if (place, owner) not in oldest:
            oldest[place, owner] = iter([(row.number, row.recording_bytes) for row in connection.execute(_runs(place, owner))])
        run = next(oldest[place, owner], None)
        if run is None:
            del sessions[owner]
            if not sessions:
                del sizes[place]
            continue
        number, size = run
        chosen.append(number)
        excess -= size
        sessions[owner] -= size
    return chosen


def _sizes(exempt: Collection[str]) -> Select[Any]:
    return (
        select(
            func.coalesce(runs.c.address, runs.c.owner).label("place"),
            runs.c.owner,
            func.sum(runs.c.recording_bytes).label("bytes"),
        )
        .where(runs.c.status.in_(model.FINAL), runs.c.owner.not_in(exempt))
        .group_by("place", runs.c.owner)
    )


def _runs(place: str, owner: str) -> Select[Any]:
    """Select the runs of a session at an address, oldest first, the pinned ones at the end."""
    return (
        select(runs.c.number, runs.c.recording_bytes)
        .where(runs.c.status.in_(model.FINAL), runs.c.owner == owner, func.coalesce(runs.c.address, runs.c.owner) == place)
        .order_by(runs.c.pinned, runs.c.created, runs.c.number)
    )

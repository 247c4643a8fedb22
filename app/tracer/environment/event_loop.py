"""Let ``asyncio.run`` work where there are no sockets: with an event loop that waits by ``select`` alone."""

from __future__ import annotations

import asyncio
import select
import selectors
import socket
from collections.abc import Iterator
from contextlib import contextmanager


class SelectEventLoop(asyncio.SelectorEventLoop):
    """An event loop without the pair of sockets by which other threads and signals wake one: there are none here."""

    def __init__(self) -> None:
        super().__init__(selectors.SelectSelector())

    def _make_self_pipe(self) -> None: ...

    def _close_self_pipe(self) -> None: ...

    def _write_to_self(self) -> None: ...


class EventLoopPolicy(asyncio.DefaultEventLoopPolicy):
    """Makes loops as Python does where it can, else :class:`SelectEventLoop`."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return super().new_event_loop() if _ordinary() else SelectEventLoop()


@contextmanager
def install_event_loops() -> Iterator[None]:
    """Have event loops made by :class:`EventLoopPolicy`, while this lasts."""
    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(EventLoopPolicy())
    try:
        yield
    finally:
        asyncio.set_event_loop_policy(before)


def _ordinary() -> bool:
    """Whether this process may have what an ordinary loop needs."""
    try:
        if hasattr(select, "epoll"):
            select.epoll().close()
        for end in socket.socketpair():
            end.close()
    except PermissionError:
        return False
    return True

"""Make ``asyncio.run`` work without sockets, with an event loop that waits with ``select``."""

from __future__ import annotations

import asyncio
import select
import selectors
import socket
from collections.abc import Iterator
from contextlib import contextmanager


class SelectEventLoop(asyncio.SelectorEventLoop):
    """An event loop without the socket pair that other threads and signals use to wake it. The sandbox forbids sockets."""

    def __init__(self) -> None:
        super().__init__(selectors.SelectSelector())

    def _make_self_pipe(self) -> None: ...

    def _close_self_pipe(self) -> None: ...

    def _write_to_self(self) -> None: ...


class EventLoopPolicy(asyncio.DefaultEventLoopPolicy):
    """Creates Python's default event loops where possible, else :class:`SelectEventLoop`."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return super().new_event_loop() if _ordinary() else SelectEventLoop()


@contextmanager
def install_event_loops() -> Iterator[None]:
    """Create event loops with :class:`EventLoopPolicy` inside the ``with`` block."""
    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(EventLoopPolicy())
    try:
        yield
    finally:
        asyncio.set_event_loop_policy(before)


def _ordinary() -> bool:
    """Return whether this process may use ``epoll`` and sockets, which a default loop needs."""
    try:
        if hasattr(select, "epoll"):
            select.epoll().close()
        for end in socket.socketpair():
            end.close()
    except PermissionError:
        return False
    return True

"""Find out who sends a request and when the sender has left, to share slots, memory and connections fairly."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Coroutine
from typing import Any, Final

from fastapi import Request
from starlette.types import Scope

from ...runs.turns import Client

NETWORK_BITS: Final = 64
"""Prefix length of IPv6 networks that count as one client, because one subscriber can use a whole network (RFC 6177)."""


def address_of(host: str) -> str:
    """Return the key of all callers at a network address: the address itself, or the prefix of an IPv6 address.

    >>> address_of("192.0.2.7"), address_of("::ffff:192.0.2.7"), address_of("2001:db8:1:2:3:4:5:6"), address_of("testclient")
    ('192.0.2.7', '192.0.2.7', '2001:db8:1:2::/64', 'testclient')
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((address, NETWORK_BITS), strict=False))
    return str(address)


def sender_of(scope: Scope) -> str:
    """Return the address of a request's sender. A proxy that the server trusts names it in ``X-Forwarded-For``."""
    client = scope.get("client")
    return address_of(client[0]) if client else ""


def client_of(request: Request, owner: str | None, asked: str = "") -> Client:
    """Return the client that sent a request.

    ``owner`` is the owner that a cookie or key of the request identifies, or ``None`` without either. ``asked`` is a text
    that identifies the request's content, to distinguish callers without an owner.
    """
    return Client(owner, sender_of(request.scope), asked)


async def wait_unless_left(request: Request, ends: Coroutine[Any, Any, object], seconds: float | None) -> bool:
    """Wait until ``ends`` returns, at most ``seconds``. Return ``False`` as soon as the sender of the request has left.

    The body of the request must have been read. Exceptions of ``ends`` are raised here.
    """
    ending, leaving = asyncio.ensure_future(ends), asyncio.ensure_future(_until_left(request))
    try:
        await asyncio.wait((ending, leaving), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            ending.result()
            return True
        return not leaving.done()
    finally:
        for task in (ending, leaving):
            task.cancel()
        await asyncio.gather(ending, leaving, return_exceptions=True)


async def _until_left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass

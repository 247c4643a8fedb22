"""Refuse what nobody asks for: a parameter of an address that its route does not know."""

from __future__ import annotations

from fastapi import Request
from fastapi.routing import APIRoute

from ..errors import InvalidInput


async def known_only(request: Request) -> None:
    """Raise :class:`InvalidInput` for an unknown parameter, naming those that there are: unseen, it would seem to be heeded."""
    route = request.scope.get("route")
    if request.method not in ("GET", "HEAD") or not isinstance(route, APIRoute):
        return  # a POST reads its own
    known = sorted(field.alias for field in route.dependant.query_params)
    for name in request.query_params:
        if name not in known:
            remedy = f"take {', '.join(known)}" if known else "it has none"
            raise InvalidInput(f"This address has no parameter {name[:40]!r}: {remedy}.", where=f"query.{name[:40]}")

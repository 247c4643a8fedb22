"""Read and check the parts of a request: its body, its headers, its query parameters, and ids in its path."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from fastapi import Request
from fastapi.routing import APIRoute

from ..errors import InvalidInput, NotFound, TooLarge, UnsupportedMedia

MOST_SECONDS: Final = 60.0
"""The longest wait that ``Prefer: wait=N`` can request."""


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body of a request.

    Raises :class:`TooLarge` as soon as the body is known to exceed ``limit`` bytes, before all of it has arrived.
    """
    length = request.headers.get("content-length", "")
    stated = int(length) if length.isascii() and length.isdigit() and len(length) <= 15 else None
    if (len(length) > 15 and stated is None) or (stated is not None and stated > limit):
        size = "" if stated is None else f" of {stated:,} bytes"
        raise TooLarge(f"The body{size} is larger than the limit of {limit:,} bytes: send less.", where="body")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise TooLarge(f"The body is larger than the limit of {limit:,} bytes: send less.", where="body")
    return bytes(body)


def require_json(request: Request) -> None:
    """Raise :class:`UnsupportedMedia` unless the media type is JSON.

    Pages of other sites cannot send JSON without asking the server first.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise UnsupportedMedia("The Content-Type of this request must be application/json: send JSON with this Content-Type.")


def preferred_form(accept: str) -> str:
    """Return the form of a run that an ``Accept`` header prefers: ``json``, ``svg`` or ``txt``.

    >>> preferred_form("image/svg+xml"), preferred_form("image/*"), preferred_form("*/*")
    ('svg', 'svg', 'json')
    >>> preferred_form("text/plain;q=0.5, application/json")
    'json'
    """
    best, chosen = 0.0, "json"
    for part in accept.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        try:
            weight = next((float(each[2:]) for each in parameters if each.startswith("q=")), 1.0)
        except ValueError:
            weight = 0.0
        form = {
            "application/json": "json", "application/*": "json", "*/*": "json",
            "image/svg+xml": "svg", "image/*": "svg", "text/plain": "txt", "text/*": "txt",
        }.get(kind)  # fmt: skip
        if form is not None and weight > best:
            best, chosen = weight, form
    return chosen


def seconds_to_wait(prefer: str) -> float | None:
    """Return the ``wait`` of a ``Prefer`` header in seconds (RFC 7240), or ``None`` if it has none.

    >>> seconds_to_wait("respond-async, wait=2"), seconds_to_wait("wait=soon"), seconds_to_wait("wait=100000")
    (2.0, None, 60.0)
    """
    for preference in prefer.split(","):
        name, _, value = preference.partition(";")[0].strip().partition("=")
        value = value.strip(' "')
        if name.strip().lower() == "wait" and value.isascii() and value.isdigit():
            return min(float(value[:10]), MOST_SECONDS)
    return None


def idempotency_key(request: Request, owner: str | None, fingerprint: str) -> str | None:
    """Return the ``Idempotency-Key``, made unique to the caller, or ``None`` without the header.

    Callers without an owner key share a key only if their requests have the same fingerprint.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not key or len(key) > 200:
        raise InvalidInput("An Idempotency-Key has 1 to 200 characters.", where="Idempotency-Key")
    digest = hashlib.blake2b(f"{owner or fingerprint}\n{key}".encode(), digest_size=24).digest()
    return base64.urlsafe_b64encode(digest).decode()


def index_of(text: str, letter: str, what: str) -> int:
    """Return the number in an id such as ``g0``. Raises :class:`NotFound` if ``text`` is not such an id."""
    digits = text.removeprefix(letter)
    if text.startswith(letter) and digits.isascii() and digits.isdigit() and len(digits) < 10:
        return int(digits)
    raise NotFound(f"There is no {what} {text[:40]!r}: ids are {letter}0, {letter}1 and so on.")


async def reject_unknown_parameters(request: Request) -> None:
    """Raise :class:`InvalidInput`, which lists the parameters of the route, for a query parameter that the route lacks.

    Without this check, a misspelt parameter would be ignored silently.
    """
    route = request.scope.get("route")
    if request.method not in ("GET", "HEAD") or not isinstance(route, APIRoute):
        return  # the route of a POST checks its own parameters
    parameters = sorted(field.alias for field in route.dependant.query_params)
    for name in request.query_params:
        if name not in parameters:
            remedy = f"use {', '.join(parameters)}" if parameters else "it has none"
            raise InvalidInput(f"This address has no parameter {name[:40]!r}: {remedy}.", where=f"query.{name[:40]}")

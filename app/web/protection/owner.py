"""Identify callers: browsers by a signed cookie, programs by the key that they received once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from pathlib import Path
from typing import Final

from fastapi import Request
from itsdangerous import BadSignature, Signer
from starlette.responses import Response

from ...errors import NotAllowed
from .access import is_cross_site

COOKIE: Final = "tapedeck_owner"
YEAR: Final = 365 * 86_400
"""Seconds for which a browser keeps the cookie."""


class Owners:
    """Create and verify owners of runs. An owner is 128 random bits and identifies no person."""

    def __init__(self, secret: str) -> None:
        self._secret = hashlib.sha256(secret.encode()).digest()
        self._signer = Signer(secret, salt="tapedeck.owner", digest_method=_sha256)

    def identify(self, request: Request) -> str | None:
        """Return the owner that a request identifies, or ``None``.

        Raises :class:`NotAllowed` for a bearer key that this server did not sign. An invalid cookie is ignored.
        """
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            owner = self._read(key.strip())
            if owner is None:
                raise NotAllowed("This owner_key was not issued by this server: send the key unchanged, or leave it out.")
            return owner
        return self._read(request.cookies.get(COOKIE, ""))

    def new(self) -> tuple[str, str]:
        """Return a new owner and its key."""
        owner = secrets.token_hex(16)
        return owner, self.key(owner)

    def key(self, owner: str) -> str:
        """Return the key that identifies an owner."""
        return self._signer.sign(owner).decode()

    def digest(self, address: str) -> str:
        """Return a digest of a network address, from which nobody without the secret can find out the address."""
        return hashlib.blake2b(address.encode(), key=self._secret, digest_size=16).hexdigest()

    def _read(self, key: str) -> str | None:
        try:
            return self._signer.unsign(key).decode()
        except (BadSignature, UnicodeError):
            return None


def set_owner_cookie(response: Response, request: Request, key: str, root: str) -> None:
    """Set the cookie that identifies a browser, unless a page of another site sent the request.

    A browser leaves its cookie out of such a request, and a new cookie would replace the browser's.
    """
    if is_cross_site(request.headers):
        return
    response.set_cookie(
        COOKIE, key, max_age=YEAR, path=root or "/", httponly=True, samesite="lax", secure=request.url.scheme == "https"
    )


def secret_in(folder: Path) -> str:
    """Return the secret stored in a folder, creating it on first use."""
    path = folder / "secret"
    with contextlib.suppress(FileNotFoundError):
        if secret := path.read_text().strip():
            return secret
    secret = secrets.token_urlsafe(32)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret)
    return secret


def _sha256(data: bytes = b"") -> object:
    return hashlib.sha256(data)

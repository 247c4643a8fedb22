"""Tell who asks: a signed cookie in a browser, or the key that a program was given once."""

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

from ..errors import NotAllowed

COOKIE: Final = "tapedeck_owner"
YEAR: Final = 365 * 86_400


class Owners:
    """Signs and checks who owns runs; an owner is 128 random bits, and stands for nobody in particular."""

    def __init__(self, secret: str) -> None:
        self._signer = Signer(secret, salt="tapedeck.owner", digest_method=_sha256)

    def known(self, request: Request) -> str | None:
        """The owner that a request says it is. A key of another server raises :class:`NotAllowed`; a cookie is passed over."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            owner = self._read(key.strip())
            if owner is None:
                raise NotAllowed("The owner_key is none of this server's: send it as it was answered, or leave it out.")
            return owner
        return self._read(request.cookies.get(COOKIE, ""))

    def new(self) -> tuple[str, str]:
        """A new owner, and the key by which it is known again."""
        owner = secrets.token_hex(16)
        return owner, self.key(owner)

    def key(self, owner: str) -> str:
        """The key of an owner."""
        return self._signer.sign(owner).decode()

    def _read(self, key: str) -> str | None:
        try:
            return self._signer.unsign(key).decode()
        except (BadSignature, UnicodeError):
            return None


def remember(response: Response, request: Request, key: str, root: str) -> None:
    """Give a browser the cookie that it is known again by."""
    response.set_cookie(
        COOKIE, key, max_age=YEAR, path=root or "/", httponly=True, samesite="lax", secure=request.url.scheme == "https"
    )


def secret_in(folder: Path) -> str:
    """The secret kept in a folder; made there if there is none."""
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

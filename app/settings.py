"""Read the settings from environment variables."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from typing import Any, get_type_hints

import platformdirs
from msgspec import Struct, convert, field
from msgspec import ValidationError as MsgspecError

from .model import Limits

PREFIX = "TAPEDECK_"


class Settings(Struct, frozen=True):
    """The settings of a server. Each field is set by the environment variable ``TAPEDECK_<FIELD>``.

    The fields of ``limits`` are set by ``TAPEDECK_LIMIT_<FIELD>``.
    """

    data: str = field(default_factory=lambda: platformdirs.user_data_dir("tapedeck"))
    """Folder of the store. ``:memory:`` keeps recordings in memory until the server stops."""
    secret: str = ""
    """Secret that signs owners' cookies. If empty, one is generated and saved in the data folder."""
    root_path: str = ""
    """Path under which a proxy serves Tapedeck, such as ``/tapedeck``."""
    dot: str = ""
    """Path of the Graphviz ``dot`` to use instead of the one in the wheel."""
    children: int = 0
    """Number of idle sandboxed processes that are kept ready; 0 means two per core."""
    concurrent: int = 0
    """Number of programs of one session that run at once; 0 means one per core. One more runs for another session of the
    same address, and one more for another address."""
    queue: int = 512
    """Number of runs that may wait in the queue. Further runs are rejected with 503. One address may fill three quarters of
    the queue; its further runs are rejected with 429."""
    queue_per_session: int = 32
    """Number of runs of one session that may wait in the queue. Further runs are rejected with 429."""
    keep_days: float = 30.0
    """Days until a run is deleted; 0 keeps runs forever."""
    unconfined: bool = False
    """Run programs without a sandbox. Only for your own code, on a loopback address."""
    limits: Limits = Limits()
    streams: int = 2_000
    """Number of event streams that may be open at once. Further ones are rejected with 429."""
    streams_of_run: int = 600
    """Number of event streams of one run."""
    streams_of_address: int = 400
    """Number of event streams to one address. Many people may share an address, for example on a campus."""
    token: str = ""
    """Token that every request needs, as ``?token=…``, cookie or header ``Tapedeck-Token``. If empty, only a server without a
    sandbox needs one, which is generated and printed."""
    allowed_hosts: str = ""
    """Names that requests may use for the server, separated by commas. If empty, any. Without a sandbox, the names of this
    machine are allowed, and no others if empty."""
    trusted_proxies: str = "127.0.0.1,::1"
    """Addresses and networks of proxies whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are believed, such as
    ``10.0.0.0/8``."""
    metrics: bool = True
    """Whether ``/metrics`` is served."""


class SettingsError(ValueError):
    """A setting has an invalid value."""


def read(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of an environment.

    >>> read({"TAPEDECK_CHILDREN": "3", "TAPEDECK_LIMIT_WALL_SECONDS": "5"}).limits.wall_seconds
    5.0

    Raises :class:`SettingsError`, which names the variable.
    """
    limits = _fields(Limits, f"{PREFIX}LIMIT_", environment)
    fields = _fields(Settings, PREFIX, environment, skip={"limits"})
    return Settings(**fields, limits=Limits(**limits))


def _fields(kind: type[Struct], prefix: str, environment: Mapping[str, str], skip: set[str] | None = None) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, annotation in zip(kind.__struct_fields__, _types(kind), strict=True):
        text = environment.get(prefix + name.upper())
        if text is None or (skip and name in skip):
            continue
        try:
            values[name] = convert(text, annotation, strict=False)
        except MsgspecError as error:
            raise SettingsError(f"{prefix}{name.upper()}={text!r}: {error}") from error
    return values


def _types(kind: type[Struct]) -> list[type]:
    hints = get_type_hints(kind)
    return [hints[name] for name in kind.__struct_fields__]


def is_loopback(host: str) -> bool:
    """Return whether a host is a name or an address of the machine itself.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("")
    (True, True, True, False, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

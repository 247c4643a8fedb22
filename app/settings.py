"""Read the settings from environment variables."""

from __future__ import annotations

import ipaddress
import math
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final, get_type_hints

import platformdirs
from msgspec import Struct, convert, field
from msgspec import ValidationError as MsgspecError

from .model import Limits

PREFIX = "TAPEDECK_"
CGROUPS: Final = Path("/sys/fs/cgroup")
CGROUP_OF_PROCESS: Final = Path("/proc/self/cgroup")


class ConnectionLimits(Struct, frozen=True):
    """The limits of HTTP connections, for a server that no proxy protects."""

    header_seconds: float = 30.0
    """Time in which a client must send the headers of a request. A new connection must begin a request in this time too."""
    body_seconds: float = 30.0
    """Time in which a client must send the body of a request. It is prolonged by a second for every 16 KiB received."""
    idle_seconds: float = 75.0
    """Time after which an idle connection is closed. It must be longer than the idle time of a proxy in front of it, or the
    proxy will reuse closed connections."""
    write_seconds: float = 30.0
    """Time in which a client must read all that was sent, or at least 1 KiB for each second. Otherwise it is disconnected."""
    most: int = 2048
    """Number of connections. Further ones are refused with 503."""
    most_per_address: int = 1024
    """Number of connections of one address. Further ones are refused with 429. A proxy counts as one address."""
    body_bytes: int = 64 * 1024 * 1024
    """Size of all bodies that are being received. Bytes beyond it are refused with 503."""
    body_bytes_per_address: int = 32 * 1024 * 1024
    """Size of the bodies that are being received from one address. Bytes beyond it are refused with 429."""


class Settings(Struct, frozen=True):
    """The settings of a server. Each field is set by the environment variable ``TAPEDECK_<FIELD>``.

    The fields of ``limits`` are set by ``TAPEDECK_LIMIT_<FIELD>``, those of ``connections`` by ``TAPEDECK_CONNECTION_<FIELD>``.
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
    """Number of idle sandboxed processes that are kept ready; 0 means two per core that the server may use."""
    concurrent: int = 0
    """Number of programs of one session that run at once; 0 means one per core that the server may use. One more runs for
    another session of the same address, and one more for another address."""
    queue: int = 512
    """Number of runs that may wait in the queue. Further runs are rejected with 503. One address may fill three quarters of
    the queue; its further runs are rejected with 429."""
    queue_per_session: int = 32
    """Number of runs of one session that may wait in the queue. Further runs are rejected with 429."""
    durable: bool = True
    """Wait until the disk has stored a run, so that a power failure loses no run. With 0, a run takes about half the time."""
    memory_mb: int = 512
    """Memory for the recordings of live and recent runs, in MB. Ended runs are dropped first. They are read from the store."""
    programs_memory_mb: int = 0
    """Memory of all running programs together, in MB. If they use more, the largest program of the client that uses the most is
    stopped. 0 means the memory of the machine or container minus 1,024 MB, but at least a quarter of that memory.
    """
    programs_cpus: float = 0.0
    """Cores that all running programs may use together, where the machine delegates a control group to the server, as systemd
    does with ``Delegate=yes``. 0 means all cores; the server then has twice the weight of the programs."""
    keep_days: float = 30.0
    """Days until a run is deleted; 0 keeps runs forever."""
    unconfined: bool = False
    """Run programs without a sandbox. Only for your own code, on a loopback address."""
    lessons: str = ""
    """Folder of your own lessons, which are shown after those of Tapedeck. A lesson replaces Tapedeck's lesson
    with the same id."""
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
    """Names that requests may use for the server, separated by commas. If empty, any name is allowed. Without a sandbox, the
    names of this machine are always allowed; if the setting is empty, only those are."""
    trusted_proxies: str = "127.0.0.1,::1"
    """Addresses and networks of proxies whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are trusted, such as
    ``10.0.0.0/8``."""
    embed_in: str = "*"
    """Origins of the pages that may show a run in a frame (``/embed/…``), separated by commas, such as
    ``https://course.example``. ``*`` allows every page; if empty, no page may."""
    metrics: bool = True
    """Whether ``/metrics`` is served."""
    record_examples: bool = True
    """Record all examples and the programs of the lessons after the start, one after another, in about half a minute of
    processor time. A store that has them is not changed. With 0, each is recorded when somebody first opens it."""
    connections: ConnectionLimits = ConnectionLimits()


class SettingsError(ValueError):
    """A setting has an invalid value."""


def read(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of an environment.

    >>> read({"TAPEDECK_CHILDREN": "3", "TAPEDECK_LIMIT_WALL_SECONDS": "5"}).limits.wall_seconds
    5.0

    Raises :class:`SettingsError`, which names the variable.
    """
    limits = _fields(Limits, f"{PREFIX}LIMIT_", environment)
    connections = _fields(ConnectionLimits, f"{PREFIX}CONNECTION_", environment)
    fields = _fields(Settings, PREFIX, environment, skip={"limits", "connections"})
    return Settings(**fields, limits=Limits(**limits), connections=ConnectionLimits(**connections))


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


def cores() -> int:
    """Return how many cores this process may use.

    These are the cores of the machine, or fewer if the process is bound to some of them, or if its control group (version 2),
    for example that of a container, limits its CPU time.
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(available, _cpu_quota())))


def _cpu_quota() -> float:
    """Return the CPU seconds per second that the control groups of this process allow, infinity if they set no limit."""
    try:
        own = next(line.strip() for line in CGROUP_OF_PROCESS.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return math.inf
    path, least = PurePosixPath(own.removeprefix("0::/")), math.inf
    for folder in (path, *path.parents):
        try:
            quota, period = map(float, (CGROUPS / folder / "cpu.max").read_text().replace("max", "inf").split())
        except (OSError, ValueError):
            continue
        least = min(least, quota / period)
    return least

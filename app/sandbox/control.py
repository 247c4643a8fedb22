"""Say what the pool and its zygote tell each other over their control socket, one message a packet.

The zygote holds no secrets and sees no program, so its word is taken; it is still decoded against a schema.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import Struct

from ..wire.catalogue import OptimizerCatalogue

Mode = Literal["full", "nofiles", "none"]
"""How a child is confined: by seccomp and Landlock, by seccomp alone with no file at all, or not."""

PACKET: Final = 64 * 1024
JOB_FD: Final = 3
EVENTS_FD: Final = 4
"""Where a child finds its pipes."""


class Plan(Struct, frozen=True):
    """What a zygote is started with."""

    entry: str
    """Module with ``preload()`` and ``execute(job, write)``."""
    mode: Mode | None
    """``None`` is the best that this machine has."""
    memory_bytes: int
    """Address space of a program, beyond what the zygote itself has."""
    cpu_seconds: int
    """A backstop: the wall clock is the pool's."""
    stack_bytes: int = 256 * 1024 * 1024
    drop_uid: bool = True
    """Whether to give up root's uid where the interpreter stays readable."""
    path: tuple[str, ...] = ()
    """Further folders to import ``entry`` from (a test's)."""


class Spawn(Struct, frozen=True, tag=True):
    """Fork a child; its two pipes come along. A ``probe`` tries to get out, instead of running a program."""

    token: int
    probe: bool = False


class Ready(Struct, frozen=True, tag=True):
    """The zygote has loaded everything."""

    mode: Mode
    notes: list[str]
    """Sentences about how it is confined, for the log and ``tapedeck doctor``."""
    optimizers: OptimizerCatalogue
    """The optimizers of the installed PyTorch."""


class Spawned(Struct, frozen=True, tag=True):
    """A child was forked; its pidfd comes along."""

    token: int
    pid: int


class Gone(Struct, frozen=True, tag=True):
    """A child is dead and reaped.

    ``status`` is that of ``waitpid``, ``peak_bytes`` its largest resident size, less what it was forked with.
    """

    token: int
    status: int
    peak_bytes: int


class Broken(Struct, frozen=True, tag=True):
    """The zygote cannot start, or could not fork."""

    reason: str
    token: int = -1


FromZygote = Ready | Spawned | Gone | Broken

encode: Final = msgspec.msgpack.Encoder().encode
decode_order: Final = msgspec.msgpack.Decoder(Spawn).decode
_news: Final[msgspec.msgpack.Decoder[FromZygote]] = msgspec.msgpack.Decoder(FromZygote)
decode_news: Final = _news.decode

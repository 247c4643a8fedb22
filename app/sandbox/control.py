"""Define the messages that the server and its zygote exchange over the control socket, one message per packet.

The zygote has no secrets and sees no program, so the server trusts it. Its messages are still decoded with a schema.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import Struct

from ..wire.catalogue import OptimizerCatalogue

Mode = Literal["full", "nofiles", "none"]
"""How children are confined.

- ``full``: seccomp and Landlock. A program may read the standard library and some packages.
- ``nofiles``: seccomp only. A program may not open any file.
- ``none``: not confined.
"""

PACKET: Final = 64 * 1024
"""Maximum size of a message, in bytes."""
JOB_FD: Final = 3
"""The descriptor from which a child reads its job."""
EVENTS_FD: Final = 4
"""The descriptor to which a child writes its events."""


class ZygoteConfig(Struct, frozen=True):
    """The arguments of a zygote."""

    entry: str
    """The module that implements :class:`~tapedeck.sandbox.child.EntryModule`."""
    mode: Mode | None
    """``None`` selects the strictest mode that the machine supports."""
    memory_bytes: int
    """Address space that a program may use in addition to the zygote's own."""
    cpu_seconds: int
    """Limit on processor time: a second line of defence, since the server enforces the limit on elapsed time."""
    stack_bytes: int = 256 * 1024 * 1024
    drop_uid: bool = True
    """Give up uid 0 if the interpreter stays readable without it."""
    namespaces: bool = True
    """Whether the zygote enters namespaces of its own, if the kernel allows it."""
    path: tuple[str, ...] = ()
    """Additional folders to import ``entry`` from. Used by tests."""


class Spawn(Struct, frozen=True, tag=True):
    """A request to fork a child. The packet carries the child's ends of its two pipes.

    A child with ``probe`` runs the self-test instead of a program. A child without ``warm`` does not warm up before its job.
    """

    token: int
    probe: bool = False
    warm: bool = True


class Ping(Struct, frozen=True, tag=True):
    """A request for a sign of life. It is answered after all earlier requests."""


class Pong(Struct, frozen=True, tag=True):
    """The answer to a :class:`Ping`."""


class Ready(Struct, frozen=True, tag=True):
    """The zygote has loaded everything and can fork."""

    mode: Mode
    notes: list[str]
    """Sentences about the confinement, for the log and ``tapedeck doctor``."""
    optimizers: OptimizerCatalogue
    """The optimizers of the installed PyTorch."""


class Spawned(Struct, frozen=True, tag=True):
    """A child was forked. The packet carries its pidfd."""

    token: int
    pid: int


class Exited(Struct, frozen=True, tag=True):
    """A child has exited and was reaped.

    ``status`` is its wait status, as ``os.waitpid`` returns it. ``peak_bytes`` is its peak resident memory, minus the
    zygote's resident memory at the fork.
    """

    token: int
    status: int
    peak_bytes: int


class Failed(Struct, frozen=True, tag=True):
    """The zygote could not start (``token`` is -1), or could not fork the child with this token."""

    reason: str
    token: int = -1


ServerMessage = Spawn | Ping
ZygoteMessage = Ready | Spawned | Exited | Failed | Pong

encode: Final = msgspec.msgpack.Encoder().encode
_server_messages: Final[msgspec.msgpack.Decoder[ServerMessage]] = msgspec.msgpack.Decoder(ServerMessage)
decode_server_message: Final = _server_messages.decode
_zygote_messages: Final[msgspec.msgpack.Decoder[ZygoteMessage]] = msgspec.msgpack.Decoder(ZygoteMessage)
decode_zygote_message: Final = _zygote_messages.decode

"""Start a zygote, request children from it, and kill them. Runs in the server.

The client owns the control socket, and the pipes and pidfd of every child. It kills a child through its pidfd, because a
process id may already belong to another process. Nothing here blocks the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Final

import msgspec

from ..errors import SandboxError
from .control import (
    PACKET,
    Exited,
    Failed,
    Mode,
    Ping,
    Pong,
    Ready,
    Spawn,
    Spawned,
    ZygoteConfig,
    decode_zygote_message,
    encode,
)

log = logging.getLogger(__name__)

_PIPE_BYTES: Final = 1 << 20
"""Preferred capacity of the pipe for events."""
_START_SECONDS: Final = 120.0
"""Maximum time in which a zygote must become ready."""

ENVIRONMENT: Final = {
    "PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "USER": "tapedeck", "LOGNAME": "tapedeck", "LANG": "C.UTF-8", "TZ": "UTC0",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_THREAD_LIMIT": "1",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}  # fmt: skip
"""The whole environment of a zygote that confines programs.

The hash seed is fixed, so that a replay iterates over sets in the same order.
"""


def command(descriptor: int, config: ZygoteConfig) -> list[str]:
    """Return the command that starts a zygote.

    The options keep the current folder off ``sys.path`` (-P) and, if programs are confined, also the user's site-packages (-s).
    Python writes no bytecode (-B).
    """
    arguments = [str(config.stack_bytes), str(descriptor), msgspec.json.encode(config).decode()]
    options = ["-P", "-B"] if config.mode == "none" else ["-P", "-s", "-B"]
    return [sys.executable, *options, "-m", f"{__package__}.launch", *arguments]


def environment(mode: Mode | None) -> dict[str, str]:
    """Return the environment of a zygote: a fixed one, or the server's own if programs run unconfined."""
    if mode == "none":
        # a zygote with several threads could not fork; the environment may set another hash seed
        fixed = {name: value for name, value in ENVIRONMENT.items() if name.endswith("_NUM_THREADS")}
        return {"PYTHONHASHSEED": ENVIRONMENT["PYTHONHASHSEED"], **os.environ, **fixed}
    # Importing PyTorch needs a writable temporary folder, and the defaults may be read-only.
    return {**ENVIRONMENT, "TMPDIR": tempfile.gettempdir()}


class Child:
    """A confined process, as seen by the server: the server's ends of its pipes, and its pidfd."""

    def __init__(self, token: int, job: int, events: int) -> None:
        self.token = token
        self.job = job
        self.events = events
        self.exited: asyncio.Future[Exited | None] = asyncio.get_running_loop().create_future()
        """The zygote's message once the child has exited. ``None`` if the zygote has exited, or could not fork the child."""
        self.pid = -1
        self.pidfd = -1

    def send_signal(self, number: int) -> None:
        """Send a signal to the child unless it has exited."""
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, number)

    def kill(self) -> None:
        """Kill the child unless it has exited."""
        self.send_signal(signal.SIGKILL)

    def close_job(self) -> None:
        """Close the job's pipe. The end of the pipe marks the end of the job."""
        if self.job >= 0:
            os.close(self.job)
            self.job = -1

    def close(self) -> None:
        """Kill the child and close its pipes and its pidfd."""
        self.kill()
        self.close_job()
        for descriptor in (self.events, self.pidfd):
            if descriptor >= 0:
                os.close(descriptor)
        self.events = self.pidfd = -1

    def set_exited(self, message: Exited | None) -> None:
        """Resolve :attr:`exited`."""
        if not self.exited.done():
            self.exited.set_result(message)


class ZygoteClient:
    """A zygote and its children.

    ``on_started`` is called with the process id of the zygote before it forks any child, ``on_spawned`` for each child that is
    ready for its job, and ``on_exited`` for each that has exited or could not be forked.
    """

    def __init__(
        self,
        on_started: Callable[[int], None] | None,
        on_spawned: Callable[[Child], None],
        on_exited: Callable[[Child], None],
    ) -> None:
        self.exited = asyncio.Event()
        """Set when the zygote has exited."""
        self.pending: dict[int, Child] = {}
        """Children that were requested and not forked yet, by token."""
        self.unanswered = 0
        """Number of pings since the zygote last sent a message."""
        self._children: dict[int, Child] = {}
        self._tokens = itertools.count()
        self._on_started = on_started
        self._on_spawned = on_spawned
        self._on_exited = on_exited
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()

    @property
    def pid(self) -> int | None:
        """The process id of the zygote."""
        return self._process.pid if self._process else None

    async def start(self, config: ZygoteConfig) -> Ready:
        """Start the zygote and wait until it is ready. Raises :class:`SandboxError` or :class:`TimeoutError` if it fails."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        ours.setblocking(False)
        with theirs:
            self._process = subprocess.Popen(
                command(theirs.fileno(), config),
                env=environment(config.mode), cwd=None if config.mode == "none" else "/",
                pass_fds=(theirs.fileno(),), start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        if self._on_started is not None:
            self._on_started(self._process.pid)
        asyncio.get_running_loop().add_reader(ours, self._receive)
        return await asyncio.wait_for(self._ready, _START_SECONDS)

    def spawn(self, *, probe: bool = False, warm: bool = True) -> Child:
        """Request a child. Raises :class:`OSError` if the request cannot be sent."""
        if self._control is None:
            raise SandboxError("The sandbox is not running.")
        job_read, job_write = os.pipe2(os.O_CLOEXEC)
        events_read, events_write = os.pipe2(os.O_CLOEXEC)
        child = Child(next(self._tokens), job_write, events_read)
        try:
            os.set_blocking(job_write, False)
            os.set_blocking(events_read, False)
            with contextlib.suppress(OSError):  # the user's limit for pipes is reached; the default of 64 KB also works
                fcntl.fcntl(events_read, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            socket.send_fds(self._control, [encode(Spawn(child.token, probe, warm))], [job_read, events_write])
        except OSError:
            child.close()
            raise
        finally:
            os.close(job_read)
            os.close(events_write)
        self.pending[child.token] = child
        return child

    def ping(self) -> None:
        """Request a sign of life."""
        self.unanswered += 1
        if self._control is not None:
            with contextlib.suppress(OSError):  # the zygote reads no messages, or has exited
                self._control.send(encode(Ping()))

    async def close(self) -> None:
        """Kill the zygote and every child."""
        control, self._control = self._control, None
        if control is not None:
            asyncio.get_running_loop().remove_reader(control)
            control.close()
        self._abandon_children()
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.wait)

    def _receive(self) -> None:
        """Handle one message from the zygote."""
        assert self._control is not None
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._control, PACKET, 1)
            message = decode_zygote_message(packet) if packet else None
        except BlockingIOError:
            return
        except (OSError, msgspec.DecodeError) as error:
            log.error("The zygote sent an invalid message: %s", error)
            message = None
        self.unanswered = 0
        match message:
            case Pong():
                pass
            case Spawned():
                self._add_child(message, descriptors[0])
            case Exited():
                if (child := self._children.pop(message.token, None)) is not None:
                    child.set_exited(message)
                    self._on_exited(child)
            case Ready():
                if not self._ready.done():
                    self._ready.set_result(message)
            case Failed() if message.token >= 0:
                log.error("%s", message.reason)
                if (child := self.pending.pop(message.token, None)) is not None:
                    child.close()
                    child.set_exited(None)
                    self._on_exited(child)
            case _:  # the zygote has exited, could not start, or sent an invalid message
                asyncio.get_running_loop().remove_reader(self._control)
                if not self._ready.done():
                    reason = message.reason if message else "the zygote exited while it was starting"
                    self._ready.set_exception(SandboxError(reason))
                self._abandon_children()

    def _add_child(self, message: Spawned, pidfd: int) -> None:
        child = self.pending.pop(message.token, None)
        if child is None:
            os.close(pidfd)
            return
        child.pid, child.pidfd = message.pid, pidfd
        self._children[message.token] = child
        self._on_spawned(child)

    def _abandon_children(self) -> None:
        """Kill every child, because the zygote has exited."""
        for child in self.pending.values():
            child.close()
            child.set_exited(None)
        for child in self._children.values():
            child.kill()
            child.set_exited(None)
            self._on_exited(child)
        self.pending.clear()
        self._children.clear()
        self.exited.set()

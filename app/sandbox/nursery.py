"""Start a zygote and speak to it: one nursery for the life of one zygote.

It owns the control socket, every child's pipes and its pidfd. Killing goes through the pidfd, so that it can never hit a
stranger. Nothing here blocks the event loop.
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
from .control import PACKET, Broken, Gone, Plan, Ready, Spawn, Spawned, decode_news, encode

log = logging.getLogger(__name__)

_PIPE_BYTES: Final = 1 << 20
_START_SECONDS: Final = 120.0

ENVIRONMENT: Final = {
    "PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "USER": "tapedeck", "LOGNAME": "tapedeck", "LANG": "C.UTF-8", "TZ": "UTC0",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_THREAD_LIMIT": "1",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}  # fmt: skip
"""All that a zygote knows of its surroundings. The hash seed is fixed: a replay walks a set of names in the same order."""


def command(descriptor: int, plan: Plan) -> list[str]:
    """Build the command that starts a zygote: neither the user's nor the current folder in the path, no bytecode written."""
    arguments = [str(plan.stack_bytes), str(descriptor), msgspec.json.encode(plan).decode()]
    return [sys.executable, "-P", "-s", "-B", "-m", f"{__package__}.launch", *arguments]


class Child:
    """A confined process that waits for its job: the server's ends of its pipes, and its pidfd."""

    def __init__(self, token: int, job: int, events: int) -> None:
        self.token = token
        self.job = job
        self.events = events
        self.gone: asyncio.Future[Gone | None] = asyncio.get_running_loop().create_future()
        """Resolves when it is dead: with how it ended, or ``None`` when its zygote died with it."""
        self.pid = -1
        self.pidfd = -1

    def kill(self) -> None:
        """End it, if it is not dead already."""
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def close_job(self) -> None:
        """Close the pipe to it: the job is complete."""
        if self.job >= 0:
            os.close(self.job)
            self.job = -1

    def close(self) -> None:
        """Kill it and close everything that it had."""
        self.kill()
        self.close_job()
        for descriptor in (self.events, self.pidfd):
            if descriptor >= 0:
                os.close(descriptor)
        self.events = self.pidfd = -1

    def ended(self, news: Gone | None) -> None:
        if not self.gone.done():
            self.gone.set_result(news)


class Nursery:
    """A zygote, and the children that it forked.

    ``born`` is called with each child that is ready for its job, ``gone`` with each that has died. :attr:`lost` is set
    when the zygote has ended.
    """

    def __init__(self, born: Callable[[Child], None], gone: Callable[[Child], None]) -> None:
        self.lost = asyncio.Event()
        self.unborn: dict[int, Child] = {}
        """Asked for, and not there yet."""
        self._living: dict[int, Child] = {}
        self._tokens = itertools.count()
        self._tell_born = born
        self._tell_gone = gone
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()

    @property
    def pid(self) -> int | None:
        """Process id of the zygote."""
        return self._process.pid if self._process else None

    async def start(self, plan: Plan) -> Ready:
        """Start the zygote and wait until it has loaded everything. Raises :class:`SandboxError` or :class:`TimeoutError`."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        ours.setblocking(False)
        with theirs:
            self._process = subprocess.Popen(
                command(theirs.fileno(), plan),
                # importing torch takes a folder for temporary files: on a read-only root the usual ones are no use
                env={**ENVIRONMENT, "TMPDIR": tempfile.gettempdir()},
                cwd="/", pass_fds=(theirs.fileno(),), start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        asyncio.get_running_loop().add_reader(ours, self._hear)
        return await asyncio.wait_for(self._ready, _START_SECONDS)

    def spawn(self, *, probe: bool = False) -> Child:
        """Ask for a child; raises :class:`OSError` if that cannot even be said."""
        if self._control is None:
            raise SandboxError("The sandbox is not up.")
        job_read, job_write = os.pipe2(os.O_CLOEXEC)
        events_read, events_write = os.pipe2(os.O_CLOEXEC)
        child = Child(next(self._tokens), job_write, events_read)
        try:
            os.set_blocking(job_write, False)
            os.set_blocking(events_read, False)
            with contextlib.suppress(OSError):  # over the user's share of pipes: the usual 64 KB do as well
                fcntl.fcntl(events_read, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            socket.send_fds(self._control, [encode(Spawn(child.token, probe))], [job_read, events_write])
        except OSError:
            child.close()
            raise
        finally:
            os.close(job_read)
            os.close(events_write)
        self.unborn[child.token] = child
        return child

    async def close(self) -> None:
        """End the zygote and every child."""
        control, self._control = self._control, None
        if control is not None:
            asyncio.get_running_loop().remove_reader(control)
            control.close()
        self._lose()
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.wait)

    def _hear(self) -> None:
        """Take in what the zygote says, one packet at a time."""
        assert self._control is not None
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._control, PACKET, 1)
            news = decode_news(packet) if packet else None
        except BlockingIOError:
            return
        except (OSError, msgspec.DecodeError) as error:
            log.error("The zygote could not be understood: %s", error)
            news = None
        match news:
            case Spawned():
                self._born(news, descriptors[0])
            case Gone():
                if (child := self._living.pop(news.token, None)) is not None:
                    child.ended(news)
                    self._tell_gone(child)
            case Ready():
                if not self._ready.done():
                    self._ready.set_result(news)
            case Broken() if news.token >= 0:
                log.error("%s", news.reason)
                if (child := self.unborn.pop(news.token, None)) is not None:
                    child.close()
                    child.ended(None)
                    self._tell_gone(child)
            case _:
                asyncio.get_running_loop().remove_reader(self._control)
                if not self._ready.done():
                    self._ready.set_exception(SandboxError(news.reason if news else "the zygote ended while it was starting"))
                self._lose()

    def _born(self, news: Spawned, pidfd: int) -> None:
        child = self.unborn.pop(news.token, None)
        if child is None:
            os.close(pidfd)
            return
        child.pid, child.pidfd = news.pid, pidfd
        self._living[news.token] = child
        self._tell_born(child)

    def _lose(self) -> None:
        """The zygote is gone, and its children with it."""
        for child in self.unborn.values():
            child.close()
            child.ended(None)
        for child in self._living.values():
            child.kill()
            child.ended(None)
            self._tell_gone(child)
        self.unborn.clear()
        self._living.clear()
        self.lost.set()

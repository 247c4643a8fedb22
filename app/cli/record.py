"""Record one file without a server: read it, run it, and apply the rules to its recording."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from .. import model, wire
from ..errors import BadRequest, SandboxError
from ..executor import Executor, LocalExecutor, OwnProcess, job_for
from ..explain.findings import arranged, of_rules
from ..inputs import request as requests
from ..inputs.request import Request
from ..runs.run import LiveRun
from ..settings import Settings
from ..settings import read as read_settings
from ..store import NewRun
from . import modules

STDIN: Final = "-"
TRUSTED: Final = model.Limits(
    source_bytes=1 << 28,
    body_bytes=1 << 30,
    stdout_bytes=1 << 26,
    recording_bytes=1 << 31,
    message_bytes=1 << 30,
    events=10_000_000,
)
"""Limits of a file that runs without a sandbox. They stop a broken program, not a large one."""


class File(Struct, frozen=True):
    """A program or notebook to run. ``path`` is absolute, or ``None`` for standard input.

    ``module`` is the full name of the module, if the file runs as ``python -m`` would run it. ``script`` is the file as the
    user named it, which Python makes ``sys.argv[0]``.
    """

    name: str
    path: Path | None
    body: bytes
    notebook: bool
    module: str | None = None
    script: str | None = None


class Invocation(Struct, frozen=True):
    """A file with everything that one execution of it needs."""

    file: File
    request: Request
    settings: Settings
    sandbox: bool
    arguments: tuple[str, ...]

    @property
    def limits(self) -> model.Limits:
        """The limits of the settings for a confined program, else :data:`TRUSTED`."""
        return self.settings.limits if self.sandbox else TRUSTED

    def shares_streams(self) -> bool:
        """Return whether the program can print to this process's streams: it is not confined, and they are not redirected."""
        return not self.sandbox and (sys.stdout, sys.stderr) == (sys.__stdout__, sys.__stderr__)


def prepare(name: str, arguments: Sequence[str] | None, *, module: bool, sandbox: bool, seed: int | None) -> Invocation:
    """Read the settings, and a file with the options of a command.

    Without a seed, the program keeps its own random state. In a sandbox, all programs start from the same random state.

    Raises :class:`SettingsError` for an invalid setting, and :class:`BadRequest` or :class:`TooLarge` for the file.
    """
    settings = read_settings()
    file = read(name, module=module, sandbox=sandbox)
    media_type = "application/x-ipynb+json" if file.notebook else "text/x-python"
    options = {} if seed is None else {"seed": str(seed)}
    request = requests.read(file.body, media_type, options, settings.limits if sandbox else TRUSTED)
    if seed is None and not sandbox:
        request = msgspec.structs.replace(request, options=msgspec.structs.replace(request.options, seed=None))
    return Invocation(file, request, settings, sandbox, tuple(arguments or ()))


def read(name: str, *, module: bool = False, sandbox: bool = False) -> File:
    """Read a file, standard input if ``name`` is ``-``, or a module of this name. Raises :class:`BadRequest`."""
    if module:
        if sandbox:
            raise BadRequest("The sandbox runs one file and cannot read the package of a module: leave out -m or --sandbox.")
        found, path = modules.find(name)
        return File(name, path, path.read_bytes(), False, found)
    if name == STDIN:
        body = sys.stdin.buffer.read()
        return File("standard input", None, body, body.lstrip()[:1] == b"{" and b'"cells"' in body, script=name)
    path = Path(name)
    try:
        body = path.read_bytes()
    except OSError as error:
        raise BadRequest(f"{name} cannot be read: {error.strerror}.") from error
    return File(path.name, path.absolute(), body, path.suffix.lower() == ".ipynb", script=name)


async def record(
    invocation: Invocation,
    *,
    printed: Callable[[model.Stream, str], None] = lambda stream, text: None,
    replay: wire.ReplayOrder | None = None,
    exited: Callable[[int], None] = lambda code: None,
    own_streams: bool = False,
) -> LiveRun:
    """Run a file and return its recording.

    The file runs as ``python FILE arguments`` would run it, in the current folder, or it is confined as on a server.

    - ``printed`` is called with each text that the program prints, and its stream, as it arrives.
    - ``own_streams`` lets a program that is not confined write to the streams of this process by itself, including the
      traceback of the exception that ends it. ``printed`` is then not called.
    - ``replay`` is computed during the run. Its results are events of the recording.
    - ``exited`` is called with the return code of the program's process, as in :mod:`subprocess`. It is not called for a
      confined program, or for a program that was stopped from outside.

    The first Ctrl+C or SIGTERM goes to the program, the second one stops it. Everything recorded before that is kept.
    Raises :class:`SandboxError`.
    """
    file, request, sandbox, limits = invocation.file, invocation.request, invocation.sandbox, invocation.limits
    recorded = LiveRun(_new(request), limits)
    path = str(file.path) if file.path is not None and not sandbox else None
    job = job_for(request.program, request.options, limits, timed=sandbox)
    job = msgspec.structs.replace(job, path=path, module=file.module, arguments=list(invocation.arguments), replay=replay)
    job = msgspec.structs.replace(job, script=file.script, own_streams=own_streams)
    executor: Executor = OwnProcess()
    if sandbox:
        executor = await _start_sandbox(invocation.settings)
    try:
        with _signals(recorded.cancelled, getattr(executor, "send_signal", None)):
            async with contextlib.aclosing(executor.run(job, limits=limits, cancelled=recorded.cancelled)) as batches:  # type: ignore[type-var]
                async for batch in batches:
                    for event in batch:
                        if isinstance(event, wire.OutputEvent) and not job.own_streams:
                            printed(event.stream, event.text)
                    recorded.append(batch)
        code = None if sandbox else getattr(executor, "returncode", None)
        if code is not None:
            exited(code)
    finally:
        await executor.close()
    assert recorded.end is not None  # the last event that every executor yields
    recorded.status = recorded.end.status  # type: ignore[assignment]  # an executor's end has a status
    found = arranged(of_rules(recorded.recording, request.program))
    recorded.findings, recorded.findings_omitted = found.findings, found.omitted
    return recorded


async def _start_sandbox(settings: Settings) -> LocalExecutor:
    executor = LocalExecutor(msgspec.structs.replace(settings, children=1))
    await executor.start()
    await executor.settled()
    if executor.failure is not None:
        reason = executor.failure
        await executor.close()
        raise SandboxError(reason)
    return executor


def _new(request: Request) -> NewRun:
    return NewRun(
        id=secrets.token_hex(16), owner="", program=request.program, options=request.options, created=time.time(), expires=None
    )


@contextlib.contextmanager
def _signals(cancelled: asyncio.Event, send: Callable[[int], None] | None) -> Iterator[None]:
    """Pass the first SIGINT and the first SIGTERM on to the program, and stop the run at the second of the same kind.

    Without ``send``, the program cannot receive signals, and the first signal stops the run.
    """
    loop = asyncio.get_running_loop()

    def received(number: int) -> None:
        loop.add_signal_handler(number, cancelled.set)
        if send is None:
            cancelled.set()
        elif number != signal.SIGINT or not _in_foreground():
            send(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, received, number)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _in_foreground() -> bool:
    """Return whether a terminal sends Ctrl+C to this process, and thus also to the program that it started."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)

"""Record one file here and now, without a server: read it, run it, find what is worth telling."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from .. import model, wire
from ..errors import BadRequest, SandboxError
from ..executor import Executor, LocalExecutor, OwnProcess, job_for
from ..explain.findings import find
from ..inputs import request as requests
from ..inputs.request import Request
from ..runs.run import LiveRun
from ..settings import Settings
from ..store import NewRun

STDIN: Final = "-"
OWN: Final = model.Limits(
    source_bytes=1 << 28,
    body_bytes=1 << 30,
    stdout_bytes=1 << 26,
    printed_bytes=0,
    recording_bytes=1 << 31,
    message_bytes=1 << 30,
    events=10_000_000,
)
"""Limits of a file that is run as one's own: there for what is broken, not for what is large."""


class File(Struct, frozen=True):
    """A program or notebook to run; ``path`` is absolute, ``None`` for standard input."""

    name: str
    path: Path | None
    body: bytes
    notebook: bool


def read(name: str) -> File:
    """Read a file, or standard input for ``-``. Raises :class:`BadRequest`."""
    if name == STDIN:
        body = sys.stdin.buffer.read()
        return File("standard input", None, body, body.lstrip()[:1] == b"{" and b'"cells"' in body)
    path = Path(name)
    try:
        body = path.read_bytes()
    except OSError as error:
        raise BadRequest(f"{name} cannot be read: {error.strerror}.") from error
    return File(path.name, path.absolute(), body, path.suffix.lower() == ".ipynb")


def request(file: File, limits: model.Limits, **options: str) -> Request:
    """What a file asks for, as a server would understand it; raises what :func:`requests.read` does."""
    return requests.read(file.body, "application/x-ipynb+json" if file.notebook else "text/x-python", options, limits)


async def record(
    file: File,
    asked: Request,
    settings: Settings,
    *,
    sandbox: bool = False,
    arguments: tuple[str, ...] = (),
    printed: Callable[[str], None] = lambda text: None,
    replay: wire.ReplayOrder | None = None,
) -> LiveRun:
    """Run a file to its end and return what was recorded; ``printed`` is given its output as it comes.

    ``replay`` is what to find out on the way; its answers are events of the recording.

    As ``python FILE arguments`` would run it, in the caller's folder; with ``sandbox`` confined, as a server would. The
    first Ctrl+C is the program's own, a second one ends it; what was recorded is kept. Raises :class:`SandboxError`.
    """
    limits = settings.limits if sandbox else OWN
    recorded = LiveRun(_new(asked), limits)
    path = str(file.path) if file.path is not None and not sandbox else None
    job = job_for(asked.program, asked.options, limits)
    job = msgspec.structs.replace(job, path=path, arguments=list(arguments), replay=replay)
    executor: Executor = OwnProcess()
    if sandbox:
        executor = await _confining(settings)
    try:
        heard = not sandbox and sys.stdin.isatty()  # a terminal sends Ctrl+C to the program too
        with _interrupts(recorded.cancelled, at=2 if heard else 1):
            async with contextlib.aclosing(executor.run(job, limits=limits, cancelled=recorded.cancelled)) as batches:  # type: ignore[type-var]
                async for batch in batches:
                    for event in batch:
                        if isinstance(event, wire.OutputEvent):
                            printed(event.text)
                    recorded.append(batch)
    finally:
        await executor.close()
    assert recorded.end is not None  # every executor ends with one
    recorded.status = recorded.end.status  # type: ignore[assignment]  # an executor's end has a status
    recorded.findings = find(recorded.recording, asked.program)
    return recorded


async def _confining(settings: Settings) -> LocalExecutor:
    executor = LocalExecutor(msgspec.structs.replace(settings, children=1))
    await executor.start()
    await executor.settled()
    if executor.failure is not None:
        reason = executor.failure
        await executor.close()
        raise SandboxError(reason)
    return executor


def _new(asked: Request) -> NewRun:
    return NewRun(
        id=secrets.token_hex(16), owner="", program=asked.program, options=asked.options, created=time.time(), expires=None
    )


@contextlib.contextmanager
def _interrupts(cancelled: asyncio.Event, at: int) -> Iterator[None]:
    """Have the ``at``-th Ctrl+C stop the run, or being asked to end."""
    loop = asyncio.get_running_loop()
    count = 0

    def interrupted() -> None:
        nonlocal count
        count += 1
        if count >= at:
            cancelled.set()

    loop.add_signal_handler(signal.SIGINT, interrupted)
    loop.add_signal_handler(signal.SIGTERM, cancelled.set)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_signal_handler(signal.SIGTERM)

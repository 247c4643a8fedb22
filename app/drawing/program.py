"""Find the program that lays out graphs, and run it as a subprocess with limits."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import resource
import shutil
import signal
import sys
import sysconfig
from pathlib import Path
from typing import Final

from ..errors import DrawingError

SECONDS: Final = 10.0
"""Time limit for one layout."""
MEMORY_BYTES: Final = 1024 * 1024 * 1024
"""Address space of a program that lays out a graph."""
NICE: Final = 10
"""Niceness of the program: on a busy machine, other work goes first."""


def find(named: str = "") -> str:
    """Return the path of the layout program: the named one, else the one from the wheel, else one on the PATH.

    Raises :class:`DrawingError` if there is none.
    """
    if named:
        path = shutil.which(named)
        if path is None:
            raise DrawingError(
                f"There is no program {named!r} to lay out graphs: set TAPEDECK_DOT to the path of a `dot`, or unset it."
            )
        return path
    for folder in (sysconfig.get_path("scripts"), str(Path(sys.executable).parent)):
        if path := shutil.which("graphviz-pure", path=folder):
            return path
    found = shutil.which("graphviz-pure") or shutil.which("dot")
    if found is None:
        raise DrawingError(
            "Graphviz is not installed: run `pip install graphviz-pure`, or set TAPEDECK_DOT to the path of a `dot`."
        )
    return found


def version(named: str = "") -> str:
    """Return a text that identifies the layout program and its version. It is empty if there is no program."""
    try:
        path = find(named)
        found = Path(path).stat()
    except (DrawingError, OSError):
        return ""
    return f"{path} {found.st_size} {found.st_mtime_ns}"


def command(path: str) -> list[str]:
    """Return the command line: DOT on standard input, positions as JSON on standard output.

    >>> command("/usr/bin/dot")
    ['/usr/bin/dot', '-Kdot', '-Tjson0']
    """
    return [path, "-Kdot", "-Tjson0"]


class TooSlow(DrawingError):
    """A layout exceeded its time limit."""


async def start(path: str) -> asyncio.subprocess.Process:
    """Start the program, with limits on its resources. Raises :class:`DrawingError` if that fails."""
    environment = {
        name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "GVBINDIR", "SYSTEMROOT") if name in os.environ
    }
    try:
        process = await asyncio.create_subprocess_exec(
            *command(path),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**environment, "LC_ALL": "C"},
            start_new_session=True,
        )
    except OSError as error:
        raise DrawingError(f"{path} could not be started to lay out the graph: {error.strerror}.") from error
    _limit(process.pid)
    return process


def _limit(process: int) -> None:
    """Lower the priority of another process, and limit its memory and processor time, if the system supports that."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, process, NICE)
        for limit, most in (
            (resource.RLIMIT_AS, MEMORY_BYTES),
            (resource.RLIMIT_CPU, math.ceil(SECONDS) + 1),
            (resource.RLIMIT_CORE, 0),
        ):
            resource.prlimit(process, limit, (most, most))


async def finish(process: asyncio.subprocess.Process, path: str, source: str, seconds: float) -> bytes:
    """Write DOT to the running program, and return its output.

    After ``seconds``, kill the program and its children, and raise :class:`TooSlow`. Raises :class:`DrawingError` if the
    program fails.
    """
    try:
        async with asyncio.timeout(seconds):
            output, errors = await process.communicate(source.encode())
    except TimeoutError as error:
        raise TooSlow(
            f"The layout of the graph took longer than {seconds:g} s and was stopped: use .txt or the API instead."
        ) from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode:
        how = f"signal {-process.returncode}" if process.returncode < 0 else f"status {process.returncode}"
        lines = errors.decode(errors="replace").strip().splitlines()
        raise DrawingError(f"{path} ended with {how} during the layout of the graph{': ' + lines[0][:200] if lines else ''}.")
    return output

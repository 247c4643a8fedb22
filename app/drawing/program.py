"""Find the program that lays out graphs, and run it in a process with limits."""

from __future__ import annotations

import contextlib
import math
import os
import resource
import select
import selectors
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import IO, Final

from ..errors import DrawingError

SECONDS: Final = 10.0
"""Time limit for one layout."""
MEMORY_BYTES: Final = 1024 * 1024 * 1024
"""Address space of a program that lays out a graph."""
END_OF_OUTPUT: Final = b"\n}\n"
"""The end of the JSON for one graph. Its inner lines are indented, and its texts have no line breaks."""
CHUNK_BYTES: Final = 1024 * 1024
"""Number of bytes that are read at once."""
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


class LayoutProcess:
    """A running layout program that waits for a graph, with limits on its resources.

    The constructor returns once the program is started: after a fraction of a millisecond, however much memory this process
    has. The other methods block. Use an instance in one thread at a time; any thread may call :meth:`kill`.
    """

    def __init__(self, path: str) -> None:
        """Start the program at ``path``. Raises :class:`DrawingError` if that fails."""
        environment = {
            name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "GVBINDIR", "SYSTEMROOT") if name in os.environ
        }
        self.path = path
        self.graphs = 0
        """Number of graphs for which :meth:`answer` was called."""
        try:
            self._process = subprocess.Popen(
                command(path),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env={**environment, "LC_ALL": "C"},
                start_new_session=True,
            )
        except OSError as error:
            raise DrawingError(f"{path} could not be started to lay out the graph: {error.strerror}.") from error
        _limit(self._process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the program is still running."""
        return self._process.poll() is None

    def finish(self, source: str, seconds: float) -> bytes:
        """Write DOT to the program, close its input, and return its output.

        After ``seconds``, kill the program and its children, and raise :class:`TooSlow`. Raises :class:`DrawingError` if the
        program fails.
        """
        try:
            output, errors = self._process.communicate(source.encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            raise TooSlow(_too_slow(seconds)) from None
        finally:
            self.end()
        status = self._process.returncode
        if status:
            how = f"signal {-status}" if status < 0 else f"status {status}"
            lines = errors.decode(errors="replace").strip().splitlines()
            reason = f": {lines[0][:200]}" if lines else ""
            raise DrawingError(f"{self.path} ended with {how} during the layout of the graph{reason}.")
        return output

    def answer(self, source: str, seconds: float) -> bytes | None:
        """Write DOT to the program, and return its output for this graph; the input stays open.

        Return ``None`` if the program ends. Raises :class:`TooSlow` after ``seconds``.
        """
        self.graphs += 1
        output, deadline = b"", time.monotonic() + seconds
        try:
            with selectors.DefaultSelector() as ready:
                ready.register(self._pipes[0], selectors.EVENT_WRITE, memoryview(source.encode()))
                ready.register(self._pipes[1], selectors.EVENT_READ)
                while not output.endswith(END_OF_OUTPUT):
                    found = ready.select(max(deadline - time.monotonic(), 0))
                    if not found:
                        raise TooSlow(_too_slow(seconds))
                    for key, events in found:
                        if events & selectors.EVENT_READ:
                            part = os.read(key.fd, CHUNK_BYTES)
                            if not part:
                                return None
                            output += part
                        elif unsent := key.data[os.write(key.fd, key.data[: select.PIPE_BUF]) :]:
                            ready.modify(key.fileobj, selectors.EVENT_WRITE, unsent)
                        else:
                            ready.unregister(key.fileobj)
        except BrokenPipeError:
            return None
        return output

    def kill(self) -> None:
        """Kill the program and its children, if it is still running, and wait for its end."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()

    def end(self) -> None:
        """Kill the program, and close its pipes."""
        self.kill()
        for pipe in self._pipes:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    @property
    def _pipes(self) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
        """Input, output and errors."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        return process.stdin, process.stdout, process.stderr


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


def _too_slow(seconds: float) -> str:
    return f"The layout of the graph took longer than {seconds:g} s and was stopped: use .txt or the API instead."

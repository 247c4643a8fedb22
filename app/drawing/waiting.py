"""Start the layout program before a graph needs it.

Starting the program takes as long as the layout of a small graph. Therefore one process waits for the next graph. A program
that reads its whole input before it answers, as ``graphviz-pure`` does, lays out one graph for each process. A program that
answers after each graph, as Graphviz's own ``dot`` does, is *resident*: its process lays out many.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from ..errors import DrawingError
from .program import LayoutProcess, TooSlow

THREADS: Final = 4
"""Number of threads that write to programs and read from them."""
IDLE_SECONDS: Final = 600.0
"""Time after which a process that waits for a graph is killed. The next program that is posted starts another one."""
PROBE: Final = "digraph { a }\n"
"""The graph that shows whether a program is resident."""
PROBE_SECONDS: Final = 1.0
"""Time within which a resident program lays out :data:`PROBE`."""
RESIDENT_GRAPHS: Final = 200
"""Number of graphs after which a resident process is replaced, so that its memory does not grow."""


class LayoutPrograms:
    """The processes that lay out graphs, of which at most one waits for the next graph.

    No process waits before :meth:`begin` or after :meth:`close`. Between these calls, use the instance on one event loop.
    """

    def __init__(self, *, idle_seconds: float = IDLE_SECONDS, probe_seconds: float = PROBE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._probe_seconds = probe_seconds
        self._threads = ThreadPoolExecutor(THREADS, "layout")
        self._lock = threading.Lock()
        self._path: str | None = None
        self._waiting: LayoutProcess | None = None
        self._starting: Future[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._probed: LayoutProcess | None = None
        self._resident: dict[str, bool] = {}

    @property
    def waiting(self) -> int | None:
        """The id of the process that waits, or ``None``."""
        waiting = self._waiting
        return None if waiting is None else waiting.pid

    def begin(self, path: str) -> None:
        """Start a process of the program at ``path`` in a thread, unless one waits.

        After each graph, :meth:`lay_out` does the same.
        """
        self._path = path
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = asyncio.get_running_loop().call_later(self._idle_seconds, self._expire)
        if self._waiting is None and (self._starting is None or self._starting.done()):
            self._starting = self._threads.submit(self._start, path)

    def expect(self) -> None:
        """Note that a graph will be drawn soon: start a process unless one waits. Before :meth:`begin`, do nothing."""
        if self._path is not None:
            self.begin(self._path)

    async def close(self) -> None:
        """Kill the process that waits. From now on, a process is started when a graph needs it."""
        self._path = None
        if self._expiry is not None:
            self._expiry.cancel()
        if (probed := self._probed) is not None:
            probed.kill()
        if self._starting is not None:
            await asyncio.wrap_future(self._starting)
        self._expire()

    async def lay_out(self, path: str, source: str, seconds: float) -> bytes:
        """Return the output of the program at ``path`` for a graph in DOT. If cancelled, kill its process.

        Raises :class:`TooSlow` after ``seconds``, and :class:`DrawingError` if the program fails.
        """
        process = self._take(path)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._output, process, source, seconds)
        except asyncio.CancelledError:
            process.kill()
            raise
        finally:
            self.expect()

    def _take(self, path: str) -> LayoutProcess:
        """Return the process that waits, or a new one. A process that is still starting is left to the next graph."""
        with self._lock:
            waiting, self._waiting = self._waiting, None
        if waiting is not None and waiting.path == path and waiting.alive:
            return waiting
        if waiting is not None:
            waiting.end()
        return LayoutProcess(path)

    def _output(self, process: LayoutProcess, source: str, seconds: float) -> bytes:
        if not self._resident.get(process.path) or not process.graphs:
            return process.finish(source, seconds)
        output = None
        try:
            output = process.answer(source, seconds)
        finally:
            if output is None or process.graphs >= RESIDENT_GRAPHS or not self._wait(process):
                process.end()
        return (
            output if output is not None else LayoutProcess(process.path).finish(source, seconds)
        )  # succeeds, or says why not

    def _wait(self, process: LayoutProcess) -> bool:
        """Let a process wait for the next graph, and return ``True``.

        Return ``False`` if another process waits already, or if no process of this program should wait.
        """
        with self._lock:
            alone = self._waiting is None and self._path == process.path
            if alone:
                self._waiting = process
        return alone

    def _start(self, path: str) -> None:
        """Start a process that waits. The first process of each program shows whether the program is resident."""
        with contextlib.suppress(DrawingError):  # the next layout fails in the same way, and reports why
            process = LayoutProcess(path)
            if self._resident.get(path, True) and not self._probe(process):
                process = LayoutProcess(path)
            if not self._wait(process):
                process.end()

    def _probe(self, process: LayoutProcess) -> bool:
        """Return whether a process answers while its input is open. End it if it does not."""
        self._probed = process
        with contextlib.suppress(TooSlow):
            self._resident[process.path] = False
            self._resident[process.path] = process.answer(PROBE, self._probe_seconds) is not None
        self._probed = None
        if not self._resident[process.path]:
            process.end()
        return self._resident[process.path]

    def _expire(self) -> None:
        """End the process that waits. If a process is still starting, try again later."""
        with self._lock:
            waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.end()
        elif self._path is not None and self._starting is not None and not self._starting.done():
            self._expiry = asyncio.get_running_loop().call_later(self._idle_seconds, self._expire)

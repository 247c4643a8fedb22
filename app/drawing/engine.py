"""Lay out graphs with Graphviz.

The layout program is ``graphviz-pure`` from its wheel, or the ``dot`` in the settings. Layouts are cached by a hash of their
plan, in memory and on the disk. A structure is therefore laid out once, and other steps only change the numbers in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import OrderedDict
from typing import Any, Final

import msgspec

from ..errors import DrawingError
from ..workers import FairGate
from . import dot, program
from .failed_work import FailedWork
from .graph_layout import GraphLayout, read
from .layout_files import LayoutFiles
from .plan import LayoutPlan
from .program import SECONDS, TooSlow
from .waiting import LayoutPrograms

QUICK_SECONDS: Final = 1.0
"""Time limit for the first attempt. A layout that takes longer starts again as a slow one, which never delays the others."""
NESTED_SECONDS: Final = 0.5
"""Time limit for the layout of a map, which is drawn as rows if it takes longer."""
CACHED: Final = 512
"""Largest number of layouts in the cache."""

_encoder: Final = msgspec.msgpack.Encoder()


class LayoutEngine:
    """Lays out each plan in a separate process, limits how many run at once, and caches the layouts.

    ``dot`` names the program, as for :func:`.program.find`. ``seconds`` limits the time of one layout, ``cached`` the size of
    the cache, and ``at_once`` the number of processes. A layout that takes longer than ``quick`` seconds is stopped and begins
    again in an extra process. Only one such slow layout runs at a time. The layout of a map is stopped after ``nested``
    seconds, and begins again at a later request. A failure is remembered: see :class:`FailedWork`. Layouts are also kept in
    ``files``, if given. From :meth:`prepare` to :meth:`close`, a process waits for the next graph.
    """

    def __init__(
        self,
        dot: str = "",
        *,
        seconds: float = SECONDS,
        quick: float = QUICK_SECONDS,
        nested: float = NESTED_SECONDS,
        cached: int = CACHED,
        at_once: int = 2,
        failures: FailedWork | None = None,
        files: LayoutFiles | None = None,
    ) -> None:
        self._dot = dot
        self._seconds = seconds
        self._quick = min(quick, seconds)
        self._nested = min(nested, seconds)
        self._failures = failures or FailedWork()
        self._files = files
        self._cached = cached
        self._at_once = at_once
        self._layouts: OrderedDict[bytes, GraphLayout] = OrderedDict()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gate, self._slow = FairGate(at_once), FairGate(1)
        self._running: dict[bytes, asyncio.Task[GraphLayout]] = {}
        self._programs = LayoutPrograms()
        self._writing: set[asyncio.Future[None]] = set()
        self.attempts = 0
        """Number of attempts to lay out a graph."""

    def prepare(self) -> None:
        """Start a process that waits for the next graph. After each graph, start another.

        Use one event loop until :meth:`close`.
        """
        with contextlib.suppress(DrawingError):  # each layout reports that there is no program
            self._programs.begin(program.find(self._dot))

    def expect(self) -> None:
        """Note that a graph will be drawn soon. After :meth:`prepare`, a process waits for it."""
        self._programs.expect()

    async def close(self) -> None:
        """Kill the process that waits, and finish writing files. Layouts still work, in processes that start on demand."""
        await self._programs.close()
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(each for each in self._writing if each.get_loop() is loop), return_exceptions=True)

    async def layout(self, plan: LayoutPlan, client: str = "") -> GraphLayout:
        """Return the layout of a plan. Raises :class:`DrawingError` if that fails, and :class:`Busy` if too many are waiting.

        Callers that request the same plan at the same time share one process. Clients share the processes in turn.
        """
        key = _key(plan)
        if layout := self._layouts.get(key):
            self._layouts.move_to_end(key)
            return layout
        self._failures.check(key)
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # one process may run several loops in turn, as the command line does
            self._loop, self._running = loop, {}
            self._gate, self._slow = FairGate(self._at_once), FairGate(1)
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = loop.create_task(self._run(key, plan, client))
            task.add_done_callback(lambda done: self._done(key, done))
        return await asyncio.shield(task)

    async def _run(self, key: bytes, plan: LayoutPlan, client: str) -> GraphLayout:
        layout = None if self._files is None else await asyncio.to_thread(self._files.read, key)
        if layout is None:
            layout = await self._lay_out(key, plan, client)
            self._failures.forget(key)
            if self._files is not None:
                writing = asyncio.get_running_loop().run_in_executor(None, self._files.write, key, layout)
                self._writing.add(writing)  # the caller does not wait for the disk
                writing.add_done_callback(self._writing.discard)
        self._layouts[key] = layout
        while len(self._layouts) > self._cached:
            self._layouts.popitem(last=False)
        return layout

    async def _lay_out(self, key: bytes, plan: LayoutPlan, client: str) -> GraphLayout:
        try:
            async with self._gate.entered(client):
                return await self._execute(key, plan, self._nested if plan.nested else self._quick)
        except TooSlow:
            if plan.nested or self._quick == self._seconds:
                raise
            async with self._slow.entered(client):
                return await self._execute(key, plan, self._seconds)

    async def _execute(self, key: bytes, plan: LayoutPlan, seconds: float) -> GraphLayout:
        path = program.find(self._dot)
        self.attempts += 1
        try:
            return read(await self._programs.lay_out(path, dot.boxes(plan), seconds), plan)
        except DrawingError as error:
            if not isinstance(error, TooSlow) or plan.nested or seconds == self._seconds:
                # until its layout succeeds, a map is drawn as rows: try again soon
                self._failures.add(key, error, slow=isinstance(error, TooSlow) and plan.nested)
            raise

    def _done(self, key: bytes, task: asyncio.Task[Any]) -> None:
        self._running.pop(key, None)
        if not task.cancelled():
            task.exception()  # mark the exception as retrieved, in case every caller was cancelled


def _key(plan: LayoutPlan) -> bytes:
    """Return a hash of a plan. The plan determines the DOT, and hashing the plan takes a tenth of the time."""
    return hashlib.blake2b(_encoder.encode(plan), digest_size=16).digest()

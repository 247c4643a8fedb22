"""Keep a few worker processes, hand them calls, and kill and replace those that exceed their budget."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from ..errors import Busy, OverBudget
from .channel import LENGTH, Answer, Exceeded, Limitation, Part, Raised, Returned, Work, frame

T = TypeVar("T")

MEMORY_BYTES: Final = 512 * 1024 * 1024
KEPT_BYTES: Final = 64 * 1024 * 1024
START_SECONDS: Final = 60.0
"""Seconds in which a process must have imported its modules."""
RETRY_SECONDS: Final = 2.0
"""``Retry-After``, in seconds, of a call that is refused because too many others wait."""

log = logging.getLogger(__name__)


class Budget(Struct, frozen=True):
    """The limits of one call: processor seconds, wall-clock seconds from its start, and bytes of its pickled answer.

    Processor time is the same on a busy machine, so it decides whether the data is acceptable. Wall-clock time bounds how long
    a caller waits.
    """

    cpu_seconds: float = 1.0
    wall_seconds: float = 10.0
    answer_bytes: int = 8 * 1024 * 1024


DEFAULT: Final = Budget()


class Workers:
    """A pool of ``count`` processes that call functions. Create and use an instance on one event loop.

    Up to ``queue`` calls wait for a process, in the order in which they arrived; further ones raise :class:`Busy`.
    ``memory_bytes`` is the address space that one call may add. A process that has gained ``kept_bytes`` of resident memory is
    replaced. ``modules`` are imported when a process starts.
    """

    def __init__(
        self,
        count: int,
        *,
        modules: Iterable[str] = (),
        queue: int = 64,
        memory_bytes: int = MEMORY_BYTES,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self.count = count
        self._limitation = Limitation(memory_bytes, kept_bytes, tuple(modules))
        self._queue = queue
        self._slots = asyncio.Semaphore(count)
        self._waiting = 0
        self._idle: list[Worker] = []
        self._starting: list[asyncio.Task[Worker]] = []
        self._reaping: set[asyncio.Task[None]] = set()
        self._closed = False
        self.killed = 0
        """Number of processes that ended because of a call: killed, crashed, or above their limit of memory."""

    async def start(self) -> None:
        """Start all processes, in the background. Without this, the first calls start them."""
        for _ in range(self.count - len(self._idle) - len(self._starting)):
            self._begin()

    async def close(self) -> None:
        """Kill all processes. A call in progress must be cancelled by its caller."""
        self._closed = True
        starting, self._starting = self._starting, []
        for task in starting:
            task.cancel()
        for ended in await asyncio.gather(*starting, return_exceptions=True):
            if isinstance(ended, Worker):
                self._end(ended)
        while self._idle:
            self._end(self._idle.pop())
        while self._reaping:
            await asyncio.gather(*self._reaping, return_exceptions=True)

    @property
    def processes(self) -> list[int]:
        """The process ids of the idle processes."""
        return [worker.pid for worker in self._idle]

    async def run(self, work: Callable[..., T], *arguments: Any, budget: Budget = DEFAULT) -> T:
        """Return ``work(*arguments)``, called in a process. An exception of the call is raised here.

        Raises :class:`OverBudget` if the call exceeds its budget or crashes its process, and :class:`Busy` if too many calls
        wait. If the caller is cancelled, the process is killed.
        """
        answers = self._answers(Work(work, arguments, False, budget.cpu_seconds, budget.answer_bytes), budget)
        async with contextlib.aclosing(answers):
            async for value in answers:
                return value  # type: ignore[no-any-return]  # the function's own
        raise AssertionError("a call ends with an answer or an exception")

    async def stream(
        self, work: Callable[..., Iterable[T]], *arguments: Any, budget: Budget = DEFAULT
    ) -> AsyncGenerator[T, None]:
        """Yield what ``work(*arguments)`` yields, as it is made. Raises the errors of :meth:`run`, after the earlier values."""
        answers = self._answers(Work(work, arguments, True, budget.cpu_seconds, budget.answer_bytes), budget)
        async with contextlib.aclosing(answers):
            async for value in answers:
                yield value

    async def _answers(self, call: Work, budget: Budget) -> AsyncGenerator[Any, None]:
        if self._closed:
            raise Busy("This server is stopping: try again in a moment.", retry_after=5)
        if self._slots.locked() and self._waiting >= self._queue:
            raise Busy("Too many requests wait to be read: try again in a moment.", retry_after=RETRY_SECONDS)
        data = frame(call)
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            worker = await self._take()
            healthy = False
            try:
                deadline = asyncio.get_running_loop().time() + budget.wall_seconds
                answer = await _exchange(worker, deadline, data)
                while isinstance(answer, Part):
                    yield answer.value
                    answer = await _exchange(worker, deadline)
                healthy = not isinstance(answer, Exceeded) and not answer.last
            finally:
                self._release(worker, healthy=healthy)
        finally:
            self._slots.release()
        match answer:
            case Exceeded(what=what):
                raise OverBudget(_EXCEEDED[what])
            case Raised(error=error):
                raise error
            case Returned(value=value) if not call.streamed:
                yield value

    async def _take(self) -> Worker:
        """Return an idle process. If there is none, wait for a process that is starting, or start one."""
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
            self._end(worker)
        task = next((task for task in self._starting if task.done()), None) or next(iter(self._starting), None)
        if task is None:
            task = self._begin()
        self._starting.remove(task)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._starting.append(task)
            raise
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            log.error("A worker process could not be started: %r", error)
            raise Busy("The server cannot start another process: try again in a moment.", retry_after=RETRY_SECONDS) from error

    def _release(self, worker: Worker, *, healthy: bool) -> None:
        if healthy and not self._closed:
            self._idle.append(worker)
            return
        self.killed += not healthy
        self._end(worker)
        if not self._closed:
            self._begin()

    def _begin(self) -> asyncio.Task[Worker]:
        task = asyncio.get_running_loop().create_task(start_worker(self._limitation))
        task.add_done_callback(_retrieve)
        self._starting.append(task)
        return task

    def _end(self, worker: Worker) -> None:
        """Kill a process, and wait for its end in the background."""
        task = asyncio.get_running_loop().create_task(worker.end())
        self._reaping.add(task)
        task.add_done_callback(self._reaping.discard)


async def _exchange(worker: Worker, deadline: float, call: bytes | None = None) -> Answer:
    """Send a call, if given, and return the next answer. Raises :class:`OverBudget` at the deadline, or if the process ends."""
    try:
        async with asyncio.timeout_at(deadline):
            if call is not None:
                await worker.send(call)
            return await worker.receive()
    except TimeoutError:
        raise OverBudget(_EXCEEDED["time"]) from None
    except (asyncio.IncompleteReadError, ConnectionError):
        raise OverBudget(await worker.exit_reason()) from None


_EXCEEDED: Final = {
    "time": "It takes too long to process.",
    "memory": "It needs too much memory to process.",
    "answer": "Its result is too large.",
}


class Worker:
    """A worker process that is ready for a call."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._calls = process.stdin
        self._answers = process.stdout

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None and not self._answers.at_eof()

    async def send(self, data: bytes) -> None:
        """Send a frame."""
        self._calls.write(data)
        await self._calls.drain()

    async def receive(self) -> Answer:
        """Return the next answer. Raises :class:`asyncio.IncompleteReadError` if the process has exited."""
        (length,) = LENGTH.unpack(await self._answers.readexactly(LENGTH.size))
        answer: Answer = pickle.loads(await self._answers.readexactly(length))
        return answer

    async def exit_reason(self) -> str:
        """Return why a process exited during a call."""
        code = await self._process.wait()
        if code in (-signal.SIGPROF, -signal.SIGXCPU):
            return _EXCEEDED["time"]
        log.warning("A worker process ended during a call, with code %d.", code)
        return "It could not be processed."

    async def end(self) -> None:
        """Kill the process and wait until it has exited.

        The rest of an answer that was not received is read and dropped: asyncio waits for the end of the pipe too.
        """
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._calls.close()
        await self._process.communicate()


async def start_worker(limitation: Limitation) -> Worker:
    """Start a process, and return it when it has imported its modules."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", f"{__package__}.process", msgspec.json.encode(limitation).decode(),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=_environment(),
        start_new_session=True,  # Ctrl+C in a terminal reaches the server only, which ends this process
    )  # fmt: skip
    worker = Worker(process)
    try:
        async with asyncio.timeout(START_SECONDS):
            await worker.receive()
    except BaseException:
        await asyncio.shield(worker.end())
        raise
    return worker


def _environment() -> dict[str, str]:
    """Return the server's environment without its settings, one of which is a secret. One thread is enough for numpy."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("TAPEDECK_")}
    return {**own, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _retrieve(task: asyncio.Task[Worker]) -> None:
    """Mark the exception of a task as retrieved. The caller that takes the process reports it."""
    if not task.cancelled():
        task.exception()

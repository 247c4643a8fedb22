"""Answer calls in a worker process, one after another, until standard input ends.

Run as ``python -P -m tapedeck.workers.process <Limitation as JSON>``. Calls are read from standard input, and answers are
written to standard output. ``print`` writes to standard error, so that it cannot corrupt the answers.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pickle
import resource
import signal
import sys
from collections.abc import Iterator
from typing import IO, Final

import msgspec

from .channel import LENGTH, Exceeded, Limitation, Part, Raised, Returned, Work, frame

NICE: Final = 5
"""Niceness of a process, so that the event loop goes first on a busy machine."""


def main() -> None:
    """Answer calls until the server closes standard input."""
    calls = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with contextlib.suppress(OSError):
        os.nice(NICE)
    limitation = msgspec.json.decode(sys.argv[1], type=Limitation)
    for module in limitation.modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    _send(answers, frame(Returned()))  # ready
    at_start = _resident()
    while (call := _next(calls)) is not None:
        with contextlib.suppress(BrokenPipeError):
            _answer(call, answers, limitation, at_start)


def _next(calls: IO[bytes]) -> Work | None:
    """Return the next call, or ``None`` at the end of standard input."""
    header = calls.read(LENGTH.size)
    if len(header) < LENGTH.size:
        return None
    call: Work = pickle.loads(calls.read(LENGTH.unpack(header)[0]))
    return call


def _answer(call: Work, answers: IO[bytes], limitation: Limitation, at_start: int) -> None:
    """Answer one call. Exit if the call used too much memory or has too large an answer."""
    answer: Returned | Raised | Exceeded
    try:
        with _limited(limitation.memory_bytes, call.cpu_seconds):
            answer = Returned(_call(call, answers))
    except MemoryError:
        answer = Exceeded("memory")
    except _AnswerTooLarge:
        answer = Exceeded("answer")
    except Exception as error:
        answer = Raised(_sendable(error))
    last = _resident() - at_start > limitation.kept_bytes
    if not isinstance(answer, Exceeded):
        answer = msgspec.structs.replace(answer, last=last)
    data = frame(answer)
    if len(data) > call.answer_bytes:
        answer = Exceeded("answer")
        data = frame(answer)
    _send(answers, data)
    if last or isinstance(answer, Exceeded):
        sys.exit()


def _sendable(error: Exception) -> Exception:
    """Return an exception that the server can load: itself, or a :class:`RuntimeError` with its text."""
    try:
        loaded: Exception = pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(repr(error)[:1_000])
    return loaded


class _AnswerTooLarge(Exception):
    """The values of a streamed call are larger than its budget allows."""


def _call(call: Work, answers: IO[bytes]) -> object:
    value = call.work(*call.arguments)
    if not call.streamed:
        return value
    sent = 0
    for part in value:
        data = frame(Part(part))
        sent += len(data)
        if sent > call.answer_bytes:
            raise _AnswerTooLarge
        _send(answers, data)
    return None


@contextlib.contextmanager
def _limited(memory_bytes: int, cpu_seconds: float) -> Iterator[None]:
    """Limit the address space and the processor time of a call. SIGPROF kills the process when the time is used up."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    size = _address_space()
    if size:
        resource.setrlimit(resource.RLIMIT_AS, (size + memory_bytes, hard))
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _send(answers: IO[bytes], data: bytes) -> None:
    answers.write(data)
    answers.flush()


def _address_space() -> int:
    return _pages(0)


def _resident() -> int:
    return _pages(1)


def _pages(column: int) -> int:
    """Return a size of this process in bytes, or 0 where the kernel does not report it."""
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[column]) * resource.getpagesize()
    except OSError:
        return 0


if __name__ == "__main__":
    main()

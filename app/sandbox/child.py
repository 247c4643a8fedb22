"""The main function of a child: confine this process, read one job, run it and exit."""

from __future__ import annotations

import atexit
import os
import select
import sys
import threading
from collections.abc import Callable
from importlib.machinery import FileFinder
from typing import Protocol

import msgspec

from .. import wire
from ..wire.catalogue import OptimizerCatalogue
from . import selftest
from .confine import Confinement, confine, keep_only
from .control import EVENTS_FD, JOB_FD, Spawn
from .hot_pages import HotPages

_CHUNK = 1 << 18
SETUP_FAILED = 70
"""Exit code of a child that could not confine itself, or whose entry module raised an exception."""


class EntryModule(Protocol):
    """The module that records and runs programs. Outside of tests it is the tracer's ``main``."""

    def preload(self) -> None:
        """Import what programs need. Called once, in the zygote. Must not leave a thread running."""

    def optimizers(self) -> OptimizerCatalogue:
        """Return the optimizers of the installed PyTorch and their options. Called once, in the zygote."""

    def warm(self) -> None:
        """Run the operations of a typical program once, including a backward pass. Called in a confined child, before its job.

        The first run of the operations takes three times as long as the second, because it copies pages and fills tables.
        Where the kernel can copy the pages ahead, the zygote calls this once, in a process that runs no program, and children
        copy the same pages. Warming up takes longer than it saves. It is therefore skipped if the job has already arrived, or
        if other programs need the processors. It must have no effect that a program can observe.
        """

    def execute(
        self, job: wire.Job, write: Callable[[bytes], None], at_exit: Callable[[Callable[[], None]], object] | None = None
    ) -> int:
        """Run a program, pass its events to ``write``, as frames, and return its exit status.

        The last event must be an ``EndEvent``. It may be sent by a function that is registered with ``at_exit``.
        """


def run_child(
    confinement: Confinement,
    entry: EntryModule,
    request: Spawn,
    *,
    zygote: int,
    job_pipe: int,
    events_pipe: int,
    pages: HotPages | None = None,
) -> None:
    """Turn this freshly forked process into a confined child and run one job. Never returns.

    ``zygote`` is the process id of the zygote. With ``request.probe``, run the self-test instead of a job. To warm up, copy the
    ``pages`` that ``entry.warm`` uses, which takes half as long as calling it.
    """
    status = 0
    try:
        warms = request.warm and not _job_waits(job_pipe)
        if warms and pages is not None:
            pages.prepare()
        files = confinement.mode != "none"
        rules = keep_only(job_pipe, events_pipe, confinement.rules, files=files)
        confine(msgspec.structs.replace(confinement, rules=rules), zygote)
        # From here on, this process is confined, unless the mode is "none".
        # the self-test warms up too: an entry module that fails while warming up must not run programs
        if request.probe or (warms and pages is None):
            entry.warm()
        encoded_job = _read_all(JOB_FD)
        os.close(JOB_FD)
        if request.probe:
            _write(selftest.attempt(confinement.mode, isolated=confinement.isolated))
        elif encoded_job:
            if confinement.mode != "none":
                _disable_monitor_threads()
                _keep_lists_of_modules()
            # an unconfined program may fork, or close the descriptor and reuse it
            write = wire.Pipe(EVENTS_FD).write if confinement.mode == "none" else _write
            job = msgspec.structs.replace(wire.decode_job(encoded_job), files=files)
            status = entry.execute(job, write, atexit.register)
            _run_exit_functions()
    except BaseException:
        os._exit(SETUP_FAILED)
    os._exit(abs(status))


def _job_waits(job_pipe: int) -> bool:
    """Return whether the server has begun to send the job, or has exited."""
    return bool(select.select([job_pipe], [], [], 0)[0])


def _run_exit_functions() -> None:
    """Wait for the program's threads and run its exit functions, as Python does before it ends a process."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def _disable_monitor_threads() -> None:
    """Stop tqdm from starting a monitor thread.

    A child cannot start threads, and tqdm would print a warning about that into the program's output. PyTorch imports tqdm if
    it is installed.
    """
    if (bars := sys.modules.get("tqdm.std")) is not None:
        bars.tqdm.monitor_interval = 0


def _keep_lists_of_modules() -> None:
    """Make ``importlib.invalidate_caches`` keep the lists of modules in each folder.

    The files that a child may read don't change, and it cannot list most of their folders again.
    """
    for finder in sys.path_importer_cache.values():
        if isinstance(finder, FileFinder):
            finder.invalidate_caches = lambda: None  # type: ignore[method-assign]


def _read_all(source: int) -> bytes:
    """Read until the other end is closed. The result is empty if the server has exited."""
    parts = []
    while part := os.read(source, _CHUNK):
        parts.append(part)
    return b"".join(parts)


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(EVENTS_FD, view) :]

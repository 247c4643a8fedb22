"""Live a child's life: confine itself, wait for a job, run it, and end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Protocol

import msgspec

from .. import wire
from ..wire.catalogue import OptimizerCatalogue
from . import selftest
from .confine import Confinement, confine, keep_only
from .control import EVENTS_FD, JOB_FD

_CHUNK = 1 << 18
CANNOT_CONFINE = 70
"""Exit code of a child that could not be confined, or given a job."""


class Entry(Protocol):
    """The program's side: what records and runs."""

    def preload(self) -> None:
        """Load and warm what programs need, in the zygote; must leave no thread behind."""

    def optimizers(self) -> OptimizerCatalogue:
        """Return the optimizers of the installed PyTorch and their options. Called once, in the zygote."""

    def warm(self) -> None:
        """Go once through what a program does, backward included, in a confined child that has no job yet.

        The first time costs three times as much as the second, in pages that are copied and tables that are filled. It
        must leave nothing behind that a program could see.
        """

    def execute(self, job: wire.Job, write: Callable[[bytes], None]) -> None:
        """Run a program, handing framed bytes to ``write``; the last of them ends the recording."""


def live(given: Confinement, entry: Entry, zygote: int, job: int, events: int, probe: bool) -> None:
    """Become a confined child and run one job; never returns."""
    try:
        rules = keep_only(job, events, given.rules)
        confine(msgspec.structs.replace(given, rules=rules), zygote)
        # From here on this process can do nothing but compute and write to its one pipe.
        entry.warm()  # the probe too: an entry that cannot do even that runs no program
        request = _read_all(JOB_FD)
        os.close(JOB_FD)
        if probe:
            _write(selftest.attempt(given.mode))
        elif request:
            if given.mode != "none":
                _do_without_threads()
            entry.execute(wire.decode_job(request), _write)
    except BaseException:
        os._exit(CANNOT_CONFINE)
    os._exit(0)


def _do_without_threads() -> None:
    """Tell libraries to start none: tqdm, which torch has loaded if it is there, would complain that its monitor got none.

    It would do so into the program's output, where nobody asked.
    """
    if (bars := sys.modules.get("tqdm.std")) is not None:
        bars.tqdm.monitor_interval = 0


def _read_all(source: int) -> bytes:
    """Read until the other end closes; nothing at all if it does so at once, because the server is gone."""
    parts = []
    while part := os.read(source, _CHUNK):
        parts.append(part)
    return b"".join(parts)


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(EVENTS_FD, view) :]

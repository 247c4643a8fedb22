"""End the programs that use the most memory while all programs together use more than a budget.

Each child has a limit of its own, but many children may reach theirs at once. Reading the memory needs no privilege: the
kernel shows the resident memory of every process in ``/proc/<pid>/status``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

from . import cgroup

WATCH_SECONDS: Final = 0.1
"""Interval at which the memory of the running programs is read."""
_SERVER_BYTES: Final = 1 << 30
"""Memory that is left to the server and the zygote by default."""
_LEGACY_LIMIT: Final = Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")
_COUNTED: Final = ("RssAnon:", "RssShmem:", "VmSwap:")
"""Memory that a program allocates. The pages of files are left out, because the kernel can read them again."""


class Watched(Protocol):
    """A process that runs a program."""

    @property
    def pid(self) -> int:
        """The process id. The process must not be reaped while it is watched."""

    @property
    def client(self) -> str:
        """The client that the program belongs to."""

    def end(self, message: str) -> None:
        """Kill the process. ``message`` is the reason for the user."""


class MemoryWatch:
    """Keeps the memory of all running programs within ``budget`` bytes. An instance belongs to one event loop.

    The largest program of the client whose programs use the most memory is ended first. A client with many programs thus does
    not displace the programs of other clients. ``read`` returns the memory of a process in bytes.
    """

    def __init__(self, budget: int, read: Callable[[int], int] | None = None) -> None:
        self.budget = budget
        self._read = read or process_memory
        self._inherited: dict[Watched, int] = {}
        """The memory that each watched process had before its program ran, which it shares with the zygote."""
        self._timer: asyncio.TimerHandle | None = None

    @contextlib.contextmanager
    def watching(self, process: Watched) -> Iterator[None]:
        """Count the memory of a process that has not begun its program, until the end of the ``with`` block."""
        self._inherited[process] = self._read(process.pid)
        self._schedule()
        try:
            yield
        finally:
            self._inherited.pop(process, None)
            if not self._inherited and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def check(self) -> None:
        """End programs until the others fit the budget."""
        used = {process: max(0, self._read(process.pid) - before) for process, before in self._inherited.items()}
        total = sum(used.values())
        while used and total > self.budget:
            heaviest = _heaviest(used)
            amount = used.pop(heaviest)
            del self._inherited[heaviest]  # the program is ending, and its memory is freed soon
            heaviest.end(
                f"The server's memory for all running programs is used up ({self.budget >> 20:,} MB), and this program used "
                f"{amount >> 20:,} MB of it. Run it again in a moment, or with smaller tensors."
            )
            total -= amount

    def _schedule(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WATCH_SECONDS, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.check()
        if self._inherited:
            self._schedule()


def _heaviest(used: dict[Watched, int]) -> Watched:
    """Return the largest process of the client whose processes use the most."""
    of_client: dict[str, int] = defaultdict(int)
    for process, amount in used.items():
        of_client[process.client] += amount
    most = max(of_client, key=lambda client: of_client[client])
    return max((process for process in used if process.client == most), key=lambda process: used[process])


def process_memory(pid: int) -> int:
    """Return the memory that a process has allocated and touched, in bytes; 0 if it has exited.

    Pages that it still shares with its parent since the fork count too. Shared anonymous mappings count as ``RssShmem``.
    """
    try:
        with open(f"/proc/{pid}/status") as file:
            lines = file.read().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(_COUNTED))


def default_budget() -> int:
    """Return the memory of the machine or container minus 1 GiB for the server, but at least a quarter of that memory."""
    total = machine_memory()
    return max(total // 4, total - _SERVER_BYTES)


def machine_memory(processes: Path = Path("/proc"), legacy: Path = _LEGACY_LIMIT) -> int:
    """Return the memory in bytes that the processes of this machine, or of this container, may use.

    ``processes`` is where the kernel shows processes, and ``legacy`` the limit of a control group of version 1.
    """
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), cgroup.memory_limit(processes)]
    with contextlib.suppress(OSError, ValueError):
        limits.append(int(legacy.read_text()))
    return min(limit for limit in limits if limit is not None)

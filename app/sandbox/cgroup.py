"""Limit all programs together with a control group (cgroup, version 2), where the machine delegates one to the server.

systemd delegates one to a service with ``Delegate=yes``. A container usually has none. Nothing depends on it: without a group,
:mod:`.memory` limits the memory, and each child has limits of its own.

The zygote is in a group for programs, so that every child starts in that group. The delegated group passes controllers on, so
it must not contain a process itself. The server therefore moves into a group of its own::

    tapedeck.service            delegated, contains no process
      ├─ server                 the server
      └─ programs               the zygote and its children

The format of the files is described in the kernel's ``Documentation/admin-guide/cgroup-v2.rst``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from ..errors import SandboxError

_CONTROLLERS: Final[tuple[str, ...]] = ("memory", "pids", "cpu")
_ZYGOTE_BYTES: Final = 512 << 20
"""Memory for the zygote and idle children, in addition to that of the programs."""
_PERIOD: Final = 100_000
"""Period of the limit on processor time, in microseconds."""
_WEIGHT: Final = 50
"""Weight of the programs when all processors are busy. The server has the default weight, 100."""


class GroupLimits(Struct, frozen=True):
    """The limits of all programs together."""

    memory_bytes: int
    processes: int
    cpus: float
    """Cores that the programs may use; 0 for all of them."""


class NotDelegated(SandboxError):
    """The machine delegates no control group to this process. The message is the reason."""


class ControlGroup:
    """A control group for the zygote and its children. ``controllers`` are the kernel's controllers that limit them."""

    def __init__(self, folder: Path, limits: GroupLimits, controllers: list[str]) -> None:
        self.folder = folder
        self._limits = limits
        self._controllers = controllers

    def add(self, pid: int) -> None:
        """Move a process into the group, with the children that it will have. Raises :class:`OSError` if it has exited."""
        _write(self.folder / "cgroup.procs", str(pid))

    def __str__(self) -> str:
        """A sentence about the limits, for ``tapedeck doctor``."""
        limits = {
            "memory": f"{(self._limits.memory_bytes + _ZYGOTE_BYTES) >> 20:,} MB of memory",
            "pids": f"{self._limits.processes} processes",
            "cpu": f"{self._limits.cpus:g} cores" if self._limits.cpus else "a lower share of the cores than the server",
        }
        return f"A control group limits all programs together: {', '.join(limits[name] for name in self._controllers)}."


def create(limits: GroupLimits, processes: Path = Path("/proc")) -> ControlGroup:
    """Create the group for programs, or use the one of an earlier server, and set its limits.

    ``processes`` is where the kernel shows processes. Raises :class:`NotDelegated`.
    """
    own = own_folder(processes)
    base = own.parent if own.name == "server" and _is_empty(own.parent) else own
    if not os.access(base / "cgroup.subtree_control", os.W_OK):
        raise NotDelegated("the machine does not delegate the server's control group")
    offered = (base / "cgroup.controllers").read_text().split()
    controllers = [name for name in _CONTROLLERS if name in offered]
    if not controllers:
        raise NotDelegated("the server's control group has no controller for memory, processes or cores")
    try:
        if base == own:
            _move_into(base / "server", _processes(base), processes)
        _write(base / "cgroup.subtree_control", " ".join(f"+{name}" for name in controllers))
        folder = base / "programs"
        folder.mkdir(exist_ok=True)
        for file, value in _settings(limits, controllers):
            _write(folder / file, value)
    except OSError as error:
        raise NotDelegated(f"the control group could not be set up: {error}") from error
    return ControlGroup(folder, limits, controllers)


def own_folder(processes: Path = Path("/proc")) -> Path:
    """Return the folder of the control group of this process. Raises :class:`NotDelegated` if version 2 is not mounted."""
    with contextlib.suppress(OSError):
        path = next((line[3:] for line in (processes / "self/cgroup").read_text().splitlines() if line.startswith("0::")), None)
        for line in (processes / "self/mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            root, mounted = before.split()[3:5]
            if path is not None and after.startswith("cgroup2 ") and Path(path).is_relative_to(root):
                return Path(mounted) / Path(path).relative_to(root)
    raise NotDelegated("the machine has no control groups of version 2")


def memory_limit(processes: Path = Path("/proc")) -> int | None:
    """Return the smallest memory limit of the control groups of this process, in bytes, or ``None`` if there is none."""
    limits = []
    with contextlib.suppress(NotDelegated):
        own = own_folder(processes)
        for folder in (own, *own.parents):
            with contextlib.suppress(OSError, ValueError):  # no such file, or no limit ("max")
                limits.append(int((folder / "memory.max").read_text()))
    return min(limits, default=None)


def _move_into(folder: Path, pids: list[int], processes: Path) -> None:
    """Move processes into a new group. Raises :class:`NotDelegated` if one is neither this process nor started by it."""
    for pid in pids:
        if os.getpid() not in _ancestry(pid, processes):
            raise NotDelegated("other processes share the server's control group")
    folder.mkdir(exist_ok=True)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            _write(folder / "cgroup.procs", str(pid))


def _ancestry(pid: int, processes: Path) -> Iterator[int]:
    """Yield a process id, its parent's, and so on."""
    while pid > 0:
        yield pid
        try:
            pid = int((processes / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return


def _settings(limits: GroupLimits, controllers: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the file and the content of each limit."""
    if "memory" in controllers:
        yield "memory.max", str(limits.memory_bytes + _ZYGOTE_BYTES)
    if "pids" in controllers:
        yield "pids.max", str(limits.processes)
    if "cpu" in controllers:
        yield "cpu.weight", str(_WEIGHT)
        yield "cpu.max", f"{round(limits.cpus * _PERIOD)} {_PERIOD}" if limits.cpus else f"max {_PERIOD}"


def _processes(folder: Path) -> list[int]:
    return [int(line) for line in (folder / "cgroup.procs").read_text().split()]


def _is_empty(folder: Path) -> bool:
    """Return whether a folder is a control group that this process may see and that contains no process."""
    try:
        return not _processes(folder)
    except OSError:
        return False


def _write(file: Path, text: str) -> None:
    """Write a file of the kernel, in one call and without creating it."""
    descriptor = os.open(file, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)

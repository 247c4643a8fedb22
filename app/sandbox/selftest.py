"""Try to escape from a confined child. The pool runs programs only if every attempt is denied.

:func:`attempt` runs in a child and returns a report, which the pool reads with :func:`read`. An attempt that succeeds does no
harm.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from .control import Mode

_DENIED: Final = (errno.EPERM, errno.EACCES)
REPORT_BYTES: Final = 64 * 1024
"""Maximum size of a report, in bytes."""


class Check(NamedTuple):
    """One attempt: a statement such as ``forking is denied``, whether it is true, and what happened."""

    name: str
    ok: bool
    detail: str


def attempt(mode: Mode, *, isolated: bool = False) -> bytes:
    """Make every attempt, and return the report. If the child is ``isolated`` in namespaces, forbidden files must not exist."""
    # In namespaces, the files of other processes do not exist. /etc/passwd exists there, but is empty.
    checks = [_denied(name, action, absent=isolated and "process" in name) for name, action in _FORBIDDEN.items()]
    if isolated:
        checks.append(_absent("finding other files", "/proc/self", "/etc/hosts", __file__))
    if mode == "full":
        checks.append(_allowed("reading the standard library is allowed", _read_library))
    else:
        checks.append(_denied("reading the standard library", _read_library))
    return msgspec.json.encode(checks)


def read(report: bytes) -> list[Check]:
    """Decode a child's report. Raises :class:`msgspec.DecodeError` if it is invalid, or empty because the child has exited."""
    return msgspec.json.decode(report, type=list[Check])


def passed(checks: list[Check]) -> bool:
    """Return whether every attempt was made and every check is true."""
    return len(checks) >= len(_FORBIDDEN) + 1 and all(check.ok for check in checks)


def _absent(name: str, *paths: str) -> Check:
    """Check that no path exists."""
    found = [path for path in paths if os.path.lexists(path)]
    return Check(f"{name} is denied", not found, f"found {', '.join(found)}" if found else "")


def _denied(name: str, action: Callable[[], object], *, absent: bool = False) -> Check:
    """Check that an action is denied. With ``absent``, the action may also fail because a file does not exist."""
    try:
        action()
    except OSError as error:
        if error.errno in _DENIED or (absent and error.errno == errno.ENOENT):
            return Check(f"{name} is denied", True, error.strerror or "")
        return Check(f"{name} is denied", False, f"it failed for another reason: {error}")
    return Check(f"{name} is denied", False, "it was possible")


def _allowed(name: str, action: Callable[[], object]) -> Check:
    try:
        action()
    except OSError as error:
        return Check(name, False, str(error))
    return Check(name, True, "")


def _read_file(path: str) -> Callable[[], object]:
    return lambda: os.close(os.open(path, os.O_RDONLY))


def _read_library() -> None:
    os.close(os.open(os.__file__, os.O_RDONLY))


def _socket(family: int) -> Callable[[], object]:
    return lambda: socket.socket(family).close()


def _fork() -> None:
    if (pid := os.fork()) == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _execute() -> None:
    # If execve is allowed, it fails with ENOENT, because the file does not exist.
    os.execve("/nonexistent", ["nonexistent"], {})


def _write_file() -> None:
    path = f"/tmp/tapedeck-selftest-{os.getpid()}"
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    os.unlink(path)


def _clock_of(pid: int) -> int:
    """Return the id of the clock with the processor time of a process (``linux/posix-timers.h``)."""
    return ~pid << 3 | 2


_FORBIDDEN: Final[dict[str, Callable[[], object]]] = {
    "reading /etc/passwd": _read_file("/etc/passwd"),
    "reading another process's environment": lambda: _read_file(f"/proc/{os.getppid()}/environ")(),
    "listing the root folder": lambda: os.listdir("/"),
    "writing a file": _write_file,
    "opening a network socket": _socket(socket.AF_INET),
    "opening a local socket": _socket(socket.AF_UNIX),
    "forking": _fork,
    "executing a program": _execute,
    "signalling its parent": lambda: os.kill(os.getppid(), 0),
    "signalling every process": lambda: os.kill(-1, 0),
    "reading another process's clock": lambda: time.clock_gettime(_clock_of(os.getppid())),
    "reading which cores another process may use": lambda: os.sched_getaffinity(1),
}

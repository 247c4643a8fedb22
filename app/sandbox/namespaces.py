"""Give the zygote and its children namespaces of their own, where the kernel allows it, as a further protection.

In their mount namespace, only the files that a program may read exist, so not even ``stat`` finds other files. Their network
namespace has no network, and the host has another name. The sandbox does not rely on this: a container usually
forbids namespaces.

The flags are from ``linux/sched.h`` and ``linux/mount.h``. Namespaces are described in ``namespaces(7)``.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Iterator
from typing import Final

from . import kernel

_NEW_MOUNTS: Final = 0x00020000
_NEW_USER: Final = 0x10000000
_OTHERS: Final = 0x02000000 | 0x04000000 | 0x08000000 | 0x40000000  # cgroup, host name, System V IPC, network
_BIND, _RECURSIVE, _PRIVATE, _NO_SUID, _DETACH = 4096, 16384, 1 << 18, 2, 2
_SYS_ADMIN: Final = 1 << 21
_MOUNT_SETATTR: Final = 442
"""Number of the system call, which is newer than Linux 5.1 and therefore the same on every architecture."""
_AT_RECURSIVE, _READ_ONLY = 0x8000, 1
_BUILT: Final = "/tmp"
"""A folder of the machine on which the new root is mounted while it is built. Only the new namespace has that mount."""
_MACHINE: Final = "/.machine"
"""The folder in the new root where the machine's own root is available while the new root is built."""
DECOY: Final = "/etc/passwd"
"""An empty file that exists in the new root, so that the self-test still proves that Landlock denies it."""

_libc = ctypes.CDLL(None, use_errno=True)


def enter(readable: Iterable[str], empty: Iterable[str] = ()) -> str | None:
    """Move this process into new namespaces in which only the paths ``readable`` exist. Return the error, or ``None``.

    The folders ``empty`` exist too, without their content.

    After a failure, nothing has changed: a forked process tries the move first, because it cannot be undone. This process must
    have one thread and be dumpable. In the new namespaces, ``/proc`` does not exist, and ``/dev`` contains only ``/dev/null``.
    """
    paths = [path for path in readable if os.path.exists(path)]
    folders = list(empty)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _isolate(paths, folders)
            os._exit(0)
        except BaseException as error:
            os.write(writing, str(error).encode()[:200])
            os._exit(1)
    os.close(writing)
    with open(reading, "rb") as pipe:
        reason = pipe.read().decode(errors="replace")
    if os.waitpid(child, 0)[1] != 0:
        return reason or "the attempt failed"
    _isolate(paths, folders)
    return None


def _isolate(paths: list[str], empty: list[str]) -> None:
    """Unshare the namespaces and build a root folder with only these paths. Raises :class:`OSError` if a step fails."""
    sources = {path: os.path.realpath(path) for path in (os.devnull, *paths)}
    times = {parent: os.stat(parent).st_mtime_ns for path in sources for parent in _parents(path)}
    _unshare()
    _check(_libc.sethostname(b"tapedeck", 8))
    _mount(None, "/", None, _RECURSIVE | _PRIVATE)
    _mount("none", _BUILT, "tmpfs", _NO_SUID, "mode=755,size=1m")
    os.mkdir(_BUILT + _MACHINE)
    _check(_libc.pivot_root(_BUILT.encode(), (_BUILT + _MACHINE).encode()))
    os.chdir("/")
    for path, source in sources.items():
        _show(_MACHINE + source, path)
    os.makedirs(os.path.dirname(DECOY), exist_ok=True)
    _touch(DECOY)
    for folder in empty:
        os.makedirs(folder, exist_ok=True)
    for folder in sorted(times, reverse=True):
        # If the time of a folder differs, Python lists the folder again, which a child may not do.
        os.utime(folder, ns=(times[folder], times[folder]))
    _check(_libc.umount2(_MACHINE.encode(), _DETACH))
    os.rmdir(_MACHINE)
    attributes = (ctypes.c_uint64 * 4)(_READ_ONLY | _NO_SUID)
    kernel.call(
        _MOUNT_SETATTR,
        -1,
        ctypes.create_string_buffer(b"/"),
        _AT_RECURSIVE,
        ctypes.cast(attributes, ctypes.c_void_p).value or 0,
        32,
    )


def _unshare() -> None:
    """Enter new namespaces. Without privileges, this requires a user namespace, in which this process has the same ids."""
    if kernel.capabilities()[0] & _SYS_ADMIN:
        _check(_libc.unshare(_NEW_MOUNTS | _OTHERS))
        return
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        raise PermissionError("the server runs as root without the capability SYS_ADMIN")
    _check(_libc.unshare(_NEW_USER | _NEW_MOUNTS | _OTHERS))
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _show(source: str, path: str) -> None:
    """Mount a file or folder at ``path``."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.isdir(source):
        os.makedirs(path, exist_ok=True)
    else:
        _touch(path)
    _mount(source, path, None, _BIND | _RECURSIVE)


def _parents(path: str) -> Iterator[str]:
    while (path := os.path.dirname(path)) != "/":
        yield path


def _touch(path: str) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    texts = [None if text is None else text.encode() for text in (source, target, kind, options)]
    _check(_libc.mount(*texts[:3], ctypes.c_ulong(flags), texts[3]))


def _check(result: int) -> None:
    """Raise :class:`OSError` if a function of the C library has failed."""
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))

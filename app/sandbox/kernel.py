"""Call kernel functions for which the standard library has no wrapper.

The constants are from ``linux/prctl.h`` and ``linux/capability.h``. They are the same on every architecture.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_GET_SECCOMP: Final = 21
PR_CAPBSET_DROP: Final = 24
PR_SET_NO_NEW_PRIVS: Final = 38
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4

LINUX: Final = sys.platform == "linux"
MADV_POPULATE_READ: Final = 22
MADV_POPULATE_WRITE: Final = 23
_MADV_COLLAPSE: Final = 25
_HUGE_PAGE: Final = 2 << 20
"""Size of a huge page in bytes. With base pages above 4 KiB, a huge page is larger, and the kernel rejects smaller ranges."""
_CAPABILITY_VERSION: Final = 0x20080522  # version 3: two words per set
_MAX_CAPABILITY: Final = 63

_libc = ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: int | ctypes.Array[ctypes.c_char] | ctypes.Structure | None) -> int:
    """Make a system call by its number. Raises :class:`OSError` if it fails. Structures are passed by address."""
    passed = [_argument(argument) for argument in arguments]
    result = int(_syscall(ctypes.c_long(number), *passed))
    if result < 0:
        raise _os_error()
    return result


def prctl(option: int, second: int = 0, third: int = 0) -> int:
    """Call ``prctl``. Raises :class:`OSError` if it fails."""
    result = int(_libc.prctl(option, *(ctypes.c_ulong(number) for number in (second, third, 0, 0))))
    if result < 0:
        raise _os_error()
    return result


def capabilities() -> tuple[int, ...]:
    """Return the words of this thread's effective, permitted and inheritable sets. All are zero if it has no capability."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    data = (ctypes.c_uint32 * 6)()
    if _libc.capget(header, data) != 0:
        raise _os_error()
    return tuple(data)


def drop_capabilities() -> None:
    """Give up every capability permanently. Raises :class:`OSError` if one remains."""
    for capability in range(_MAX_CAPABILITY + 1):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            # Either this kernel has no such capability, or we may not shrink the bounding set. In the second case
            # no_new_privs has the same effect.
            break
    with contextlib.suppress(OSError):  # the kernel may not support ambient capabilities
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    if _libc.capset(header, (ctypes.c_uint32 * 6)()) != 0 or any(capabilities()):
        raise OSError(ctypes.get_errno(), "capabilities could not be dropped")


class OomScore:
    """How readily the kernel kills this process when memory runs out: from 0 (default) to 1000 (first).

    The file stays open, because a process that has changed its user cannot open it again. Without ``/proc``, the score does not
    change.
    """

    def __init__(self) -> None:
        self._file = -1
        with contextlib.suppress(OSError):
            self._file = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)

    def set(self, score: int) -> None:
        """Set the score. A forked process inherits it."""
        if self._file >= 0:
            with contextlib.suppress(OSError):  # lowering the score can be forbidden
                os.pwrite(self._file, str(score).encode(), 0)


def threads() -> int:
    """Return the number of threads of this process."""
    return len(os.listdir("/proc/self/task"))


def address_space() -> int:
    """Return the size of this process's address space (``VmSize``), in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Return the resident memory of this process (``VmRSS``), in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def shared_mappings() -> list[str]:
    """Return the writable shared mappings of this process: memory through which its children could communicate."""
    with open("/proc/self/maps") as file:
        return [line.strip() for line in file if "w" in line.split()[1] and "s" in line.split()[1]]


def collapse_memory() -> None:
    """Move this process's anonymous memory to huge pages, so that forking it copies few page tables.

    In a huge page, parts that were never used take memory too. A kernel before Linux 6.1 or without huge pages leaves the
    memory as it is.
    """
    with open("/proc/self/maps") as file:
        mappings = file.read().splitlines()
    for mapping in mappings:
        addresses, permissions, _, _, inode, *name = mapping.split(None, 5)
        if permissions != "rw-p" or inode != "0" or (name and name[0].startswith("[stack")):
            continue
        start, end = (int(address, 16) for address in addresses.split("-"))
        start, end = -(-start // _HUGE_PAGE) * _HUGE_PAGE, end // _HUGE_PAGE * _HUGE_PAGE
        if start < end:  # the result is ignored: the kernel may refuse a range, or lack memory
            advise(start, end - start, _MADV_COLLAPSE)


def advise(address: int, size: int, advice: int) -> bool:
    """Call ``madvise`` on a range of this process's memory. Return whether the kernel could follow the advice."""
    return int(_madvise(address, size, advice)) == 0


def _argument(argument: int | ctypes.Array[ctypes.c_char] | ctypes.Structure | None) -> object:
    if argument is None:
        return ctypes.c_void_p(None)
    return ctypes.c_long(argument) if isinstance(argument, int) else ctypes.byref(argument)


def _os_error() -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))


if LINUX:
    _madvise = _libc.madvise
    _madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long


def is_stopped(pid: int) -> bool:
    """Return whether a signal or a debugger has stopped a process."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            state = file.read().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state in ("T", "t")

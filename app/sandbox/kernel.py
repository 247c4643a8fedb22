"""Call the kernel where Python has no call of its own.

Numbers are those of ``linux/prctl.h`` and ``linux/capability.h``, the same on every architecture.
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
_CAPABILITY_VERSION: Final = 0x20080522  # version 3: two words a set
_LAST_POSSIBLE_CAPABILITY: Final = 63

_libc = ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: int | ctypes.Array[ctypes.c_char] | ctypes.Structure | None) -> int:
    """Make a system call by number; raises :class:`OSError` when it fails. Structures are passed by address."""
    passed = [_argument(argument) for argument in arguments]
    result = int(_syscall(ctypes.c_long(number), *passed))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def prctl(option: int, second: int = 0, third: int = 0) -> int:
    """Call ``prctl``; raises :class:`OSError` when it fails."""
    result = int(_libc.prctl(option, *(ctypes.c_ulong(number) for number in (second, third, 0, 0))))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def capabilities() -> tuple[int, ...]:
    """Words of this thread's effective, permitted and inheritable sets: all zero when it has none."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    data = (ctypes.c_uint32 * 6)()
    if _libc.capget(header, data) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return tuple(data)


def drop_capabilities() -> None:
    """Give up every capability, for good; raises :class:`OSError` if any is left."""
    for capability in range(_LAST_POSSIBLE_CAPABILITY + 1):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:  # beyond the last that this kernel has, or not allowed to shrink the set; no_new_privs covers that
            break
    with contextlib.suppress(OSError):  # a kernel without ambient capabilities
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    if _libc.capset(header, (ctypes.c_uint32 * 6)()) != 0 or any(capabilities()):
        code = ctypes.get_errno()
        raise OSError(code, "capabilities could not be dropped")


def threads() -> int:
    """Number of threads of this process."""
    return len(os.listdir("/proc/self/task"))


def address_space() -> int:
    """Bytes of this process's address space (``VmSize``)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Bytes of memory that this process has in use (``VmRSS``)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def shared_mappings() -> list[str]:
    """Writable memory that a fork would share: what children could talk to each other through."""
    with open("/proc/self/maps") as file:
        return [line.strip() for line in file if "w" in line.split()[1] and "s" in line.split()[1]]


def _argument(argument: int | ctypes.Array[ctypes.c_char] | ctypes.Structure | None) -> object:
    if argument is None:
        return ctypes.c_void_p(None)
    return ctypes.c_long(argument) if isinstance(argument, int) else ctypes.byref(argument)


_syscall = _libc.syscall
_syscall.restype = ctypes.c_long

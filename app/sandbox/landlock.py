"""Restrict a process to reading certain files, with Landlock.

Structures and constants are from ``linux/landlock.h``. The zygote builds the ruleset once, and each child only applies it.
Landlock does not restrict ``stat``, ``chmod``, ``utime`` or extended attributes. The seccomp filter denies all of these except
``stat``, which imports need.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable
from typing import Final

from . import kernel

# System calls newer than Linux 5.1 have the same number on every architecture.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_LOG_SAME_EXEC_OFF: Final = 1

READ_FILE: Final = 1 << 2
READ_DIR: Final = 1 << 3
_FILE_RIGHTS: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All file rights of an ABI version, by the first version that has them.

Version 1 (Linux 5.13) has 13 rights. Later ones add refer (2), truncate (3) and ioctl on devices (5).
"""
_NET_RIGHTS: Final = 0b11  # ABI 4: bind and connect
_SCOPES: Final = 0b11  # ABI 6: abstract sockets and signals to processes outside


class _Ruleset(ctypes.Structure):
    _fields_ = (("access_fs", ctypes.c_uint64), ("access_net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """Return the version of the kernel's Landlock ABI, or 0 if it has none."""
    if not kernel.LINUX:
        return 0
    try:
        return kernel.call(CREATE_RULESET, None, 0, _VERSION)
    except OSError:
        return 0


def handled(abi: int) -> tuple[int, int, int]:
    """Return the file rights, network rights and scopes that an ABI version can restrict.

    >>> [bin(rights) for rights in handled(4)]
    ['0b111111111111111', '0b11', '0b0']
    """
    files = _FILE_RIGHTS[max(first for first in _FILE_RIGHTS if first <= abi)]
    return files, _NET_RIGHTS if abi >= 4 else 0, _SCOPES if abi >= 6 else 0


def build_ruleset(readable: Iterable[str]) -> int:
    """Build a ruleset that only allows reading the given files, and folders with everything below them.

    Returns a descriptor of the ruleset. Paths that do not exist are skipped. Raises :class:`OSError` without Landlock.
    """
    files, network, scopes = handled(version())
    # An older kernel refuses a structure with fields that it does not know, so pass only the known part.
    size = 24 if scopes else 16 if network else 8
    rules = kernel.call(CREATE_RULESET, _Ruleset(files, network, scopes), size, 0)
    for path in readable:
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            rights = READ_FILE | READ_DIR if stat.S_ISDIR(os.fstat(descriptor).st_mode) else READ_FILE
            kernel.call(ADD_RULE, rules, _PATH_BENEATH, _PathBeneath(rights, descriptor), 0)
        finally:
            os.close(descriptor)
    return rules


def restrict(rules: int) -> None:
    """Apply a ruleset to this process permanently. Raises :class:`OSError` if that fails. Requires ``no_new_privs``."""
    # A program can cause any number of denials. Without this flag (ABI 7), each would be written to the audit log.
    kernel.call(RESTRICT_SELF, rules, _LOG_SAME_EXEC_OFF if version() >= 7 else 0)

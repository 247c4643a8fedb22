"""Let a process read named folders and touch no other file, with Landlock.

Structures and numbers are those of ``linux/landlock.h``. The set of rules is built once, in the zygote; a child only
puts it on. Landlock does not cover ``stat``, ``chmod``, ``utime`` or extended attributes: seccomp must.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable
from typing import Final

from . import kernel

# The numbers of system calls newer than Linux 5.1 are the same on every architecture.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_LOG_SAME_EXEC_OFF: Final = 1

READ_FILE: Final = 1 << 2
READ_DIR: Final = 1 << 3
_FILE_RIGHTS: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Every right that an ABI knows, by the ABI that brought it: from 13 of the first (5.13), refer, truncate, ioctl on devices."""
_NET_RIGHTS: Final = 0b11  # ABI 4: bind and connect
_SCOPES: Final = 0b11  # ABI 6: abstract sockets and signals to outside


class _Ruleset(ctypes.Structure):
    _fields_ = (("access_fs", ctypes.c_uint64), ("access_net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """Landlock's ABI, asked by system call; 0 where there is none."""
    if not kernel.LINUX:
        return 0
    try:
        return kernel.call(CREATE_RULESET, None, 0, _VERSION)
    except OSError:
        return 0


def handled(abi: int) -> tuple[int, int, int]:
    """Rights on files, rights on the network and scopes that an ABI can take away.

    >>> [bin(rights) for rights in handled(4)]
    ['0b111111111111111', '0b11', '0b0']
    """
    files = _FILE_RIGHTS[max(known for known in _FILE_RIGHTS if known <= abi)]
    return files, _NET_RIGHTS if abi >= 4 else 0, _SCOPES if abi >= 6 else 0


def ruleset(readable: Iterable[str]) -> int:
    """Build the rules under which only what is ``readable`` (folders with all below them, files) can be read.

    Returns their file descriptor. A path that does not exist is left out; raises :class:`OSError` without Landlock.
    """
    files, network, scopes = handled(version())
    # An older kernel refuses fields that it does not know, unless they are left out.
    size = 24 if scopes else 16 if network else 8
    rules = kernel.call(CREATE_RULESET, _Ruleset(files, network, scopes), size, 0)
    for path in readable:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            rights = READ_FILE | READ_DIR if stat.S_ISDIR(os.fstat(place).st_mode) else READ_FILE
            kernel.call(ADD_RULE, rules, _PATH_BENEATH, _PathBeneath(rights, place), 0)
        finally:
            os.close(place)
    return rules


def restrict(rules: int) -> None:
    """Put rules on this process, for good; ``no_new_privs`` must be set. Raises :class:`OSError` if they don't hold."""
    # Denials are a stranger's doing: without this flag (ABI 7) each would be a line in the audit log.
    kernel.call(RESTRICT_SELF, rules, _LOG_SAME_EXEC_OFF if version() >= 7 else 0)

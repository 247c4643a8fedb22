"""Restrict a process to the system calls that a computation needs, with a BPF filter. All other calls fail with ``EPERM``.

The zygote builds the filter once. Each child fills in its own process id and installs it. Structures are from
``linux/filter.h`` and ``linux/seccomp.h``. System call numbers are from ``asm/unistd_64.h`` (x86-64) and
``asm-generic/unistd.h`` (aarch64); a test compares them with libseccomp.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from . import kernel

X86_64: Final = {
    "read": 0, "write": 1, "open": 2, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7, "lseek": 8, "mmap": 9,
    "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "pread64": 17,
    "readv": 19, "writev": 20, "access": 21, "select": 23, "sched_yield": 24, "mremap": 25, "madvise": 28, "dup": 32,
    "dup2": 33, "nanosleep": 35, "alarm": 37, "setitimer": 38, "getpid": 39, "exit": 60, "kill": 62, "uname": 63, "fcntl": 72,
    "getcwd": 79, "gettimeofday": 96, "getrlimit": 97, "getrusage": 98, "times": 100, "getuid": 102, "getgid": 104,
    "geteuid": 107, "getegid": 108, "getppid": 110, "getgroups": 115, "getresuid": 118, "getresgid": 120, "sigaltstack": 131,
    "gettid": 186, "time": 201, "futex": 202, "sched_getaffinity": 204, "getdents64": 217, "restart_syscall": 219,
    "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231, "tgkill": 234, "openat": 257,
    "newfstatat": 262, "faccessat": 269, "pselect6": 270, "ppoll": 271, "dup3": 292, "prlimit64": 302, "getcpu": 309,
    "getrandom": 318, "statx": 332, "clone3": 435, "close_range": 436, "faccessat2": 439, "seccomp": 317,
}  # fmt: skip
AARCH64: Final = {
    "getcwd": 17, "dup": 23, "dup3": 24, "fcntl": 25, "faccessat": 48, "openat": 56, "close": 57, "getdents64": 61,
    "lseek": 62, "read": 63, "write": 64, "readv": 65, "writev": 66, "pread64": 67, "pselect6": 72, "ppoll": 73,
    "newfstatat": 79, "fstat": 80, "exit": 93, "exit_group": 94, "futex": 98, "nanosleep": 101, "setitimer": 103,
    "clock_gettime": 113, "clock_getres": 114, "clock_nanosleep": 115, "sched_getaffinity": 123, "sched_yield": 124,
    "restart_syscall": 128, "kill": 129, "tgkill": 131, "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135,
    "rt_sigreturn": 139, "getresuid": 148, "getresgid": 150, "times": 153, "getgroups": 158, "uname": 160, "getrlimit": 163,
    "getrusage": 165, "getcpu": 168, "gettimeofday": 169, "getpid": 172, "getppid": 173, "getuid": 174, "geteuid": 175,
    "getgid": 176, "getegid": 177, "gettid": 178, "brk": 214, "munmap": 215, "mremap": 216, "mmap": 222, "mprotect": 226,
    "madvise": 233, "prlimit64": 261, "getrandom": 278, "statx": 291, "clone3": 435, "close_range": 436, "faccessat2": 439,
    "seccomp": 277,
}  # fmt: skip


class Machine(NamedTuple):
    """An architecture: its ``AUDIT_ARCH`` constant and its system call numbers."""

    audit: int
    numbers: dict[str, int]


MACHINES: Final = {
    "x86_64": Machine(0xC000003E, X86_64),
    "aarch64": Machine(0xC00000B7, AARCH64),
}

COMPUTING: Final = (
    "read", "write", "close", "fstat", "lseek", "pread64", "readv", "writev", "dup", "dup2", "dup3", "close_range",
    "mprotect", "munmap", "mremap", "brk",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall",
    "exit", "exit_group", "sched_yield", "getcpu",
    "nanosleep", "alarm", "setitimer", "gettimeofday", "time", "times", "getrusage", "getrlimit",
    "poll", "ppoll", "select", "pselect6", "getrandom", "uname",
    "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups",
)  # fmt: skip
"""Calls that are allowed with any arguments. They affect only the process itself and the descriptors that it already has."""
LOOKING: Final = ("stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "getdents64", "getcwd")
"""Calls that imports need, allowed in mode ``full``. Landlock restricts only some of them, so they reveal which paths exist."""

_O_PATH, _O_TMPFILE = 0o10000000, 0o20000000
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | _O_PATH | _O_TMPFILE
_F_DUPFD_CLOEXEC: Final = 1030
_FCNTL: Final = (0, 1, 2, 3, _F_DUPFD_CLOEXEC)
"""Allowed commands of ``fcntl``: duplicate, get and set close-on-exec, get flags. ``F_SETOWN`` would send signals."""

CLOCKS: Final = (0, 1, 2, 3, 4, 5, 6, 7, 11)
"""Allowed clocks: those of the machine, and the processor time of the caller. A negative id belongs to another process or a
device."""
_PRIVATE, _REALTIME = 128, 256
FUTEXES: Final = (0, 1, 3, 4, 5, 9, 10)
"""Allowed operations of ``futex``: wait, wake and requeue, on private memory. A shared mapping of a file would connect
two programs, and the operations with priority inheritance look up other threads by their id."""
ADVICE: Final = (0, 1, 2, 3, 4, 8, 14, 15, 16, 17)
"""Allowed kinds of ``madvise``: the order of access, free, huge pages, and core dumps. ``MADV_MERGEABLE`` would reveal the
pages of other processes."""
_MAP_HUGETLB: Final = 0x40000

ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
DENY: Final = _ERRNO | errno.EPERM
NO_SUCH_CALL: Final = _ERRNO | errno.ENOSYS
_X32: Final = 0x40000000
_SET_MODE_FILTER: Final = 1

# Opcodes of BPF: load a word, mask it, jump if equal or at least, return.
_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
# Offsets into struct seccomp_data.
_NUMBER, _AUDIT, _ARGUMENTS = 0, 4, 16
_INSTRUCTION: Final = struct.Struct("=HBBI")
_OWN_PID: Final = 0xFFFF_FFF1
"""Placeholder for the id of the process that installs the filter. No process can have this id."""


class ArgumentTest(NamedTuple):
    """A condition on one half of a 64-bit argument: ``half & mask == value``. ``high`` selects the upper half."""

    argument: int
    value: int
    mask: int = 0xFFFF_FFFF
    high: bool = False


def _null(argument: int) -> tuple[ArgumentTest, ...]:
    return ArgumentTest(argument, 0), ArgumentTest(argument, 0, high=True)


def _one_of(argument: int, values: Iterable[int], mask: int = 0xFFFF_FFFF) -> tuple[tuple[ArgumentTest, ...], ...]:
    return tuple((ArgumentTest(argument, value, mask),) for value in values)


# Each call has alternatives; it is allowed if all tests of one alternative pass. For an argument of type `int` it is enough
# to test the lower half, because the kernel ignores the upper one.
_CONDITIONAL: Final[dict[str, tuple[tuple[ArgumentTest, ...], ...]]] = {
    "madvise": _one_of(2, ADVICE),
    "futex": _one_of(1, (operation | _PRIVATE for operation in FUTEXES), mask=0xFFFF_FFFF ^ _REALTIME),
    "mmap": ((ArgumentTest(3, 0, _MAP_HUGETLB),),),  # huge pages are shared by the whole machine
    "clock_gettime": _one_of(0, CLOCKS),
    "clock_getres": _one_of(0, CLOCKS),
    "clock_nanosleep": _one_of(0, CLOCKS),
    "sched_getaffinity": _one_of(0, (0, _OWN_PID)),
    "fcntl": _one_of(1, _FCNTL),
    "prlimit64": ((ArgumentTest(0, 0), *_null(2)),),
    "kill": _one_of(0, (_OWN_PID,)),
    "tgkill": _one_of(0, (_OWN_PID,)),
}
_OPENING: Final[dict[str, tuple[tuple[ArgumentTest, ...], ...]]] = {
    "open": ((ArgumentTest(1, 0, _WRITING),),),
    "openat": ((ArgumentTest(2, 0, _WRITING),),),
}


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def available() -> bool:
    """Return whether the kernel supports filters and this architecture is one of :data:`MACHINES`."""
    if not kernel.LINUX or platform.machine() not in MACHINES:
        return False
    try:
        kernel.prctl(kernel.PR_GET_SECCOMP)
        # For a null filter, a kernel with support for filters returns EFAULT, and one without returns EINVAL.
        kernel.call(MACHINES[platform.machine()].numbers["seccomp"], _SET_MODE_FILTER, 0, None)
    except OSError as error:
        return error.errno == errno.EFAULT
    return False


def build_filter(machine: str, *, files: bool) -> bytes:
    """Build the filter for an architecture. Without ``files`` it denies opening files and testing whether they exist.

    A call through the table of another architecture (32-bit, x32) fails with ``ENOSYS``. A kill would also write a line to the
    kernel's log, which programs could fill. Raises :class:`KeyError` if ``machine`` is not one of :data:`MACHINES`.
    """
    audit, numbers = MACHINES[machine]
    program = [
        _instruction(_LOAD, _AUDIT),
        _instruction(_EQUAL, audit, 1, 0),
        _instruction(_RETURN, NO_SUCH_CALL),
        _instruction(_LOAD, _NUMBER),
        _instruction(_AT_LEAST, _X32, 0, 1),
        _instruction(_RETURN, NO_SUCH_CALL),
    ]
    for name in COMPUTING + (LOOKING if files else ()):
        if name in numbers:
            program += (_instruction(_EQUAL, numbers[name], 0, 1), _instruction(_RETURN, ALLOW))
    # glibc tries clone3 first, and falls back to clone (which is denied) only after ENOSYS.
    program += (_instruction(_EQUAL, numbers["clone3"], 0, 1), _instruction(_RETURN, NO_SUCH_CALL))
    for name, alternatives in (_CONDITIONAL | (_OPENING if files else {})).items():
        if name in numbers:
            body = b"".join(map(_alternative, alternatives)) + _instruction(_RETURN, DENY)
            program += (_instruction(_EQUAL, numbers[name], 0, len(body) // _INSTRUCTION.size), body)
    return b"".join((*program, _instruction(_RETURN, DENY)))


def install(program: bytes) -> None:
    """Install a filter in this process permanently. Raises :class:`OSError` if that fails. Requires ``no_new_privs``."""
    pid = os.getpid()
    instructions = _INSTRUCTION.iter_unpack(program)
    own = b"".join(
        _instruction(code, pid if value == _OWN_PID else value, true, false) for code, true, false, value in instructions
    )
    filled = _FilterProgram(len(own) // _INSTRUCTION.size, own)
    kernel.call(MACHINES[platform.machine()].numbers["seccomp"], _SET_MODE_FILTER, 0, filled)


def _alternative(tests: tuple[ArgumentTest, ...]) -> bytes:
    """Return instructions that allow the call if every test passes, and otherwise jump behind the last instruction."""
    block = b""
    remaining = 3 * len(tests) + 1
    for test in tests:
        remaining -= 3
        block += _instruction(_LOAD, _ARGUMENTS + 8 * test.argument + 4 * test.high)
        block += _instruction(_AND, test.mask)
        block += _instruction(_EQUAL, test.value, 0, remaining)
    return block + _instruction(_RETURN, ALLOW)


def _instruction(code: int, value: int, when_true: int = 0, when_false: int = 0) -> bytes:
    """Return one instruction. A jump skips ``when_true`` or ``when_false`` instructions."""
    return _INSTRUCTION.pack(code, when_true, when_false, value)

"""Remove every privilege and resource that a process does not need.

The zygote drops its privileges. Each child then confines itself, in an order that matters, because later steps forbid earlier
ones:

1. Descriptors and resource limits.
2. ``no_new_privs``, which the next two require.
3. Landlock.
4. seccomp, which forbids all of the above.

Any failure raises an exception, and the caller must end the process.
"""

from __future__ import annotations

import fcntl
import os
import resource
import signal
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from . import kernel, landlock, seccomp
from .control import EVENTS_FD, JOB_FD, Mode, ZygoteConfig

NOBODY: Final = 65534
"""The uid and gid of the user ``nobody``."""
_MAX_DESCRIPTORS: Final = 48
_HIGH_FD: Final = 64
"""Descriptors are moved to this number or above before the low numbers are assigned."""
WRITTEN_BYTES: Final = 1 << 20
"""Maximum size of a file, in bytes. The only files that a confined program can write to are its own descriptors 1 and 2."""


class Confinement(Struct, frozen=True):
    """The confinement that the zygote prepares once and each child applies to itself."""

    mode: Mode
    rules: int | None
    """Descriptor of the Landlock ruleset."""
    filter: bytes
    """The seccomp filter."""
    address_space: int
    """Bytes of address space that a child may map in total: the zygote's own and the program's."""
    config: ZygoteConfig
    isolated: bool = False
    """Whether the zygote is in namespaces of its own."""


def best_mode() -> Mode:
    """Return the strictest mode that the kernel supports, determined by system calls."""
    if not seccomp.available():
        return "none"
    return "full" if landlock.version() > 0 else "nofiles"


def confine(confinement: Confinement, zygote: int) -> None:
    """Confine this process, which was just forked from ``zygote``. Raises :class:`OSError` if any part fails."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if number < signal.SIGRTMIN:
            # Python ignores SIGPIPE and SIGXFSZ, so that the write raises OSError instead of ending the process.
            ignored = number in (signal.SIGPIPE, signal.SIGXFSZ)
            signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for limit, amount in _limits(confinement):
        ceiling = resource.getrlimit(limit)[1]
        amount = amount if ceiling == resource.RLIM_INFINITY else min(amount, ceiling)
        # At the hard limit of processor time the kernel sends SIGKILL. SIGXCPU, sent at the soft limit, names the reason.
        hard = amount + 1 if limit == resource.RLIMIT_CPU and ceiling == resource.RLIM_INFINITY else amount
        resource.setrlimit(limit, (amount, hard))
    if not kernel.LINUX:
        return
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != zygote:  # the zygote exited before PR_SET_PDEATHSIG took effect
        raise OSError("the zygote has exited")
    if confinement.mode == "none":
        return
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    if any(kernel.capabilities()):
        raise OSError("the process still has capabilities")
    if confinement.rules is not None:
        landlock.restrict(confinement.rules)
        os.close(confinement.rules)
    seccomp.install(confinement.filter)


def keep_only(job_pipe: int, events_pipe: int, rules: int | None, *, files: bool = False) -> int | None:
    """Close all descriptors but the two pipes and the Landlock ruleset, and return the new descriptor of the ruleset.

    The pipes are moved to :data:`JOB_FD` and :data:`EVENTS_FD`. Descriptors 0 to 2 become ``/dev/null``. With ``files``,
    1 and 2 become files in memory instead, from which the tracer reads the text that bypasses ``sys.stdout``.
    """
    # Move all descriptors up first, because one may have the number that another one needs.
    job_pipe, events_pipe = (fcntl.fcntl(pipe, fcntl.F_DUPFD, _HIGH_FD) for pipe in (job_pipe, events_pipe))
    moved = None if rules is None else fcntl.fcntl(rules, fcntl.F_DUPFD, _HIGH_FD)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(os.memfd_create("text") if files and standard else null, standard)
    os.dup2(job_pipe, JOB_FD)
    os.dup2(events_pipe, EVENTS_FD)
    if moved is not None:
        os.dup2(moved, EVENTS_FD + 1)
    os.closerange(EVENTS_FD + 1 + (moved is not None), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    return None if moved is None else EVENTS_FD + 1


def drop_privileges(drop_uid: bool, needed: list[str]) -> str:
    """Drop every capability, and drop uid 0 if the files ``needed`` stay readable. Return a sentence about the result."""
    if os.geteuid() != 0:
        kernel.drop_capabilities()
        return f"Programs run as uid {os.geteuid()}, without capabilities."
    if drop_uid and _readable_by_nobody(needed):
        _become_nobody()
        kernel.drop_capabilities()
        return f"Tapedeck was started as root: programs run as uid {NOBODY}, without capabilities."
    kernel.drop_capabilities()
    return (
        "Tapedeck was started as root, and other users cannot read the Python interpreter: programs run as uid 0, without "
        "capabilities."
    )


def _become_nobody() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _readable_by_nobody(paths: list[str]) -> bool:
    """Return whether the user ``nobody`` can read all files. This also depends on the folders above them.

    A forked process tries to read them, because a change of user cannot be undone.
    """
    child = os.fork()
    if child == 0:
        try:
            _become_nobody()
            for path in paths:
                os.close(os.open(path, os.O_RDONLY))
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def _limits(confinement: Confinement) -> Iterator[tuple[int, int]]:
    """Yield the resource limits of a child."""
    config = confinement.config
    yield resource.RLIMIT_CORE, 0
    yield resource.RLIMIT_CPU, config.cpu_seconds
    yield resource.RLIMIT_STACK, config.stack_bytes
    yield resource.RLIMIT_AS, confinement.address_space
    if confinement.mode != "none":
        yield resource.RLIMIT_FSIZE, WRITTEN_BYTES
        yield resource.RLIMIT_MEMLOCK, 0
        yield resource.RLIMIT_NPROC, 0
        # The next two resources are counted for all processes of the user together, so one program could use them up.
        yield resource.RLIMIT_SIGPENDING, 0
        yield resource.RLIMIT_MSGQUEUE, 0
        yield resource.RLIMIT_NOFILE, _MAX_DESCRIPTORS

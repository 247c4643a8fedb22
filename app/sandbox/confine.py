"""Take everything away from a process that it does not need, in the order in which it can still be done.

The order matters: descriptors and limits first, then what needs privileges, then ``no_new_privs``, then Landlock, and
seccomp last, since it forbids all of the above. Anything that fails is raised: the caller ends the process.
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
from .control import EVENTS_FD, JOB_FD, Mode, Plan

NOBODY: Final = 65534
_DESCRIPTORS: Final = 48
_APART: Final = 64


class Confinement(Struct, frozen=True):
    """What is prepared once, in the zygote, and put on by each child."""

    mode: Mode
    rules: int | None
    """Descriptor of the Landlock rules."""
    program: bytes
    """The seccomp filter."""
    address_space: int
    """Bytes that a child may map in all: the zygote's own and the program's."""
    plan: Plan


def best_mode() -> Mode:
    """The best mode that this machine has, asked by system call."""
    if not seccomp.available():
        return "none"
    return "full" if landlock.version() > 0 else "nofiles"


def confine(given: Confinement, zygote: int) -> None:
    """Confine this process, just forked from ``zygote``; raises :class:`OSError` if any part does not hold."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if number < signal.SIGRTMIN:
            # SIGPIPE and SIGXFSZ stay as Python has them: an error of the write, not a death.
            quiet = number in (signal.SIGPIPE, signal.SIGXFSZ)
            signal.signal(number, signal.SIG_IGN if quiet else signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _prefer_to_be_killed()
    for limit, amount in _limits(given):
        ceiling = resource.getrlimit(limit)[1]
        amount = amount if ceiling == resource.RLIM_INFINITY else min(amount, ceiling)
        # At the hard limit of processor time the kernel sends SIGKILL, which would not say why; SIGXCPU does.
        hard = amount + 1 if limit == resource.RLIMIT_CPU and ceiling == resource.RLIM_INFINITY else amount
        resource.setrlimit(limit, (amount, hard))
    if not kernel.LINUX:
        return
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != zygote:  # it died before the line above
        raise OSError("the zygote is gone")
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    if any(kernel.capabilities()):
        raise OSError("capabilities are left")
    if given.mode == "none":
        return
    if given.rules is not None:
        landlock.restrict(given.rules)
        os.close(given.rules)
    seccomp.install(given.program)


def keep_only(job: int, events: int, rules: int | None) -> int | None:
    """Leave a process its two pipes, at their places, nothing at 0 to 2, and the rules; returns where these are now."""
    # First out of the way of the places that are wanted.
    job, events = (fcntl.fcntl(pipe, fcntl.F_DUPFD, _APART) for pipe in (job, events))
    moved = None if rules is None else fcntl.fcntl(rules, fcntl.F_DUPFD, _APART)
    nothing = os.open(os.devnull, os.O_RDWR)
    for place in range(3):
        os.dup2(nothing, place)
    os.dup2(job, JOB_FD)
    os.dup2(events, EVENTS_FD)
    if moved is not None:
        os.dup2(moved, EVENTS_FD + 1)
    os.closerange(EVENTS_FD + 1 + (moved is not None), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    return None if moved is None else EVENTS_FD + 1


def give_up_root(drop_uid: bool, needed: list[str]) -> str:
    """Drop every capability, and root's uid too if ``needed`` stays readable without it; returns a sentence that says which."""
    if os.geteuid() != 0:
        kernel.drop_capabilities()
        return f"Programs run as uid {os.geteuid()}, without capabilities."
    if drop_uid and _readable_to_nobody(needed):
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        kernel.drop_capabilities()
        return f"Started as root: programs run as uid {NOBODY}, without capabilities."
    kernel.drop_capabilities()
    return "Started as root, and the interpreter is not readable to others: programs keep uid 0, without any capability."


def _limits(given: Confinement) -> Iterator[tuple[int, int]]:
    plan = given.plan
    yield resource.RLIMIT_CORE, 0
    yield resource.RLIMIT_CPU, plan.cpu_seconds
    yield resource.RLIMIT_STACK, plan.stack_bytes
    yield resource.RLIMIT_AS, given.address_space
    if given.mode != "none":
        yield resource.RLIMIT_FSIZE, 0
        yield resource.RLIMIT_MEMLOCK, 0
        yield resource.RLIMIT_NPROC, 0
        yield resource.RLIMIT_NOFILE, _DESCRIPTORS


def _prefer_to_be_killed() -> None:
    """When memory runs out, the kernel is to take a program, not the server. Where it cannot be asked, it decides itself."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        pass


def _readable_to_nobody(paths: list[str]) -> bool:
    """Try it, in a process that is nobody: it depends on every folder above."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            for path in paths:
                os.close(os.open(path, os.O_RDONLY))
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0

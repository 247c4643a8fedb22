"""A stub of the tracer whose zygote omits some protections of the sandbox, to prove that attacks on them would be detected."""

from __future__ import annotations

from typing import Any

from light_entry import execute, optimizers, warm
from tapedeck.sandbox import confine, seccomp

__all__ = ["execute", "optimizers", "preload", "warm"]

OPEN = ("madvise", "futex", "mmap", "clock_gettime", "clock_getres", "clock_nanosleep", "sched_getaffinity")
"""Calls that this sandbox allows with any arguments."""
LIMITS = (confine.resource.RLIMIT_SIGPENDING, confine.resource.RLIMIT_MSGQUEUE, confine.resource.RLIMIT_MEMLOCK)
"""Resources that this sandbox does not limit."""


def preload() -> None:
    """Remove the protections. The filter is built after this call, and the limits are set in each child."""
    seccomp.COMPUTING += OPEN  # type: ignore[misc]
    limits = confine._limits

    def fewer(confinement: Any) -> Any:
        return [(kind, amount) for kind, amount in limits(confinement) if kind not in LIMITS]

    confine._limits = fewer  # type: ignore[assignment]

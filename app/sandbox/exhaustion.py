"""Recognize a program that ran out of memory, and explain it with a remedy."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from .. import wire

TOO_MUCH_MEMORY: Final = "The program requested more memory than a run may use."
REMEDY: Final = "Use smaller tensors or batches, or record the program on your own machine with `tapedeck run`."
_TEXTS: Final = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "std::bad_alloc",
)
"""Texts of PyTorch's ``RuntimeError`` when an allocation fails (``c10/core/impl/alloc_cpu.cpp``)."""
_REQUESTED: Final = re.compile(r"you tried to allocate (\d{1,20}) bytes")


def with_limit_status(end: wire.EndEvent, memory_bytes: int | None) -> wire.EndEvent:
    """Change the status ``failed`` to ``out_of_memory`` if the exception shows that there was too little memory.

    ``memory_bytes`` is the memory that a run may use, or ``None`` without a limit. With a limit, the message says how much was
    requested and what helps; the traceback still has the message of the exception.
    """
    failure = end.failure
    if failure is None or end.status != "failed":
        return end
    if not (failure.type.endswith("MemoryError") or any(text in failure.message for text in _TEXTS)):
        return end
    if memory_bytes is not None:
        requested = _REQUESTED.search(failure.message)
        message = (
            f"The program requested another {in_words(int(requested[1]))} of memory: "
            f"a run may use {in_words(memory_bytes)} in total."
            if requested
            else TOO_MUCH_MEMORY
        )
        failure = msgspec.structs.replace(failure, message=f"{message} {REMEDY}")
    elif not failure.message:
        failure = msgspec.structs.replace(failure, message=TOO_MUCH_MEMORY)
    return msgspec.structs.replace(end, status="out_of_memory", failure=failure)


def in_words(size: int) -> str:
    """Return a number of bytes with a unit.

    >>> in_words(100_000_000_000), in_words(1536 << 20), in_words(2 << 20)
    ('93.1 GiB', '1.5 GiB', '2 MiB')
    """
    unit, text = ("GiB", size / 2**30) if size >= 2**30 else ("MiB", size / 2**20)
    return f"{round(text, 1):,g} {unit}"

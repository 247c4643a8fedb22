"""Define the messages between the server and a worker process, and how they are framed.

Both ends run this package's code, and the function that is called is ours, so messages are pickled. A frame is its length in
eight bytes, then the pickled message.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

LENGTH: Final = struct.Struct("<Q")


class Limitation(Struct, frozen=True):
    """The limits of a worker process, and the modules that it imports when it starts."""

    memory_bytes: int
    """Address space that one call may add."""
    kept_bytes: int
    """Resident memory that a process may gain over its calls. It ends after the call in which it gains more."""
    modules: tuple[str, ...]


class Work(Struct, frozen=True):
    """A call of ``work``. If ``streamed``, each value that it yields is sent as it is made."""

    work: Callable[..., Any]
    arguments: tuple[Any, ...]
    streamed: bool
    cpu_seconds: float
    answer_bytes: int


class Part(Struct, frozen=True):
    """A value that a streamed call yielded."""

    value: Any


class Returned(Struct, frozen=True):
    """The end of a call. ``last`` is true if the process exits now, because it has gained too much memory."""

    value: Any = None
    last: bool = False


class Raised(Struct, frozen=True):
    """The exception that ended a call."""

    error: Exception
    last: bool = False


class Exceeded(Struct, frozen=True):
    """A call exceeded its budget in a way that the process itself noticed: ``memory`` or ``answer``. The process exits."""

    what: str


Answer = Part | Returned | Raised | Exceeded


def frame(message: object) -> bytes:
    """Return a message as it is sent."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(data)) + data

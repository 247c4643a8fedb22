"""Define the errors that Tapedeck raises. A failure of the user's program is a result, not an error.

::

    TapedeckError                      has a message for a person, which names the remedy
    ├── BadRequest                     the input cannot be run: 400 or 422
    │   ├── UnreadableInput            the input does not have the stated format
    │   └── InvalidInput               the input is well formed but cannot be run
    ├── TooLarge                       the input is above a limit: 413
    ├── OverBudget                     the input takes too much time or memory to process: 413
    ├── UnsupportedMedia               the media type is not supported: 415
    ├── NotFound                       no such run, step, graph, pass or node: 404
    ├── NotEnded                       the request needs a run that has ended: 409
    ├── NotAllowed                     the run or replay belongs to another caller: 403
    ├── Busy                           the queue is full, or the server is stopping: 503 with Retry-After
    ├── TooMany                        the caller sent too many requests: 429 with Retry-After
    ├── StoreFull                      the store is full: 507
    ├── RecordingDamaged               a stored recording cannot be read, because the disk changed it: 500
    ├── StoreUnusable                  the store is damaged, read-only or of a newer version: the server does not start
    ├── SandboxError                   programs cannot be confined, or the sandbox failed: 503
    ├── ProtocolError                  a child sent an invalid frame: the child is killed
    ├── BundleUnusable                 the bundled front end is missing or older than the templates: 500
    └── DrawingError                   Graphviz or a converter failed or timed out
"""

from __future__ import annotations

from typing import Final

DAMAGED: Final = (
    "Part of this recording is damaged on the server's disk, and can't be read. Run the program again. The server's "
    "administrator can restore a backup with `tapedeck restore`."
)


class TapedeckError(Exception):
    """Base class of Tapedeck's errors. ``str(error)`` is a message for a person.

    ``where`` is the path of the field that is wrong, such as ``"inputs.x"``. ``retry_after`` is in seconds.
    """

    def __init__(self, message: str, *, where: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.where = where
        self.retry_after = retry_after


class BadRequest(TapedeckError):
    """The input cannot be run."""


class UnreadableInput(BadRequest):
    """The input does not have the format that its media type or field states."""


class InvalidInput(BadRequest):
    """The input is well formed but cannot be run."""


class TooLarge(TapedeckError):
    """The input is above a limit."""


class OverBudget(TapedeckError):
    """Work on the input exceeded its budget of time or memory."""


class UnsupportedMedia(TapedeckError):
    """The input's media type is not supported."""


class NotFound(TapedeckError):
    """There is no such run, step, graph, pass or node."""


class NotEnded(TapedeckError):
    """The request needs a run that has ended."""


class NotAllowed(TapedeckError):
    """The run or replay belongs to another caller."""


class Busy(TapedeckError):
    """The queue is full, or the server is stopping."""


class TooMany(TapedeckError):
    """The caller sent too many requests in a short time."""


class StoreFull(TapedeckError):
    """The store has no room for another recording."""


class RecordingDamaged(TapedeckError):
    """A stored recording cannot be read, because its bytes have changed on the disk. Other recordings are not affected."""

    def __init__(self, message: str = DAMAGED) -> None:
        super().__init__(message)


class StoreUnusable(TapedeckError):
    """The store cannot be opened: it is damaged, cannot be written, or was written by a newer version."""


class SandboxError(TapedeckError):
    """Programs cannot be confined on this machine, or the sandbox failed."""


class ProtocolError(TapedeckError):
    """A child sent an invalid frame."""


class DrawingError(TapedeckError):
    """Graphviz or a converter failed or timed out."""


class BundleUnusable(TapedeckError):
    """The bundled front end has no file ``name``, because it is missing or older than the templates."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The bundled front end is missing or out of date: it has no {name}. Run `python static/bundle.py`.")

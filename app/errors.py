"""Every error that Tapedeck itself raises. A program's own failure is a result, never one of these.

::

    TapedeckError                      carries the sentence that a person reads, naming the remedy
    ├── BadRequest                     the input cannot be run: 400 or 422
    │   ├── UnreadableInput            not the format it says it is
    │   └── InvalidInput               well formed, but not something to run
    ├── TooLarge                       above a limit: 413
    ├── UnsupportedMedia               415
    ├── NotFound                       no such run, step, graph, pass or node: 404
    ├── NotEnded                       it can be asked for once the run has ended: 409
    ├── NotAllowed                     somebody else's run, or replay: 403
    ├── Busy                           no place just now: 503 with Retry-After
    ├── TooMany                        this caller has asked for too much: 429 with Retry-After
    ├── StoreFull                      507
    ├── SandboxError                   nothing can confine, or the sandbox itself broke: 503
    ├── ProtocolError                  what came out of a child is not a valid frame: the child is killed
    └── DrawingError                   Graphviz or a converter failed or ran out of time
"""

from __future__ import annotations


class TapedeckError(Exception):
    """Base of all our errors: ``str(error)`` is a sentence for a person.

    ``where`` points at the offending input (``"inputs.x"``), ``retry_after`` is in seconds.
    """

    def __init__(self, message: str, *, where: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.where = where
        self.retry_after = retry_after


class BadRequest(TapedeckError):
    """The input cannot be run."""


class UnreadableInput(BadRequest):
    """The input is not the format that it says it is."""


class InvalidInput(BadRequest):
    """The input is well formed, but not something to run."""


class TooLarge(TapedeckError):
    """The input is above a limit."""


class UnsupportedMedia(TapedeckError):
    """The input's media type is none that is understood."""


class NotFound(TapedeckError):
    """There is no such run, step, graph, pass or node."""


class NotEnded(TapedeckError):
    """It can be asked for once the run has ended."""


class NotAllowed(TapedeckError):
    """The run belongs to somebody else, or somebody else asked for the replay."""


class Busy(TapedeckError):
    """There is no place to run this just now."""


class TooMany(TapedeckError):
    """This caller has asked for too much in too short a time."""


class StoreFull(TapedeckError):
    """There is no room for another recording."""


class SandboxError(TapedeckError):
    """Nothing here can confine a program, or the sandbox itself broke."""


class ProtocolError(TapedeckError):
    """What came out of a child is not a valid frame."""


class DrawingError(TapedeckError):
    """Graphviz or a converter failed, or ran out of time."""

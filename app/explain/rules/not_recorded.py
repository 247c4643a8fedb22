"""Say what a recording does not show of a program, and why: what was not seen is not guessed."""

from __future__ import annotations

from collections.abc import Iterator

from ... import model, wire
from ...recording import Recording
from ..syntax import Syntax

_UNSEEN: dict[type[wire.Signal], tuple[str, str, str]] = {
    wire.SavedTensorsUnread: (
        "saved-tensors-unread",
        "Tensors that are saved under your own hooks (saved_tensors_hooks, save_on_cpu, a checkpoint) are not shown.",
        "To read one would call your unpack hook, or compute a checkpoint, once more than your program does.",
    ),
    wire.Batched: (
        "batched",
        "Under vmap the graph is shown, but not the numbers in it.",
        "Each tensor there stands for a whole batch at once: it has no elements of its own that could be shown.",
    ),
    wire.ForwardModeUsed: (
        "forward-mode",
        "Forward-mode derivatives are not shown: only what runs backward is recorded.",
        "Dual numbers carry their tangents along with the forward calls, which make no graph and no pass.",
    ),
}
"""The code, the message and the reason of each signal that says that something was not seen."""


def unseen(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """A note for each kind of thing that was not seen."""
    for signal in recording.signals():
        if type(signal) in _UNSEEN:
            code, message, why = _UNSEEN[type(signal)]
            line = signal.line if signal.line > 0 else None
            yield model.Finding(code, "note", None, line, None, None, message, why)

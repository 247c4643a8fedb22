"""Build the columns of a graph that show when each node was made, in which call of a module and in which turn of a loop."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import numpy as np

from ..forward.call_frames import CallFrame, CallFrames
from .graph import Walk
from .template import int32

_NONE = -1


def frame_columns(walk: Walk, frames: CallFrames, text: Callable[[str | None], int], constants: int) -> dict[str, bytes]:
    """Return the columns of a :class:`wire.GraphEvent` from ``made`` to ``frame_turn``.

    ``made`` and ``frame`` have an entry for each node, then one for each of the ``constants``. The other columns have an entry
    for each frame, in the order in which the frames were entered. ``text`` returns the index of a string.
    """
    numbers = np.array(walk.numbers, np.int64)
    made = np.full(len(numbers) + constants, _NONE, np.int32)
    of = made.copy()
    operations = np.flatnonzero(numbers >= 0)
    in_order = operations[np.argsort(numbers[operations], kind="stable")]
    made[in_order] = np.arange(len(operations), dtype=np.int32)
    entered = _Entered(text)
    of[in_order] = entered.indexes_of(frames.of(numbers[in_order].tolist()))
    return {
        "made": made.tobytes(),
        "frame": of.tobytes(),
        "frame_parent": int32(entered.parents),
        "frame_kind": bytes([frame.kind for frame in entered.frames]),
        "frame_name": int32(entered.names),
        "frame_line": int32([frame.line for frame in entered.frames]),
        "frame_turn": int32([frame.turn for frame in entered.frames]),
    }


class _Entered:
    """The frames that made a graph, in the order in which they were entered. A parent precedes the frames inside it."""

    def __init__(self, text: Callable[[str | None], int]) -> None:
        self.parents: list[int] = []
        self.names: list[int] = []
        self._text = text
        self._indexes: dict[CallFrame, int] = {}

    @property
    def frames(self) -> Collection[CallFrame]:
        """All frames."""
        return self._indexes

    def indexes_of(self, frames: Iterable[CallFrame | None]) -> list[int]:
        """Return the index of each frame, adding the frame and those around it; -1 for no frame."""
        indexes, parents, names = self._indexes, self.parents, self.names
        found = []
        for frame in frames:
            at = _NONE if frame is None else indexes.get(frame)
            if at is None:
                assert frame is not None
                missing = [frame]
                around = frame.parent
                while around is not None and around not in indexes:
                    missing.append(around)
                    around = around.parent
                at = _NONE if around is None else indexes[around]
                for each in reversed(missing):
                    parents.append(at)
                    names.append(self._text(each.name) if each.name else _NONE)
                    at = indexes[each] = len(indexes)
            found.append(at)
        return found

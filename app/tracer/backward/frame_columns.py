"""Record for each node when it was made in the forward computation, and in which call of a module and turn of a loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
    operations = np.flatnonzero(numbers >= 0)
    in_order = operations[np.argsort(numbers[operations], kind="stable")]
    made[in_order] = np.arange(len(operations), dtype=np.int32)
    indexes: dict[CallFrame, int] = {}
    rows: list[tuple[int, int, int, int, int]] = []

    def index_of(frame: CallFrame | None) -> int:
        missing = []
        around = frame
        while around is not None and around not in indexes:
            missing.append(around)
            around = around.parent
        for each in reversed(missing):
            parent = _NONE if each.parent is None else indexes[each.parent]
            indexes[each] = len(rows)
            rows.append((parent, each.kind, text(each.name or None), each.line, each.turn))
        return _NONE if frame is None else indexes[frame]

    of = [_NONE] * len(walk.numbers)
    for node in in_order.tolist():
        of[node] = index_of(frames.at(walk.numbers[node]))
    columns: list[Any] = list(zip(*rows, strict=True)) or [()] * 5
    parent, kind, name, line, turn = columns
    return {
        "made": made.tobytes(),
        "frame": int32([*of, *[_NONE] * constants]),
        "frame_parent": int32(parent),
        "frame_kind": bytes(kind),
        "frame_name": int32(name),
        "frame_line": int32(line),
        "frame_turn": int32(turn),
    }

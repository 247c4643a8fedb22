"""Record in which call of a module and in which turn of a loop each node was made.

Autograd numbers nodes in the order in which they are made. The nodes that were made in a frame therefore have consecutive
numbers, and calls into PyTorch need not be observed for this.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from types import FrameType
from typing import Final

import numpy as np
from msgspec import Struct, field

from ... import wire
from ..source.statements import LineRange
from ..tensors.handles import next_sequence_nr

MAX_DEPTH: Final = 64
"""Largest number of nested frames. Further frames, as in a deep recursion, are not recorded."""
_LOOP: Final = wire.LOOP
_TURN: Final = wire.TURN
MAX_CHANGES: Final = 600_000
"""Number of changes between frames above which the older half is dropped. Its nodes are then recorded without a frame."""

_DENSE: Final = 8
"""Number of changes per node below which the changes are converted to an array, which is searched for all nodes at once."""
_FEW: Final = 100
"""Largest number of nodes that are looked up one by one."""


class CallFrame(Struct, eq=False, gc=False):
    """A call of a module, a loop, or one turn of a loop. ``line`` is the line of the loop, ``turn`` the index of the turn."""

    parent: CallFrame | None
    kind: int
    depth: int
    name: str = ""
    line: int = -1
    turn: int = -1
    loop: int = -1
    """The index of the loop in the program; -1 for the call of a module."""
    owner: int = 0
    """The id of the Python frame that runs the loop, 0 for the call of a module. It is compared only with living frames."""
    start: int = field(default_factory=next_sequence_nr)
    """The number of the next node when the frame was entered."""


def _depth(around: CallFrame | None) -> int:
    return 1 if around is None else around.depth + 1


class CallFrames:
    """The frames of the recorded thread."""

    def __init__(self) -> None:
        self._current: CallFrame | None = None
        self._starts: list[int] = []
        """The sequence numbers at which the current frame changed, ascending."""
        self._entered: list[CallFrame | None] = []
        """For each of these numbers, the frame that is current from there on."""

    def reset(self) -> None:
        """Forget all frames, because another thread, with its own sequence numbers, is recorded from now on."""
        self._current = None
        self._starts.clear()
        self._entered.clear()

    def of(self, numbers: Sequence[int]) -> list[CallFrame | None]:
        """Return the innermost frame in which each node was made, ``None`` outside of all frames. ``numbers`` are ascending."""
        starts, entered = self._starts, self._entered
        first = bisect_right(starts, numbers[0]) if numbers else 0
        last = bisect_right(starts, numbers[-1]) if numbers else 0
        if last - first < _DENSE * len(numbers) and len(numbers) > _FEW:
            after = (first + np.searchsorted(np.array(starts[first:last], np.int64), numbers, "right")).tolist()
        else:
            after = [bisect_right(starts, number, first, last) for number in numbers]
        return [entered[index - 1] if index else None for index in after]

    def enter_module(self, path: str) -> CallFrame | None:
        """Begin the call of a module. Return the frame around it, for :meth:`leave_module`."""
        around = self._current
        if path and (around is None or around.depth < MAX_DEPTH):
            self._change(CallFrame(around, wire.MODULE, _depth(around), path))
        return around

    def leave_module(self, around: CallFrame | None) -> None:
        """End the call of a module, and the loops in it that ended by an exception or a ``return``."""
        if self._current is not around:
            self._change(around)

    def enter_loop(self, loop: int, line: int, ranges: list[LineRange], owner: FrameType) -> None:
        """Begin a loop of the program, which ``owner`` runs. End the loops of ``owner`` that don't contain this loop."""
        around = self._current
        while around is not None and around.owner == id(owner) and ranges[loop].head not in ranges[around.loop]:
            around = _around_loop(around)
        if around is None or around.depth < MAX_DEPTH - 1:
            self._change(CallFrame(around, wire.LOOP, _depth(around), line=line, loop=loop, owner=id(owner)))

    def next_turn(self, loop: int, owner: FrameType) -> None:
        """Begin the next turn of a loop that ``owner`` runs."""
        current = self._current
        found = current.parent if current is not None and current.kind == _TURN else current
        if found is None or found.loop != loop or found.owner != id(owner) or found.kind != _LOOP:
            found = self._innermost(loop, id(owner))
            if found is None:  # a loop in a generator: its frame ended with the loop over the generator
                return
        found.turn += 1
        if current is not None and current.parent is found and current.start == next_sequence_nr():
            current.turn = found.turn  # the previous turn made no node, so nothing refers to its frame
            return
        self._change(CallFrame(found, wire.TURN, found.depth + 1, "", found.line, found.turn, loop, found.owner))

    def leave_loop(self, loop: int, owner: FrameType) -> None:
        """End a loop that ``owner`` ran."""
        found = self._innermost(loop, id(owner))
        if found is not None:
            self._change(found.parent)

    def leave_function(self, owner: FrameType) -> None:
        """End the loops of a function that returns."""
        around = self._current
        while around is not None and around.owner == id(owner):
            around = around.parent
        if around is not self._current:
            self._change(around)

    def caught(self, line: int, ranges: list[LineRange], owner: FrameType) -> None:
        """End the loops that an exception has left. The frame ``owner`` caught it, in the handler on ``line``."""
        running = set()
        frame: FrameType | None = owner
        while frame is not None:
            running.add(id(frame))
            frame = frame.f_back
        left = around = self._current
        while around is not None:
            ended = around.owner not in running or (around.owner == id(owner) and line not in ranges[around.loop])
            if around.owner and ended:
                left = _around_loop(around)
            around = around.parent
        if left is not self._current:
            self._change(left)

    def _innermost(self, loop: int, owner: int) -> CallFrame | None:
        around = self._current
        while around is not None and (around.kind != wire.LOOP or around.loop != loop or around.owner != owner):
            around = around.parent
        return around

    def _change(self, frame: CallFrame | None) -> None:
        self._current = frame
        start = next_sequence_nr()
        if self._starts and self._starts[-1] == start:  # no node was made since the last change
            self._entered[-1] = frame
            return
        self._starts.append(start)
        self._entered.append(frame)
        if len(self._starts) > MAX_CHANGES:
            del self._starts[: MAX_CHANGES // 2]
            del self._entered[: MAX_CHANGES // 2]


def _around_loop(frame: CallFrame) -> CallFrame | None:
    """Return the frame around a loop, given the loop or a turn of it."""
    loop = frame.parent if frame.kind == wire.TURN else frame
    return loop.parent if loop is not None else None

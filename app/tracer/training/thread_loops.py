"""Follow the loops of threads that are not recorded, because such a thread may be recorded later."""

from __future__ import annotations

import threading
from typing import Any

import torch

from ..forward.call_frames import CallFrames
from ..forward.calls import Calls
from ..source.loop_lengths import loop_length
from ..source.statements import Statement
from .steps import Steps


class ThreadLoops:
    """The loops that run in each thread. Its methods refer to the thread that calls them."""

    def __init__(self, steps: Steps, calls: Calls, frames: CallFrames) -> None:
        self._steps = steps
        self._calls = calls
        self._frames = frames
        self._loops = threading.local()
        """For each thread that is not recorded, the lengths and iterations of its loops."""

    def catch_up(self) -> None:
        """Enter the loops that are running in this thread, because it is recorded from now on."""
        with torch._C.DisableTorchFunction():
            self._calls.make_foreign()
        self._frames.reset()
        for loop, (length, turns) in vars(self._loops).items():
            self._steps.enter_loop(int(loop), length)
            for _ in range(turns):
                self._steps.next_iteration(int(loop))

    def remember(self, statement: Statement, value: Any) -> None:
        """Count the iterations of a loop in a thread that may be recorded later."""
        loops, key = vars(self._loops), str(statement.loop)
        if statement.kind == "enter":
            loops.pop(key, None)  # keep the loops in the order in which they were last entered
            loops[key] = loop_length(value), 0
        elif statement.kind != "exit" and key in loops:
            length, turns = loops[key]
            loops[key] = length, turns + 1

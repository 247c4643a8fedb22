"""Run the program of a watch or a search without the recorder.

The recording has the number of marked statements that had run when each step ended. A counted replay runs the same marked
program, and counts its statements to know the step. It sends the root of every pass and the leaves of some passes, so that the
server can compare the replay with the recording. If the count cannot decide which step runs, the replay stops, and the server
starts a replay that records.
"""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Iterator
from functools import partial
from threading import get_ident
from typing import Any, Final

import numpy as np
import torch

from ... import wire
from ..emitter import Emitter
from ..environment.event_loop import install_event_loops
from ..environment.silence import send_before_silence
from ..source.marker import HOOK
from ..source.weaving import woven
from ..tensors.references import hide_own_references
from ..tensors.table import TableBuilder
from ..tensors.transforms import Unobserved
from .answers import ReplayFinished
from .counted_passes import CountedPasses
from .random_state import restored_random_state
from .watch import WatchedValues, Watcher

STEPS: Final = 500
"""Number of steps that are sent together."""

_AUTOGRAD: Any = torch.autograd


class CountedReplay:
    """Counts the statements and the passes of a program inside ``with replay:``, and evaluates an expression meanwhile.

    It takes the place of the recorder: see :class:`~tapedeck.tracer.program.RunningProgram`.
    """

    def __init__(self, order: wire.ReplayOrder, counted: wire.CountedOrder, emitter: Emitter, job: wire.Job) -> None:
        self._emitter = emitter
        self._thread = get_ident()
        self._ends = list(zip(_integers(counted.ran), _integers(counted.last), map(bool, counted.inside), strict=True))
        """For each step, the :class:`~tapedeck.wire.StatementPosition` at which it ends."""
        self._step = 0
        self._ran = 0
        self._due = self._ends[0][0]
        """The count of statements at which something has to be done."""
        self._between = False
        """True if the current step ends between the statement that was counted last and the next statement."""
        self._passes = CountedPasses(counted.passes, partial(TableBuilder, job.values, job.capture), emitter)
        self._values = WatchedValues(order, emitter, self._send)
        self._watcher = Watcher(order, self._values, self)
        self._ended: list[int] = []
        """For each step that was not sent yet, the number of passes that had begun at its end."""
        self._engine: Any = _AUTOGRAD._engine_run_backward
        self._counting_engine = woven(self._engine, self._passes)
        self._stack = contextlib.ExitStack()
        self.last_value: Any = None
        self.line = -1
        self.stopped = False
        """True once nothing more is counted, although the program continues."""

    # ------------------------------------------------------------------ in the place of the recorder

    def __enter__(self) -> CountedReplay:
        if self.stopped:
            return self
        self._stack.enter_context(hide_own_references())
        self._stack.enter_context(install_event_loops())
        self._stack.enter_context(send_before_silence(self._send, self.finish))
        self._stack.enter_context(self._watcher.installed())
        self._listen()
        return self

    def __exit__(self, *failure: Any) -> None:
        self._ignore()
        self._stack.close()

    def stop(self) -> None:
        """Undo the replacements at any time. The program continues as if it were not replayed."""
        if not self.stopped:
            self.stopped = True
            self.__exit__()

    def finish(self) -> None:
        """Send what was not sent yet. The program ends, and with it the last step."""
        if not self.stopped and self._between:
            self._end_steps()
        self._send()

    def _listen(self) -> None:
        setattr(builtins, HOOK, self._value)
        _AUTOGRAD._engine_run_backward = self._counting_engine

    def _ignore(self) -> None:
        setattr(builtins, HOOK, _pass_through)
        _AUTOGRAD._engine_run_backward = self._engine

    # ------------------------------------------------------------------ statements and steps

    def _value(self, index: int, value: Any) -> Any:
        """Count and return the value of a marked statement. The statement itself calls this method."""
        self._ran += 1
        if self._ran >= self._due:
            self._arrive(index)
        return value

    def _arrive(self, statement: int) -> None:
        """End the steps that ended here in the recording."""
        if self.stopped:
            raise ReplayFinished
        if self._between:
            self._end_steps()
        while (end := self._ends[self._step])[0] == self._ran:
            _, last, inside = end
            if statement != last or get_ident() != self._thread:
                self._lose()
            if not inside:
                self._between = True
                self._due = self._ran + 1
                return
            self._end_steps()
        self._due = end[0]

    def _end_steps(self) -> None:
        """End the current step, and the next ones if they end at the same position."""
        end, self._between = self._ends[self._step], False
        while self._ends[self._step] == end:
            self._ended.append(self._passes.begun)
            self._step += 1
            if self._step > self._values.last:
                self._finish()
            self._values.step = self._step
        if len(self._ended) >= STEPS or self._emitter.due():
            self._send()

    def _finish(self) -> None:
        """Send the leaves after the last step, and stop the program."""
        self._send()
        with Unobserved():
            self._passes.send_leaves_after()
        self._end()

    def _lose(self) -> None:
        """Stop the program, because its steps cannot be known by counting."""
        self._emitter.emit(wire.CountLost())
        self._end()

    def _end(self) -> None:
        self._send()
        self._emitter.flush()
        self._values.complete = self.stopped = True
        self._due = 0
        raise ReplayFinished

    def _send(self) -> None:
        """Send the steps that have ended, and the values of the expression."""
        if self._ended:
            passes, roots = np.array(self._ended, "<i4").tobytes(), np.array(self._passes.roots, "<f8").tobytes()
            self._emitter.emit(wire.CountedSteps(self._step - len(self._ended), passes, roots))
            self._ended, self._passes.roots = [], []
        self._values.send()
        self._emitter.flush()

    # ------------------------------------------------------------------ the expression

    def readable(self) -> bool:
        """Return whether the expression can be evaluated in this thread."""
        return not self.stopped and get_ident() == self._thread

    def at(self, *, marked: bool) -> None:
        """Stop if it is unknown whether the step has ended: in the recording, it ended before the next marked statement."""
        if self._between and not marked:
            self._lose()

    @contextlib.contextmanager
    def hidden(self) -> Iterator[None]:
        """Count nothing while the expression is evaluated, and restore the random generators afterwards."""
        self._ignore()
        try:
            with restored_random_state():
                yield
        finally:
            self._listen()


def _integers(column: bytes) -> list[int]:
    found: list[int] = np.frombuffer(column, "<i4").tolist()
    return found


def _pass_through(index: int, value: Any) -> Any:
    """Return the value of a marked statement that is not counted."""
    return value

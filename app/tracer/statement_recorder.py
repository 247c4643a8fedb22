"""Record the marked statements of a program: the values of its lines, its loops, and the names that it binds."""

from __future__ import annotations

import sys
import threading
from itertools import repeat
from time import monotonic
from types import FrameType, NoneType
from typing import Any, Protocol

import torch
from torch import Tensor

from .backward.failures import Failures
from .emitter import Emitter
from .forward.call_frames import CallFrames
from .forward.calls import Calls
from .forward.mode import ForwardMode
from .forward.threads import Turns
from .source.instrument import ProgramSource
from .source.lines import LineValues
from .source.loop_lengths import loop_length
from .source.names import Names
from .source.scopes import Scopes
from .source.statement_count import StatementCount
from .source.statements import Statement
from .source.tracebacks import leave_out
from .source.value_text import NUMBERS
from .tensors.handles import tensors_in
from .tensors.kinds import PLAIN_TYPES, is_fake
from .tensors.memory import Write
from .training.boundaries import StepBoundaries
from .training.optimizers import Optimizers
from .training.rebinds import Rebinds
from .training.steps import Steps
from .training.thread_loops import ThreadLoops
from .training.updates import Updates
from .training.write_guard import WriteGuard

_DisableTorchFunction: Any = torch._C.DisableTorchFunction
_LOOP_STATEMENTS = frozenset({"enter", "iteration", "target", "exit"})
_TURNS = frozenset({"iteration", "target"})
_KEEPS = frozenset({"assign", "update", "show"})
"""The kinds of statements for which a number is only recorded as the value of the line."""
_UNTIMED = frozenset({"caught", "delete"})
_VALUELESS = _UNTIMED | {"enter", "iteration", "exit"}
_SPECIAL = _UNTIMED | {"enter", "exit", "return"}
_NEVER_FAKE = PLAIN_TYPES | NUMBERS | {NoneType}


class RecordingControl(Protocol):
    """The recording as a whole, which a statement may send or end. :class:`~.recorder.Recorder` implements it."""

    def send_pending(self) -> None:
        """Send the lines' values and all pending events: the program may be stopped before it ends."""

    def finish_early(self) -> None:
        """Emit everything that was recorded, because nothing more will be recorded."""

    def stop(self, *, hidden: bool = False) -> None:
        """End the recording. With ``hidden``, frames of the recorder stay hidden from the program."""


class StatementRecorder:
    """Records each marked statement. Statements call :attr:`hook` with their index and their value."""

    def __init__(
        self,
        *,
        recording: RecordingControl,
        source: ProgramSource,
        emitter: Emitter,
        lines: LineValues,
        calls: Calls,
        frames: CallFrames,
        names: Names,
        scopes: Scopes,
        count: StatementCount,
        failures: Failures,
        mode: ForwardMode,
        turns: Turns,
        loops: ThreadLoops,
        boundaries: StepBoundaries,
        steps: Steps,
        guard: WriteGuard,
        rebinds: Rebinds,
        updates: Updates,
        optimizers: Optimizers,
    ) -> None:
        self._recording = recording
        self._source = source
        self._statements = source.statements
        self._emitter = emitter
        self._lines = lines
        self._calls = calls
        self._frames = frames
        self._names = names
        self._scopes = scopes
        self._count = count
        self._failures = failures
        self._mode = mode
        self._turns = turns
        self._loops = loops
        self._passes_over = boundaries.passes_over
        self._steps = steps
        self._parameters = steps.parameters
        self._parameter_names = steps.parameters.names
        self._guard = guard
        self._rebinds = rebinds
        self._updates = updates
        self._shared = updates.shared
        self._optimizers = optimizers
        self.last_value: Any = None
        """The value of the last expression of the cell that runs."""

    @property
    def hook(self) -> Any:
        """The function that statements call: a slower one once the program has several threads."""
        return self._shared_value if self._turns.shared else self._value

    def _value(self, index: int, value: Any, owned: bool = False) -> Any:
        """Record and return the value of a marked statement. The statement itself calls this method.

        ``owned`` is true if this thread has its turn. The statement that starts the first thread calls this method with
        ``owned`` false, because Python looks up :attr:`hook` before the thread starts.
        """
        if self._turns.shared and not owned:
            return self._shared_value(index, value)
        if self._mode.tracing:
            self._count.known = False
            return value
        statement, count = self._statements[index], self._count
        count.ran, count.last, count.inside = count.ran + 1, index, True
        try:
            if type(value) in NUMBERS and self._record_number(statement, value):
                return value
            with _DisableTorchFunction():
                self._record(statement, value)
        except Exception as error:
            self._emitter.failed(error)
        finally:
            count.inside = False
        return value

    def _record_number(self, statement: Statement, value: float) -> bool:
        """Record a number as the value of a statement, if nothing else needs to be done; return whether it was recorded."""
        if self._shared or self._mode.paused or not self._parameter_names.isdisjoint(statement.names):
            return False
        if monotonic() >= self._emitter.next_due:
            return False
        if statement.kind == "target":
            if not self._passes_over(statement.loop):
                return False
            self._frames.next_turn(statement.loop, self._running())
        elif statement.kind not in _KEEPS or statement.targets or statement.last:
            return False
        self._lines.record(statement, value)
        return True

    def _shared_value(self, index: int, value: Any) -> Any:
        """Record the value of a marked statement in a program with several threads.

        From a thread that is not recorded, only its loops, the values of lines, and the names of tensors and modules are used.
        Once a second thread has started a pass or an update, the recording ends here, at the next statement of the recorded
        thread.
        """
        turns = self._turns
        if not turns.lock.acquire(timeout=1):  # timed out: another thread has the lock and waits for this thread
            return value
        try:
            if not turns.foreign():
                if turns.ended:
                    self._recording.finish_early()
                    self._recording.stop(hidden=threading.get_ident() != turns.first)
                    return value
                return self._value(index, value, owned=True)
            statement = self._source.statements[index]
            if statement.kind in _LOOP_STATEMENTS:
                self._loops.remember(statement, value)
            if not turns.ended and statement.kind not in ("enter", "iteration", "exit", "caught") and not is_fake(value):
                with torch._C.DisableTorchFunction():
                    for name in () if statement.unpacks else statement.names:
                        self._name(statement, name, value)
                        if isinstance(value, Tensor):
                            self._calls.foreign.name(value, name)
                    self._lines.record(statement, value)
        except Exception as error:
            self._emitter.failed(error)
        finally:
            turns.lock.release()
        return value

    def _record(self, statement: Statement, value: Any) -> None:
        if type(value) not in _NEVER_FAKE and is_fake(value):
            return
        shared = self._shared
        if shared:
            self._updates.check_shared(statement)
        kind = statement.kind
        if kind in _TURNS:
            self._steps.next_iteration(statement.loop)
            self._frames.next_turn(statement.loop, self._running())
        elif kind in _SPECIAL:
            self._begin_special(statement, value)
        if monotonic() >= self._emitter.next_due and kind not in _UNTIMED:
            self._recording.send_pending()
        if kind in _VALUELESS:
            return
        if statement.names and (type(value) not in NUMBERS or not self._parameter_names.isdisjoint(statement.names)):
            self._bind_names(statement, value)
        if statement.targets:
            self._assign(statement, value)
        if self._optimizers.running:
            self._optimizers.close_abandoned()
        self._lines.record(statement, value)
        if shared:
            self._updates.protect_shared()
        if statement.last:
            self.last_value = value

    def _begin_special(self, statement: Statement, value: Any) -> None:
        """Record a statement that begins or ends a loop, returns, catches an exception or deletes variables."""
        kind = statement.kind
        if kind == "enter":
            self._steps.enter_loop(statement.loop, loop_length(value))
            self._frames.enter_loop(statement.loop, statement.line, self._source.loops, self._running())
        elif kind == "exit":
            self._frames.leave_loop(statement.loop, self._running())
        elif kind == "return":
            self._frames.leave_function(self._running())
        elif kind == "caught":
            self._caught(statement)
        else:
            self._release(value)

    def _running(self) -> FrameType:
        """Return the frame of the program that runs a marked statement."""
        frame = sys._getframe(3)
        while frame.f_code.co_filename == __file__ and frame.f_back is not None:
            frame = frame.f_back
        return frame

    def _bind_names(self, statement: Statement, value: Any) -> None:
        names = statement.names
        if value is None and statement.kind == "assign":
            self._release([self._scopes.replaced(name) for name in names])
        if not statement.unpacks:
            for name in names:
                self._bind(statement, name, value)
        elif isinstance(value, list | tuple) and len(value) == len(names):
            for name, part in zip(names, value, strict=True):
                self._bind(statement, name, part)

    def _bind(self, statement: Statement, name: str, value: Any) -> None:
        if isinstance(value, Tensor):
            self._names.bind(name, value, statement.line, transient=statement.kind == "target")
            if value.requires_grad:
                self._calls.name(value, name)
        else:
            self._name(statement, name, value)
        parameter = self._parameters.with_name(name)
        if parameter is not None:
            self._rebinds.bound(statement, name, parameter, value)
        elif type(value) in (list, tuple, dict):
            self._rebinds.replaced(statement, name, value)

    def _name(self, statement: Statement, name: str, value: Any) -> None:
        if isinstance(value, Tensor):
            self._names.bind(name, value, statement.line, transient=statement.kind == "target")
        elif isinstance(value, torch.nn.Module) and statement.kind != "target":
            self._names.bind_module(name, value, statement.line)

    def _assign(self, statement: Statement, value: Any) -> None:
        targets = statement.targets
        whole = type(value) in (list, tuple) and len(value) == len(targets)
        parts = repeat(value) if not statement.unpacks else value if whole else ()
        for target, part in zip(targets, parts, strict=False):
            if target is not None and isinstance(part, Tensor):
                self._rebinds.assigned(statement, target, part)

    def _release(self, value: Any) -> None:
        """Copy the recorded tensors in a value, so that they are freed when the program deletes its last reference."""
        tensors = [each for each in tensors_in(value) if isinstance(each, Tensor) and not is_fake(each)]
        if tensors:
            self._guard.protect(Write(tensors))

    def _caught(self, statement: Statement) -> None:
        error = sys.exc_info()[1]
        self._frames.caught(statement.line, self._source.loops, self._running())
        if error is not None:
            leave_out(error)
            self._failures.caught(error, statement.line)

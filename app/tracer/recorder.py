"""Assemble the parts of the tracer and record one program with them."""

from __future__ import annotations

import builtins
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import repeat
from time import monotonic
from types import FrameType
from typing import Any, Protocol

import torch
from torch import Tensor

from .. import wire
from .backward.engine import NoPassObserver, PassObserver, PassRecorder
from .backward.failures import Failures
from .backward.graphs import Graphs
from .backward.open_passes import OpenPasses
from .backward.saved_tensors import SavedTensors
from .emitter import Emitter
from .environment.event_loop import install_event_loops
from .environment.silence import send_before_silence
from .environment.warning_lines import show_warnings_at_program_lines
from .forward.call_frames import CallFrames
from .forward.calls import Calls
from .forward.functions import build_name_table
from .forward.mode import ForwardMode, below_program_modes, mode_depth
from .forward.patches import (
    force_eager_compile,
    observe_array_tensors,
    observe_custom_functions,
    observe_forward_ad,
    observe_new_parameters,
    observe_set_,
    observe_swaps,
    suspend_during_jit_trace,
)
from .forward.shortcuts import observe_zero_grad, skip_mode_dispatch, track_running_module
from .forward.threads import Turns, observe_threads
from .forward.tracing import pause_for_fake_tensors, suspend_while_tracing
from .forward.writes import WriteLog
from .replay.answers import ReplayAnswerer, ReplayedStep
from .replay.tape import Tape
from .replay.unobserved import RecordedProgram
from .replay.watch import WatchedValues, Watcher, watch_points
from .source.instrument import ProgramSource
from .source.lines import LineValues
from .source.loop_lengths import loop_length
from .source.marker import HOOK
from .source.names import Names
from .source.scopes import Scopes
from .source.stacks import hide_recorder_frames
from .source.statement_count import StatementCount
from .source.statements import Statement
from .source.tracebacks import leave_out
from .source.value_text import NUMBERS
from .tensors.handles import tensors_in
from .tensors.kinds import PLAIN_TYPES, is_fake
from .tensors.memory import Write
from .tensors.own_tensors import hide_own_tensors
from .tensors.references import hide_own_references
from .tensors.transforms import Unobserved
from .training.boundaries import StepBoundaries
from .training.detail import Detail
from .training.gradient_trail import GradientTrail
from .training.kept_views import KeptViews
from .training.late_gradients import LateGradients
from .training.locator import Locator
from .training.optimizer_groups import KnownOptimizers
from .training.optimizers import Optimizers
from .training.parameters import Parameters
from .training.program_changes import ProgramChanges
from .training.rebinds import Rebinds
from .training.step_emission import StepEmission
from .training.steps import NoStepObserver, StepObserver, Steps
from .training.update_phase import UpdatePhase
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
_NEVER_FAKE = PLAIN_TYPES | NUMBERS


class Output(Protocol):
    """The program's standard output, as :class:`~.environment.stdout.Printer` collects it."""

    def flush(self) -> None:
        """Emit the text that the program has printed so far."""


class Recorder:
    """Records a program inside ``with recorder:``. Only one recorder may be active. It records one thread at a time."""

    def __init__(
        self, source: ProgramSource, namespace: dict[str, Any], emitter: Emitter, job: wire.Job, output: Output
    ) -> None:
        build_name_table()
        self._source = source
        self._statements = source.statements
        self._namespace = namespace
        self._emitter = emitter
        self._output = output
        detail = Detail(job, emitter)
        self._new_table = new_table = detail.new_table
        self._locator = locator = Locator(source)
        self.lines = lines = LineValues(job.values, source.lifetimes)
        order = job.replay
        kept = max(job.values, order.kept) if order is not None else job.values
        self._calls = calls = Calls(kept if job.capture != "graph" else -1, source.lifetimes)
        self._frames = frames = CallFrames()
        self._names = names = Names(namespace)
        self._scopes = scopes = Scopes(source, namespace)
        writes, changes, late, saved = WriteLog(source.filename), ProgramChanges(), LateGradients(), SavedTensors()
        self._failures = Failures(source, emitter, writes)
        self._count = count = StatementCount()
        replayed = ReplayedStep(order, emitter) if order is not None else None
        watched = WatchedValues(order, emitter) if order is not None and watch_points(order) is not None else None
        step_observer: StepObserver = watched or replayed or NoStepObserver()
        parameters = Parameters(emitter, names, late, source.lifetimes)
        self._parameter_names = parameters.names
        trail = GradientTrail(parameters)
        open_passes = OpenPasses(emitter, new_table, locator.here)
        known = KnownOptimizers(parameters)
        boundaries = StepBoundaries(source.loops_with_passes, known.have_any)
        self._passes_over = boundaries.passes_over
        emission = StepEmission(emitter=emitter, lines=lines, source=source, parameters=parameters, count=count)
        self.steps = steps = Steps(
            boundaries=boundaries, emission=emission, detail=detail, parameters=parameters, lines=lines, names=names,
            calls=calls, new_table=new_table, lifetimes=source.lifetimes, observer=step_observer,
        )  # fmt: skip
        update = UpdatePhase(steps=steps, boundaries=boundaries, lines=lines)
        self._guard = guard = WriteGuard(
            changes=changes, writes=writes, lines=lines, calls=calls, steps=steps, emitter=emitter, passes=open_passes
        )
        self._graphs = graphs = Graphs(
            emitter=emitter, calls=calls, frames=frames, names=names, source=source, parameters=parameters,
            scopes=scopes.local, saved=saved, limit=job.nodes,
        )  # fmt: skip
        self._rebinds = rebinds = Rebinds(
            emitter=emitter, calls=calls, steps=steps, update=update, locator=locator, scopes=scopes, trail=trail, graphs=graphs
        )
        views = KeptViews(emitter=emitter, names=names, source=source, step=lambda: steps.index)
        self._updates = updates = Updates(
            emitter=emitter, names=names, calls=calls, steps=steps, update=update, locator=locator, guard=guard,
            changes=changes, trail=trail, late=late, missing=rebinds, views=views,
        )  # fmt: skip
        self._shared = updates.shared
        self._turns = turns = Turns(
            untouched=lambda: not calls and not steps.passes_begun,
            on_moved=self._catch_up,
            on_second=self._report_threads,
        )
        self._mode = mode = ForwardMode(calls, updates, trail, views, source)
        engine: Any = torch.autograd._engine_run_backward  # type: ignore[attr-defined]
        pass_observer: PassObserver = NoPassObserver()
        self._tape: Tape | None = None
        self._watcher: Watcher | None = None
        if order is not None and watched is not None:
            self._watcher = Watcher(order, watched, RecordedProgram(mode, engine))
        elif order is not None and replayed is not None and not order.records_again:
            self._tape = Tape()
            pass_observer = ReplayAnswerer(order, emitter=emitter, tape=self._tape, mode=mode, engine=engine, step=replayed)
        self.passes = PassRecorder(
            engine=engine, emitter=emitter, calls=calls, mode=mode, turns=turns, source=source, steps=steps,
            new_table=new_table, graphs=graphs, saved=saved, open_passes=open_passes, failures=self._failures,
            changes=changes, trail=trail, rebinds=rebinds, guard=guard, observer=pass_observer, detail=detail,
        )  # fmt: skip
        self._optimizers = Optimizers(
            emitter=emitter, mode=mode, turns=turns, update=update, parameters=parameters, known=known, names=names,
            locator=locator, guard=guard, views=views,
        )  # fmt: skip
        self._modules: dict[int, tuple[weakref.ref[torch.nn.Module], str]] = {}
        self._loops = threading.local()
        """For each thread that is not recorded, the lengths and iterations of its loops."""
        self._stack = ExitStack()
        self.stopped = False
        """True once nothing more will be recorded, although the program continues."""
        self._observing = ExitStack()
        """The replacements of PyTorch's functions. They are undone while the program is traced."""
        self._active = self._observes = False
        self._compiled = False
        """True once the program has called ``torch.compile``."""
        self.last_value: Any = None
        """The value of the last expression of the cell that runs."""

    def __enter__(self) -> Recorder:
        if self.stopped:
            return self
        self._stack.enter_context(hide_recorder_frames())
        self._stack.enter_context(hide_own_references())
        self._stack.enter_context(hide_own_tensors())
        self._stack.enter_context(install_event_loops())
        self._stack.enter_context(send_before_silence(self._send_pending, self._finish_early))
        self._stack.enter_context(show_warnings_at_program_lines())
        if self._watcher is not None:
            self._stack.enter_context(self._watcher.installed())
        self._active = True
        self._observe()
        return self

    def _observe(self) -> None:
        """Begin to observe PyTorch and the marked statements."""
        self._observes = True
        setattr(builtins, HOOK, self._shared_value if self._turns.shared else self._value)
        with below_program_modes():
            if self._tape is not None:  # below the mode, so that the tape observes the calls that the mode passes on
                self._observing.enter_context(self._tape)
            self._observing.enter_context(observe_custom_functions(self._calls, self._mode, self._source))
            self._observing.enter_context(observe_set_(self._mode))
            self._observing.enter_context(observe_new_parameters(self._updates.made))
            self._observing.enter_context(observe_swaps(self._mode, self._guard.release_graphs))
            self._observing.enter_context(suspend_during_jit_trace(self._mode, self._suspended))
            self._observing.enter_context(observe_array_tensors(self._mode, self._share))
            self._observing.enter_context(observe_forward_ad(self._report_forward_mode))
            self._observing.enter_context(suspend_while_tracing(self._suspended))
            self._observing.enter_context(pause_for_fake_tensors(self._mode, self._report_tracing))
            self._observing.enter_context(force_eager_compile(self._report_compile))
            self._observing.callback(setattr, builtins, HOOK, _pass_through)
            self._observing.enter_context(track_running_module(self._mode, self._frames, self._module))
            self._observing.enter_context(skip_mode_dispatch(self._mode))
            self._observing.enter_context(observe_zero_grad(self._mode, self._updates.cleared))
            self._observing.enter_context(self._optimizers)
            self._observing.enter_context(self.passes)
            self._observing.enter_context(self._mode)
            self._observing.enter_context(observe_threads(self._mode, self._turns, self._share_hook))
            self._mode.depth = mode_depth()

    def __exit__(self, *failure: Any) -> None:
        self._active = self._observes = False
        if self.stopped:
            self._mode.stop()  # if another thread stopped the recording, the modes of this thread are still active
        else:
            with self._mode.reporting:
                self._optimizers.close_abandoned()
        self._observing.close()
        self._stack.__exit__(*failure)

    def stop(self, *, hidden: bool = False) -> None:
        """Undo the replacements at any time. The program continues as if it were not recorded.

        With ``hidden``, frames of the recorder stay hidden until the end, because the mode is still active in another thread.
        """
        if not self.stopped:
            self.stopped = True
            self._active = self._observes = False
            self._mode.stop()
            self._observing.close()
            if not hidden:
                self._stack.close()

    @contextmanager
    def _suspended(self) -> Iterator[None]:
        """Stop observing: the program is about to be traced, and a tracer would trace the recorder too."""
        if not self._observes:  # the program is traced already, or the recording is over
            yield
            return
        self._report_tracing()
        self._count.known = self._observes = False
        self._observing.close()
        try:
            with torch.compiler.set_stance("default") if self._compiled else nullcontext():
                yield
        finally:
            if self._active:
                self._observe()

    def _report_tracing(self) -> None:
        with self._mode.reporting:
            self._emitter.emit_once(wire.TracedUnrecorded(line=self.line))

    def _report_compile(self) -> None:
        self._compiled = True
        self._count.known = False
        with self._mode.reporting:
            self._emitter.emit_once(wire.CompiledEagerly(line=self.line))

    @property
    def lacks_pass(self) -> bool:
        """True if the program has called no pass so far."""
        return not (self.stopped or self.passes.called)

    @property
    def line(self) -> int:
        """The program's current line, -1 for none."""
        return self._locator.here().line

    def finish(self) -> None:
        """Emit the current step, and the last value of every line with its graph."""
        if self.stopped or self._emitter.closed:
            return
        with Unobserved():
            try:
                self._optimizers.close_abandoned()
                self.lines.assign_to_step()
                self.steps.end_step()
                self._updates.ended()
                self._optimizers.ended()
                table = self._new_table()
                rows = self.lines.final_rows(table, self._calls.graph_reached, self._graphs.graphs_of)
                self._emitter.emit_with(table, lambda tensors: wire.LinesEvent(rows, tensors))
            except Exception as error:
                self._emitter.failed(error)

    def _share_hook(self) -> None:
        self._count.known = False
        setattr(builtins, HOOK, self._shared_value)

    def _catch_up(self) -> None:
        """Enter the loops that are running in this thread, because it is recorded from now on."""
        with _DisableTorchFunction():
            self._calls.make_foreign()
        self._frames.reset()
        for loop, (length, turns) in vars(self._loops).items():
            self.steps.enter_loop(int(loop), length)
            for _ in range(turns):
                self.steps.next_iteration(int(loop))

    def _remember_loop(self, statement: Statement, value: Any) -> None:
        """Count the iterations of a loop in a thread that may be recorded later."""
        loops, key = vars(self._loops), str(statement.loop)
        if statement.kind == "enter":
            loops.pop(key, None)  # keep the loops in the order in which they were last entered
            loops[key] = loop_length(value), 0
        elif statement.kind != "exit" and key in loops:
            length, turns = loops[key]
            loops[key] = length, turns + 1

    def _report_threads(self) -> None:
        self._emitter.emit(wire.SeveralThreads(line=self.line))

    def _share(self, tensor: Tensor) -> None:
        if self._mode.foreign():
            return
        try:
            self._updates.share(tensor)
        except Exception as error:
            self._emitter.failed(error)

    def _report_forward_mode(self) -> None:
        with self._mode.reporting:
            self._emitter.emit_once(wire.ForwardModeUsed(line=self.line))

    def _finish_early(self) -> None:
        """Emit everything that was recorded: the program is about to end its process."""
        with self._mode.reporting:
            self._output.flush()
            self.finish()
            self._emitter.flush()

    def _send_pending(self) -> None:
        """Send the lines' values and all pending events: the program may be stopped before it ends."""
        if self._emitter.closed or self.stopped:
            self.stop()
            return
        with self._mode.reporting:
            self._output.flush()
            table = self._new_table()
            rows = self.lines.pending_rows(table)
            if rows:
                self._emitter.emit_with(table, lambda tensors: wire.LinesEvent(rows, tensors))
            self._emitter.flush()

    # ------------------------------------------------------------------ statements

    def _value(self, index: int, value: Any, owned: bool = False) -> Any:
        """Record and return the value of a marked statement. The statement itself calls this method.

        ``owned`` is true if this thread has its turn. A statement that starts the first thread calls this method without it,
        because Python looks up the hook before the thread starts.
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
        self.lines.record(statement, value)
        return True

    def _shared_value(self, index: int, value: Any) -> Any:
        """Record the value of a marked statement in a program with several threads.

        From a thread that is not recorded, only the values of lines and the names of tensors are used. Once a second thread has
        started a pass or an update, the recording ends here, at the next statement of the recorded thread.
        """
        turns = self._turns
        if not turns.lock.acquire(timeout=1):  # timed out: another thread has the lock and waits for this thread
            return value
        try:
            if not turns.foreign():
                if turns.ended:
                    self._finish_early()
                    self.stop(hidden=threading.get_ident() != turns.first)
                    return value
                return self._value(index, value, owned=True)
            statement = self._source.statements[index]
            if statement.kind in _LOOP_STATEMENTS:
                self._remember_loop(statement, value)
            if not turns.ended and statement.kind not in ("enter", "iteration", "exit", "caught") and not is_fake(value):
                with torch._C.DisableTorchFunction():
                    for name in () if statement.unpacks else statement.names:
                        self._name(statement, name, value)
                        if isinstance(value, Tensor):
                            self._calls.foreign.name(value, name)
                    self.lines.record(statement, value)
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
            self.steps.next_iteration(statement.loop)
            self._frames.next_turn(statement.loop, self._running())
        elif kind in _SPECIAL:
            self._begin_special(statement, value)
        if monotonic() >= self._emitter.next_due and kind not in _UNTIMED:
            self._send_pending()
        if kind in _VALUELESS:
            return
        if statement.names and (type(value) not in NUMBERS or not self._parameter_names.isdisjoint(statement.names)):
            self._bind_names(statement, value)
        if statement.targets:
            self._assign(statement, value)
        if self._optimizers.running:
            self._optimizers.close_abandoned()
        self.lines.record(statement, value)
        if shared:
            self._updates.protect_shared()
        if statement.last:
            self.last_value = value

    def _begin_special(self, statement: Statement, value: Any) -> None:
        """Record a statement that begins or ends a loop, returns, catches an exception or deletes variables."""
        kind = statement.kind
        if kind == "enter":
            self.steps.enter_loop(statement.loop, loop_length(value))
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
        parameter = self.steps.parameters.with_name(name)
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

    # ------------------------------------------------------------------ modules

    def _module(self, module: torch.nn.Module) -> str:
        """Return the path of a module that is about to run."""
        cached = self._modules.get(id(module))
        path = cached[1] if cached is not None and cached[0]() is module else None
        if path is None:
            try:
                path = self._names.module(module)
                # not while tracing, since torch.jit.trace would record the tensors that the search reads
                if not path and not self._mode.modules and torch._C._get_tracing_state() is None:
                    self._names.refresh(self._scopes.local())
                    path = self._names.module(module)
                    if not path:
                        for inner_path, inner in self._names.name_after_class(module):
                            self._modules[id(inner)] = (weakref.ref(inner), inner_path)
                        path = self._modules[id(module)][1]
            except Exception as error:
                self._emitter.failed(error)
                return ""
            self._modules[id(module)] = (weakref.ref(module), path)
        return path


def _pass_through(index: int, value: Any) -> Any:
    """Return the value of a marked statement that runs while nothing is recorded, such as one in an exit function."""
    return value

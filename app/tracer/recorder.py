"""Assemble the parts of the tracer and record one program with them."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
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
from .forward.module_paths import ModulePaths
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
from .source.marker import HOOK
from .source.names import Names
from .source.scopes import Scopes
from .source.stacks import hide_recorder_frames
from .source.statement_count import StatementCount
from .statement_recorder import StatementRecorder
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
from .training.thread_loops import ThreadLoops
from .training.update_phase import UpdatePhase
from .training.updates import Updates
from .training.write_guard import WriteGuard


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
        names = Names(namespace)
        scopes = Scopes(source, namespace)
        writes, changes, late, saved = WriteLog(source.filename), ProgramChanges(), LateGradients(), SavedTensors()
        failures = Failures(source, emitter, writes)
        self._count = count = StatementCount()
        replayed = ReplayedStep(order, emitter) if order is not None else None
        watched = WatchedValues(order, emitter) if order is not None and watch_points(order) is not None else None
        step_observer: StepObserver = watched or replayed or NoStepObserver()
        parameters = Parameters(emitter, names, late, source.lifetimes)
        trail = GradientTrail(parameters)
        open_passes = OpenPasses(emitter, new_table, locator.here)
        known = KnownOptimizers(parameters)
        boundaries = StepBoundaries(source.loops_with_passes, known.have_any)
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
        rebinds = Rebinds(
            emitter=emitter, calls=calls, steps=steps, update=update, locator=locator, scopes=scopes, trail=trail, graphs=graphs
        )
        views = KeptViews(emitter=emitter, names=names, source=source, step=lambda: steps.index)
        self._updates = updates = Updates(
            emitter=emitter, names=names, calls=calls, steps=steps, update=update, locator=locator, guard=guard,
            changes=changes, trail=trail, late=late, missing=rebinds, views=views,
        )  # fmt: skip
        loops = ThreadLoops(steps, calls, frames)
        self._turns = turns = Turns(
            untouched=lambda: not calls and not steps.passes_begun,
            on_moved=loops.catch_up,
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
            pass_observer = ReplayAnswerer(
                order, emitter=emitter, tape=self._tape, mode=mode, engine=engine, step=replayed,
                name_of=lambda tensor: names.binding(tensor)[0],
            )  # fmt: skip
        self.passes = PassRecorder(
            engine=engine, emitter=emitter, calls=calls, mode=mode, turns=turns, source=source, steps=steps,
            new_table=new_table, graphs=graphs, saved=saved, open_passes=open_passes, failures=failures,
            changes=changes, trail=trail, rebinds=rebinds, guard=guard, observer=pass_observer, detail=detail,
        )  # fmt: skip
        self._optimizers = Optimizers(
            emitter=emitter, mode=mode, turns=turns, update=update, parameters=parameters, known=known, names=names,
            locator=locator, guard=guard, views=views,
        )  # fmt: skip
        self._modules = ModulePaths(names, scopes, mode, emitter)
        self._statements = StatementRecorder(
            recording=self, source=source, emitter=emitter, lines=lines, calls=calls, frames=frames, names=names, scopes=scopes,
            count=count, failures=failures, mode=mode, turns=turns, loops=loops, boundaries=boundaries, steps=steps,
            guard=guard, rebinds=rebinds, updates=updates, optimizers=self._optimizers,
        )  # fmt: skip
        self._stack = ExitStack()
        self.stopped = False
        """True once nothing more will be recorded, although the program continues."""
        self._observing = ExitStack()
        """The replacements of PyTorch's functions. They are undone while the program is traced."""
        self._active = self._observes = False
        self._compiled = False
        """True once the program has called ``torch.compile``."""

    def __enter__(self) -> Recorder:
        if self.stopped:
            return self
        self._stack.enter_context(hide_recorder_frames())
        self._stack.enter_context(hide_own_references())
        self._stack.enter_context(hide_own_tensors())
        self._stack.enter_context(install_event_loops())
        self._stack.enter_context(send_before_silence(self.send_pending, self.finish_early))
        self._stack.enter_context(show_warnings_at_program_lines())
        if self._watcher is not None:
            self._stack.enter_context(self._watcher.installed())
        self._active = True
        self._observe()
        return self

    def _observe(self) -> None:
        """Begin to observe PyTorch and the marked statements."""
        self._observes = True
        setattr(builtins, HOOK, self._statements.hook)
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
            self._observing.enter_context(track_running_module(self._mode, self._frames, self._modules.path))
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
    def last_value(self) -> Any:
        """The value of the last expression of the cell that runs. The program's runner sets it to ``None`` before each cell."""
        return self._statements.last_value

    @last_value.setter
    def last_value(self, value: Any) -> None:
        self._statements.last_value = value

    @property
    def lacks_pass(self) -> bool:
        """True if the program is still recorded and has called no pass so far."""
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
        setattr(builtins, HOOK, self._statements.hook)

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

    def finish_early(self) -> None:
        """Emit everything that was recorded: the program is about to end its process."""
        with self._mode.reporting:
            self._output.flush()
            self.finish()
            self._emitter.flush()

    def send_pending(self) -> None:
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


def _pass_through(index: int, value: Any) -> Any:
    """Return the value of a marked statement that runs while nothing is recorded, such as one in an exit function."""
    return value

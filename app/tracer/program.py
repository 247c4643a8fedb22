"""Run the cells of a program in one namespace, and report how it ended."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import random
import signal
import sys
import time
import traceback
import types
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import wire
from .emitter import Emitter
from .environment import finalization, own_streams
from .environment.forks import call_in_forked_children
from .environment.outermost import run_outermost
from .environment.plotting import MatplotlibStandIn, missing_module_text
from .environment.remedies import remedy
from .environment.stdout import Printer
from .environment.stop_request import answer_stop_requests
from .recorder import Recorder
from .replay.answers import ReplayFinished
from .replay.counted import CountedReplay
from .replay.watch import watch_points
from .source.exceptions import encodable, exception_text
from .source.instrument import PROGRAM, ProgramSource
from .source.own_modules import OwnModules, own_folders
from .source.printed_traceback import SYNTAX_ERRORS, printed_syntax_error, printed_traceback
from .source.tracebacks import leave_out, raised_at, raised_in
from .source.value_text import MAX_TEXT, tensor_text
from .tensors.lifetimes import Lifetimes

SCRIPT = "program.py"
"""The value of ``__file__`` for a program that has no file."""
_LONGEST = 10 * MAX_TEXT - 1
"""The number of characters of the longest traceback, message or ``repr`` that is recorded."""


def run(job: wire.Job, write: Callable[[bytes], None]) -> int:
    """Run a job, send its events, and return the program's exit status. The last event is :class:`~tapedeck.wire.EndEvent`."""
    program = RunningProgram(job, write)
    try:
        return program.run()
    finally:
        program.finish()


class RunningProgram:
    """A program that runs in this process. :meth:`run` runs its cells, and :meth:`finish` ends the recording.

    In between, its threads continue and the functions that it registered with ``atexit`` run. In a child that the program
    forks, nothing is recorded, and all replacements in Python and PyTorch are undone.
    """

    def __init__(self, job: wire.Job, write: Callable[[bytes], None]) -> None:
        self._job = job
        lifetimes = Lifetimes()
        self._emitter = emitter = Emitter(write, early=not job.confined, lifetimes=lifetimes)
        emitter.emit(wire.StartedEvent(torch.__version__.partition("+")[0], sys.version.partition(" ")[0]))
        emitter.flush()
        filename = job.path or PROGRAM
        modules = OwnModules(own_folders(job), emitter.emit, lifetimes.read)
        watch = watch_points(job.replay) if job.replay is not None else None
        self._source = source = ProgramSource(job.program, job.cells, filename, modules, lifetimes, watch)
        module = types.ModuleType("__main__")
        self._namespace: dict[str, Any] = module.__dict__
        script = job.path or SCRIPT
        if not job.notebook:
            self._namespace["__file__"] = script
        self._replaced = sys.modules.get("__main__"), sys.stdout, sys.stderr, sys.argv
        own = (None, None) if job.confined else (sys.stdout, sys.stderr)
        self._printer = printer = Printer(emitter, job.stdout_bytes, *own)
        if job.script is not None and not job.confined:
            script = job.script
        sys.modules["__main__"], sys.argv = module, [script, *job.arguments]
        if job.own_streams:
            own_streams.listen(printer)
        else:
            sys.stdout, sys.stderr = printer.stdout, printer.stderr
        if not job.confined and job.path is None and "" not in sys.path and os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
        order = job.replay
        self._recorder: Recorder | CountedReplay
        if order is not None and order.counted is not None:
            self._recorder = CountedReplay(order, order.counted, emitter, job)
        else:
            self._recorder = Recorder(source, self._namespace, emitter, job, printer)
        self._plotting: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        if job.confined:
            self._plotting = MatplotlibStandIn(lambda: emitter.emit(wire.PlottingStandIn(line=self._recorder.line)))
        self._open = contextlib.ExitStack()
        self._open.enter_context(call_in_forked_children(self._leave))
        if not job.own_streams:  # a program with its own terminal is stopped by its user
            report = partial(emitter.call_between_messages, self._report_line)
            self._open.enter_context(answer_stop_requests(report))
        self._descriptors = contextlib.ExitStack()
        if job.files:
            self._descriptors.enter_context(printer.with_own_files())
        elif not (job.confined or job.own_streams):
            self._descriptors.enter_context(printer.with_descriptors())
        self._forked = False
        self._finished = False
        self._failure: wire.ProgramFailure | None = None
        self._duration = 0.0

    def run(self) -> int:
        """Run the cells until one fails, and return the exit status that Python would have (see :meth:`_end_by`)."""
        if self._job.seed is not None:
            _seed(self._job.seed)
        started = time.perf_counter()
        status = 0
        try:
            with self._plotting:
                error = self._run_cells()
            if error is not None:
                status = self._end_by(error)
        except ReplayFinished:  # raised once the replay has its answer
            self.finish()
        self._duration = (time.perf_counter() - started) * 1000
        if not (self._finished or self._forked):
            self._open.enter_context(self._recorder)
        return status

    def finish(self, *, process_ends: bool = False, finalizes: bool = True) -> None:
        """Emit the rest of the recording and its end, and restore the replaced functions, modules and streams.

        If the process ends, ``__main__`` and ``sys.argv`` remain the program's, for exit functions that run later. If Python
        does not finalize the interpreter then (``finalizes`` is false), the variables of the program are freed here.
        """
        if self._finished or self._forked:
            return
        self._finished = True
        if process_ends:  # the finalizers run now, before the recording ends; Python would otherwise call them later
            finalization.run()
        self._open.close()
        try:
            with contextlib.suppress(ReplayFinished):  # raised if the replay asks for the last step
                if self._failure is None and isinstance(self._recorder, Recorder) and self._recorder.lacks_pass:
                    _run_implicit_pass(self._recorder, self._emitter)
                self._printer.flush()
                self._recorder.finish()
            if process_ends:
                finalization.prepare(self._namespace)
                if not finalizes and finalization.is_observed(self._source.text):
                    finalization.free_variables(self._namespace)
            self._descriptors.close()
            self._printer.flush()
            self._emitter.emit(wire.EndEvent("failed" if self._failure else "done", self._failure, self._duration))
            self._emitter.flush()
        finally:
            self._descriptors.close()
            own_streams.listen(None)
            main, sys.stdout, sys.stderr, argv = self._replaced
            if not process_ends:
                sys.modules["__main__"], sys.argv = main, argv  # type: ignore[assignment]
            self._emitter.close()

    def _report_line(self) -> None:
        """Send all pending events and the running line. Then wait to be killed."""
        self._printer.flush()
        self._emitter.emit(wire.StoppedAt(self._recorder.line))
        self._emitter.flush()
        while True:
            time.sleep(1.0)

    def _leave(self) -> None:
        """Stop recording: this process is a child that the program has forked."""
        self._forked = True
        self._emitter.close()
        self._recorder.stop()
        if sys.stdout is self._printer.stdout:
            sys.stdout = self._replaced[1]
        if sys.stderr is self._printer.stderr:
            sys.stderr = self._replaced[2]

    def _end_by(self, error: BaseException) -> int:
        """Handle, as Python does, the exception that ends a program, and return the exit status.

        The status is minus the number of a signal if Python would end its process by that signal.
        """
        if self._forked:
            leave_out(error)
        if isinstance(error, SystemExit):
            if error.code is None or isinstance(error.code, int):
                return (error.code or 0) & 0xFF
            print(error.code, file=sys.stderr)
            return 1
        sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
        if self._forked or sys.excepthook is not sys.__excepthook__:
            try:
                sys.excepthook(type(error), error, error.__traceback__)
            except Exception as failed:
                self._report_hook(failed, error)
        elif self._job.own_streams:
            with own_streams.unrecorded():  # the failure has the traceback
                sys.excepthook(type(error), error, error.__traceback__)
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1

    def _report_hook(self, failed: Exception, error: BaseException) -> None:
        """Print what Python prints if the program's ``sys.excepthook`` raises: the hook's exception, then the program's.

        If the streams are not the process's own, the recorded failure has the second traceback.
        """
        leave_out(failed)
        print("Error in sys.excepthook:", printed_traceback(failed, _LONGEST), sep="\n", file=sys.stderr)
        print("Original exception was:", file=sys.stderr)
        if self._job.own_streams or self._forked:
            with own_streams.unrecorded():
                sys.__excepthook__(type(error), error, error.__traceback__)

    def _run_cells(self) -> BaseException | None:
        """Run the cells until one fails, and return the exception that ended the program, if any."""
        source, recorder = self._source, self._recorder
        for index in range(len(source.cells)):
            recorder.last_value = None
            self._printer.cell = index
            try:
                code = source.compile(index)
            except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                self._failure = _unparsable(error, source)
                return error.with_traceback(None)
            try:
                with recorder:
                    if self._job.module is not None:
                        _become_module(self._namespace, self._job.module)
                    run_outermost(code, self._namespace)
            except ReplayFinished:
                raise
            except BaseException as error:
                if not self._forked:
                    if isinstance(error, SystemExit) and error.code in (None, 0):
                        self._end_cell(index)
                    else:
                        self._failure = _failure(error, source, self._job.confined)
                return error
            self._end_cell(index)
        return None

    def _end_cell(self, index: int) -> None:
        if self._forked:
            return
        value = self._recorder.last_value
        output = None
        if value is not None:
            output = tensor_text(value) if isinstance(value, Tensor) else _repr(value)
        self._printer.flush()
        self._emitter.emit(wire.CellEvent(index, output))


def _become_module(namespace: dict[str, Any], name: str) -> None:
    """Set the attributes that ``python -m`` sets. Like ``python -m``, import the packages that contain the module."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    namespace |= {"__spec__": spec, "__package__": spec.parent, "__loader__": spec.loader, "__cached__": spec.cached}


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed also looks for devices, which takes ten times as long


def _repr(value: Any) -> str:
    """Return the ``repr`` of an object, as a notebook shows it. The ``repr`` may be the program's code, and may fail."""
    try:
        return repr(value)[:_LONGEST]
    except Exception as error:
        return f"<repr failed: {type(error).__name__}: {error}>"[:MAX_TEXT]


def _run_implicit_pass(recorder: Recorder, emitter: Emitter) -> None:
    """Run a pass from the last tensor that has a ``grad_fn``, for a program that calls none. Leaves keep their ``.grad``.

    Output of the program's hooks and custom functions is discarded, because they would not run without Tapedeck.
    """
    unseen = io.StringIO()
    with torch._C.DisableTorchFunction(), contextlib.redirect_stdout(unseen), contextlib.redirect_stderr(unseen):
        tensor = recorder.lines.last_with_grad_fn()
        if tensor is None or not (tensor.is_floating_point() or tensor.is_complex()):
            return
        try:
            recorder.passes.run_implicit(tensor)
            if recorder.steps.passes_begun:
                emitter.emit(wire.ImplicitPass(scalar=tensor.numel() == 1))
        except Exception as error:  # the graph has been freed, but it can still be drawn
            emitter.emit(wire.ImplicitPassFailed(message=str(error)[:1000]))


def _unparsable(error: BaseException, source: ProgramSource) -> wire.ProgramFailure:
    line = getattr(error, "lineno", None) or -1
    start, end = (getattr(error, "offset", None) or 0), (getattr(error, "end_offset", None) or 0)
    columns = (start - 1, max(end - 1, start)) if start > 0 else None
    if isinstance(error, SyntaxError) and type(error) in SYNTAX_ERRORS:
        text = printed_syntax_error(error)
    else:
        text = "".join(traceback.format_exception_only(error))
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    return wire.ProgramFailure(type(error).__name__, message[:MAX_TEXT], None, line, text[: 10 * MAX_TEXT], columns)


def _failure(error: BaseException, source: ProgramSource, confined: bool = True) -> wire.ProgramFailure:
    """Describe an exception, with the program's innermost line. An error that the sandbox caused is described with its remedy.

    The recorder's own frames are left out of the traceback.
    """
    leave_out(error)
    location = raised_at(error, source.filename)
    line, columns = source.locate(*location) if location is not None else (-1, None)
    message = missing_module_text(error) if confined and isinstance(error, ModuleNotFoundError) else exception_text(error)
    if confined and source.filename == PROGRAM and (instead := remedy(error)) is not None:
        message = f"{message}: {instead}"
    return wire.ProgramFailure(
        type(error).__name__[:300],
        encodable(message)[:_LONGEST],
        None,
        line,
        printed_traceback(error, _LONGEST),
        columns,
        source.own.origin(raised_in(error, source.filename, source.own.has)),
    )

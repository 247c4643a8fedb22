"""Run the cells of a program in one namespace, and report how it ended."""

from __future__ import annotations

import contextlib
import io
import random
import sys
import time
import traceback
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import wire
from .emitter import Emitter
from .environment.plotting import MatplotlibStandIn, missing_module_text
from .environment.remedies import remedy
from .environment.stdout import Printer
from .recorder import Recorder
from .replay.answers import ReplayFinished
from .source.exceptions import encodable, exception_text
from .source.instrument import PROGRAM, ProgramSource
from .source.tracebacks import leave_out, raised_at
from .source.value_text import MAX_TEXT, tensor_text

SCRIPT = "program.py"
"""The value of ``__file__`` for a program that has no file."""


def run(job: wire.Job, write: Callable[[bytes], None]) -> None:
    """Run a job and send its events. The last is :class:`~tapedeck.wire.EndEvent`."""
    emitter = Emitter(write)
    emitter.emit(wire.StartedEvent(torch.__version__.partition("+")[0], sys.version.partition(" ")[0]))
    filename = job.path or PROGRAM
    source = ProgramSource(job.program, job.cells, filename)
    module = types.ModuleType("__main__")
    namespace: dict[str, Any] = module.__dict__
    script = job.path or SCRIPT
    if not job.notebook:
        namespace["__file__"] = script
    printer = Printer(emitter, job.stdout_bytes, job.printed_bytes)
    replaced = sys.modules.get("__main__"), sys.stdout, sys.stderr, sys.argv
    sys.modules["__main__"], sys.stdout, sys.stderr, sys.argv = module, printer, printer, [script, *job.arguments]
    _seed(job.seed)
    recorder = Recorder(source, namespace, emitter, job, printer)
    started = time.perf_counter()
    failure: wire.ProgramFailure | None = None
    duration = 0.0
    try:
        with contextlib.suppress(ReplayFinished):  # the replay has been answered
            with MatplotlibStandIn(lambda: emitter.emit(wire.PlottingStandIn(line=recorder.line))):
                failure = _run_cells(source, namespace, recorder, emitter, printer)
            duration = (time.perf_counter() - started) * 1000
            if failure is None and not recorder.passes.called:
                _run_implicit_pass(recorder, emitter)
            printer.flush()
            recorder.finish()
    finally:
        sys.modules["__main__"], sys.stdout, sys.stderr, sys.argv = replaced  # type: ignore[assignment]
    emitter.emit(wire.EndEvent("failed" if failure else "done", failure, duration))
    emitter.flush()


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed also looks for devices, which takes ten times as long


def _run_cells(
    source: ProgramSource, namespace: dict[str, Any], recorder: Recorder, emitter: Emitter, printer: Printer
) -> wire.ProgramFailure | None:
    """Run the cells until one fails; return its failure."""
    for index in range(len(source.cells)):
        recorder.last_value = None
        printer.cell = index
        try:
            code = source.compile(index)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return _unparsable(error, source)
        try:
            with recorder:
                exec(code, namespace)
        except SystemExit as stop:
            if stop.code not in (None, 0):
                return _failure(stop, source)
            _end_cell(index, recorder.last_value, emitter, printer)
            return None
        except ReplayFinished:
            raise
        except BaseException as error:
            return _failure(error, source)
        _end_cell(index, recorder.last_value, emitter, printer)
    return None


def _end_cell(index: int, value: Any, emitter: Emitter, printer: Printer) -> None:
    output = None
    if value is not None:
        output = tensor_text(value) if isinstance(value, Tensor) else _repr(value)
    printer.flush()
    emitter.emit(wire.CellEvent(index, output))


def _repr(value: Any) -> str:
    """Return the output that a notebook shows for an object: its repr, which is the program's own code and may fail."""
    try:
        return repr(value)[: 10 * MAX_TEXT - 1]
    except Exception as error:
        return f"<repr failed: {type(error).__name__}: {error}>"[:MAX_TEXT]


def _run_implicit_pass(recorder: Recorder, emitter: Emitter) -> None:
    """Run a pass from the last tensor that has a ``grad_fn``, for a program that calls none. Leaves keep their ``.grad``.

    Nothing that the program's own hooks and custom functions print in it is shown: alone, they would not have run.
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
    text = "".join(traceback.format_exception_only(type(error), error))
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    return wire.ProgramFailure(type(error).__name__, message[:MAX_TEXT], None, line, text[: 10 * MAX_TEXT], columns)


def _failure(error: BaseException, source: ProgramSource) -> wire.ProgramFailure:
    """Describe an exception, with the program's innermost line. The recorder's own frames are left out of the traceback."""
    leave_out(error)
    stack = traceback.TracebackException.from_exception(error, limit=-200, compact=True)
    location = raised_at(error, source.filename)
    line, columns = source.locate(*location) if location is not None else (-1, None)
    message = missing_module_text(error) if isinstance(error, ModuleNotFoundError) else exception_text(error)
    if source.filename == PROGRAM and (instead := remedy(error)) is not None:
        message = f"{message}: {instead}"
    text = "".join(stack.format())
    return wire.ProgramFailure(
        type(error).__name__[:300],
        encodable(message)[: 10 * MAX_TEXT - 1],
        None,
        line,
        encodable(text)[-10 * MAX_TEXT + 1 :],
        columns,
    )

"""Put the parts of the tracer together, for as long as one program runs."""

from __future__ import annotations

import builtins
import sys
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

from .. import wire
from .backward.engine import Engine
from .backward.failures import Failures
from .emitter import Emitter
from .environment.event_loop import event_loops
from .forward.calls import Calls
from .forward.mode import ForwardMode, depth, underneath
from .forward.patches import (
    before_silence,
    eager_compile,
    noticed_arrays,
    noticed_duals,
    seen_functions,
    seen_set,
    unseen_traces,
    warnings_at,
)
from .forward.shortcuts import not_handed_over, seen_clearing, seen_modules
from .forward.writes import Writes
from .replay.answers import Replay
from .replay.tape import Tape
from .source.instrument import HOOK, Here, Source, Statement
from .source.lines import Lines
from .source.loop_lengths import length
from .source.names import Names
from .source.scopes import Scopes
from .source.tracebacks import leave_out
from .tensors.handles import next_sequence_nr
from .tensors.table import Table
from .tensors.transforms import Aside
from .training.optimizers import Optimizers
from .training.rebinds import Rebinds
from .training.steps import Steps
from .training.updates import Updates

_OF_LOOPS = frozenset({"enter", "round", "target"})


class Recorder:
    """Records what a program does while ``with recorder:`` lasts. One at a time; it sees this thread alone."""

    def __init__(self, source: Source, namespace: dict[str, Any], emitter: Emitter, job: wire.Job) -> None:
        self._source = source
        self._namespace = namespace
        self._emitter = emitter
        self._job = job
        self.lines = Lines(job.values)
        self._calls = Calls(job.values if job.capture != "graph" else -1)
        self._names = Names(namespace)
        self._scopes = Scopes(source, namespace)
        writes = Writes(source.filename)
        self._failures = Failures(source, emitter, writes)
        self.steps = Steps(
            emitter=emitter, lines=self.lines, names=self._names, source=source, calls=self._calls, table=self._table
        )
        self.updates = Updates(
            emitter=emitter,
            names=self._names,
            steps=self.steps,
            here=self.here,
            here_at=self._here_at,
            writes=writes,
            holders=[self.lines, self._calls, self.steps, emitter],
        )
        self._mode = ForwardMode(self._calls, self.updates, source.filename)
        self.engine = Engine(
            emitter=emitter, calls=self._calls, mode=self._mode, names=self._names, source=source, steps=self.steps,
            table=self._table, scopes=self._scopes.local, limit=job.nodes,
            failures=self._failures,
        )  # fmt: skip
        self._optimizers = Optimizers(
            emitter=emitter,
            mode=self._mode,
            steps=self.steps,
            names=self._names,
            here=self.here,
            before_write=self.updates.before_write,
        )
        self._rebinds = Rebinds(
            emitter=emitter, calls=self._calls, steps=self.steps, here=self.here, scopes=self._scopes,
            followed=self.updates.gradients_of, graph_of=self.engine.graph_of,
        )  # fmt: skip
        self.updates.engine = self.engine
        self.updates.holders.append(self.engine)
        self.updates.on_missing = self._rebinds.missed
        self.updates.before_resize = self._let_go_of_graphs
        self.engine.on_nothing = self._rebinds.reached_nothing
        self.engine.before_write = self.updates.before_write
        self.engine.on_given = self.updates.given
        self.engine.changes = lambda: self.updates.changes
        self._tape: Tape | None = None
        if job.replay is not None:
            self._tape = Tape()
            replay = Replay(job.replay, emitter=emitter, tape=self._tape, mode=self._mode, engine=self.engine.original)
            self.engine.before_pass, self.engine.after_pass = replay.before_pass, replay.after_pass
            self.steps.on_ending = replay.step_ending
            self.steps.on_end = replay.step_ended
        self._modules: dict[int, tuple[weakref.ref[torch.nn.Module], str]] = {}
        self._stack = ExitStack()
        self.before_telling: Callable[[], None] = lambda: None
        """Called before what waits is sent on."""
        self.on_last: Callable[[Any], None] = lambda value: None
        """Told the value of a cell's last expression."""

    def __enter__(self) -> Recorder:
        setattr(builtins, HOOK, self._value)
        with underneath():
            if self._tape is not None:  # below the mode, so that it sees the calls as they are carried out
                self._stack.enter_context(self._tape)
            self._stack.enter_context(seen_functions(self._calls, self._mode, self._source.filename))
            self._stack.enter_context(seen_set(self._mode))
            self._stack.enter_context(unseen_traces(self._mode))
            self._stack.enter_context(eager_compile())
            self._stack.enter_context(event_loops())
            self._stack.enter_context(noticed_arrays(self._notice_array))
            self._stack.enter_context(noticed_duals(self._notice_duals))
            self._stack.enter_context(before_silence(self._tell, self._break_off))
            self._stack.enter_context(warnings_at(self._source.filename, self._namespace))
            self._stack.callback(setattr, builtins, HOOK, _passed_on)
            self._stack.enter_context(seen_modules(self._mode, self._module))
            self._stack.enter_context(not_handed_over(self._mode))
            self._stack.enter_context(seen_clearing(self._mode, self.updates.cleared))
            self._stack.enter_context(self._optimizers)
            self._stack.enter_context(self.engine)
            self._stack.enter_context(self._mode)
            self._mode.depth = depth()
        return self

    def __exit__(self, *failure: Any) -> None:
        self._optimizers.wake()
        self._stack.__exit__(*failure)

    def here(self) -> Here:
        """Where the program stands."""
        return self._source.here(sys._getframe(1))

    def _here_at(self, line: int) -> Here:
        """Where a line of the function stands that is running."""
        at, here = self._source.at(line), self.here()
        return Here(line, at.heads, at.loops + tuple(loop for loop in here.loops if loop not in at.loops))

    def finish(self) -> None:
        """The program has ended: tell the step under way, and the last value of every line with its graph."""
        with Aside():
            try:
                self._optimizers.wake()
                self.lines.settle()
                self.steps.end_step()
                self.updates.ended()
                self._optimizers.ended()
                table = self._table()
                rows = self.lines.ended(table, self.engine.graph_reached, self.engine.graph_of)
                self._emitter.emit_with(table, lambda tensors: wire.LinesEvent(rows, tensors))
            except Exception as error:
                self._emitter.failed(error)

    def _notice_array(self, tensor: Tensor) -> None:
        try:
            self.updates.share(tensor)
        except Exception as error:
            self._emitter.failed(error)

    def _notice_duals(self) -> None:
        self._emitter.emit_once(wire.Signal("forward-mode", line=self.here().line))

    def _let_go_of_graphs(self) -> None:
        """A leaf gets another size: its node knows the old one, and lives as long as a graph of ours that leads to it."""
        self.steps.let_go()
        self.lines.let_go()
        self._calls.release(next_sequence_nr())
        self._emitter.flush()

    def _break_off(self) -> None:
        """The program ends its own process: tell what there is."""
        self.before_telling()
        self.finish()
        self._emitter.flush()

    def _table(self) -> Table:
        return Table(self._job.values, self._job.capture)

    def _value(self, place: int, value: Any) -> Any:
        """What a marked statement calls: note its value and give it back."""
        with torch._C.DisableTorchFunction():
            try:
                self._note(self._source.statements[place], value)
            except Exception as error:
                self._emitter.failed(error)
        return value

    def _note(self, statement: Statement, value: Any) -> None:
        kind = statement.kind
        self.updates.look_at_shared(statement)
        if kind in _OF_LOOPS:
            if kind == "enter":
                self.steps.entered(statement.loop, length(value))
            else:
                self.steps.round(statement.loop)
        elif kind == "caught":
            self._caught(statement)
            return
        if self._emitter.due():
            self._tell()
        if kind == "round" or kind == "enter":
            return
        names = statement.names
        if names:
            if not statement.unpacks:
                for name in names:
                    self._bind(statement, name, value)
            elif isinstance(value, list | tuple) and len(value) == len(names):
                for name, part in zip(names, value, strict=True):
                    self._bind(statement, name, part)
        if statement.targets:
            self._assign(statement, value)
        if self._mode.resting:
            self._optimizers.wake()
        self.lines.take(statement, value)
        self.updates.keep_shared()
        if statement.last:
            self.on_last(value)

    def _bind(self, statement: Statement, name: str, value: Any) -> None:
        if isinstance(value, Tensor):
            self._names.bind(name, value, statement.line, passing=statement.kind == "target")
            self._calls.name(value, name)
        parameter = self.steps.parameters.called(name)
        if parameter is not None:
            self._rebinds.bound(statement, name, parameter, value)
        elif type(value) in (list, tuple, dict):
            self._rebinds.replaced(statement, name, value)

    def _assign(self, statement: Statement, value: Any) -> None:
        targets = statement.targets
        whole = type(value) in (list, tuple) and len(value) == len(targets)
        parts = repeat(value) if not statement.unpacks else value if whole else ()
        for target, part in zip(targets, parts, strict=False):
            if target is not None and isinstance(part, Tensor):
                self._rebinds.assigned(statement, target, part)

    def _caught(self, statement: Statement) -> None:
        error = sys.exc_info()[1]
        if error is not None:
            leave_out(error)
            self._failures.caught(error, statement.line)

    def _tell(self) -> None:
        """Let those who listen see the lines' values, should the program be stopped before its end."""
        self.before_telling()
        table = self._table()
        rows = self.lines.untold(table)
        if rows:
            self._emitter.emit_with(table, lambda tensors: wire.LinesEvent(rows, tensors))
        self._emitter.flush()

    def _module(self, module: torch.nn.Module) -> str:
        """The path of a module that is about to run."""
        known = self._modules.get(id(module))
        path = known[1] if known is not None and known[0]() is module else None
        if path is None:
            try:
                path = self._names.module(module)
                # a trace would take what is looked at for a part of what it traces
                if not path and not self._mode.modules and torch._C._get_tracing_state() is None:
                    self._names.refresh(self._scopes.local())
                    path = self._names.module(module)
            except Exception as error:
                self._emitter.failed(error)
                return ""
            self._modules[id(module)] = (weakref.ref(module), path)
        return path


def _passed_on(place: int, value: Any) -> Any:
    """What a marked statement calls while nothing is recorded: a ``__repr__`` between cells, a function at exit."""
    return value

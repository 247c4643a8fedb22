"""Record every pass at the one function through which torch calls autograd's engine.

``Tensor.backward``, ``autograd.grad``, ``torch.func`` and a checkpoint's nested call all go through
``torch.autograd._engine_run_backward``. Its replacement here walks the graph, puts one post hook on each node, runs the engine,
and removes the hooks. The hooks return nothing, so they change no gradient. They keep the gradient tensors themselves, not
aliases. The engine then copies a gradient that it would otherwise have reused as a ``.grad``, and the recorded values stay
intact.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import torch
from torch import Tensor

from ... import wire
from ...model import PassKind
from ..emitter import Build, Emitter
from ..forward.calls import Call, Calls
from ..forward.mode import ForwardMode
from ..forward.threads import Turns
from ..source.instrument import ProgramSource
from ..source.own_failures import OwnFailures
from ..source.tracebacks import program_frames
from ..source.weaving import woven
from ..tensors.handles import next_sequence_nr
from ..tensors.kinds import is_fake
from ..tensors.memory import Write
from ..tensors.table import TableBuilder
from ..tensors.transforms import Unobserved, inside_transform
from ..training.detail import Detail
from ..training.facts import PassFacts
from ..training.gradient_trail import GradientTrail
from ..training.program_changes import ProgramChanges
from ..training.rebinds import Rebinds
from ..training.steps import Steps
from ..training.write_guard import BeforeWrite
from .failures import Failures
from .graph import TooManyNodes, Walk, grad_node
from .graphs import Graphs
from .hooks import GradientCapture
from .open_passes import OpenPasses
from .passes import OpenPass
from .saved_tensors import SavedTensors

_AUTOGRAD: Any = torch.autograd
LARGE = 10_000
"""Number of nodes above which garbage collection is disabled while the engine runs."""


class PassObserver(Protocol):
    """Acts before and after each pass. A replay implements it."""

    def before_pass(self, begun: OpenPass) -> Sequence[Any]:
        """Called before a pass runs. Return the handles of the added hooks. The recorder removes them after the pass."""

    def after_pass(self, begun: OpenPass, result: Any) -> None:
        """Called after a pass has run, with the value that the engine returned."""


class NoPassObserver:
    """A :class:`PassObserver` that does nothing."""

    def before_pass(self, begun: OpenPass) -> Sequence[Any]:
        """Add no hooks."""
        return ()

    def after_pass(self, begun: OpenPass, result: Any) -> None:
        """Do nothing."""


class _NotRecorded(Exception):
    """Raised instead of an implicit pass that cannot be recorded."""


class _Results(threading.local):
    """The results of the engine calls that run in this thread, outermost first; ``()`` until the engine returns."""

    def __init__(self) -> None:
        self.of_calls: list[Any] = []


class _RunningPass:
    """A call of the engine that runs with the mode active, and the changes to undo after it.

    ``begun`` is its pass, ``None`` if the pass is not recorded.
    """

    __slots__ = ("begun", "entered_mode", "first", "handles", "thresholds")

    def __init__(self, begun: OpenPass | None) -> None:
        self.begun = begun
        self.first = next_sequence_nr()
        """The sequence number of the next node, read before the engine ran."""
        self.handles: Sequence[Any] = ()
        self.thresholds: tuple[int, int, int] | None = None
        """The thresholds of the garbage collector before they were changed; ``None`` if they were not changed."""
        self.entered_mode = False


class _EngineCall:
    """The context in which the engine runs."""

    __slots__ = ("_given", "_recorder", "_running")

    def __init__(self, recorder: PassRecorder, *given: Any) -> None:
        self._recorder = recorder
        self._given = given

    def __enter__(self) -> None:
        self._running = self._recorder._enter(*self._given)
        del self._given

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._recorder._leave(self._running, error)


class PassRecorder:
    """Records every pass. ``with recorder:`` replaces torch's entry to the engine and restores it afterwards.

    A pass over a graph with more nodes than the limit of ``graphs`` is not recorded. Gradients that the engine computes on
    other threads (devices other than the CPU) are recorded too, since a hook runs in the thread of its node. ``engine`` is
    torch's own entry.
    """

    def __init__(
        self,
        *,
        engine: Callable[..., Any],
        emitter: Emitter,
        calls: Calls,
        mode: ForwardMode,
        turns: Turns,
        source: ProgramSource,
        steps: Steps,
        new_table: Callable[[], TableBuilder],
        graphs: Graphs,
        saved: SavedTensors,
        open_passes: OpenPasses,
        failures: Failures,
        changes: ProgramChanges,
        trail: GradientTrail,
        rebinds: Rebinds,
        guard: BeforeWrite,
        observer: PassObserver,
        detail: Detail,
    ) -> None:
        self._engine = engine
        self._emitter = emitter
        self._calls = calls
        self._mode = mode
        self._turns = turns
        self._source = source
        self._steps = steps
        self._new_table = new_table
        self._here = source.context_of
        self._graphs = graphs
        self._saved = saved
        self._open = open_passes
        self._failures = failures
        self._changes = changes
        self._trail = trail
        self._rebinds = rebinds
        self._guard = guard
        self._observer = observer
        self._detail = detail
        self._turn = threading.RLock()
        """A lock for the beginning and the end of a pass: only one thread at a time may begin or end a pass."""
        self._required = OwnFailures(self._failed_for_good)
        """A context in which our own failures end the recording, because a pass was counted and will not be emitted."""
        self._results = _Results()
        self._implicit = False
        self.called = False
        """True once the engine was called, even if the pass was not recorded."""

    def __enter__(self) -> PassRecorder:
        self._saved.__enter__()
        _AUTOGRAD._engine_run_backward = woven(self._engine, self)
        return self

    def __exit__(self, *_: object) -> None:
        _AUTOGRAD._engine_run_backward = self._engine
        self._saved.__exit__()

    def run_implicit(self, tensor: Tensor) -> None:
        """Run and record a pass that the program does not run itself. Leaves keep their ``.grad``."""
        self._implicit = True
        try:
            with self, suppress(_NotRecorded):
                torch.autograd.backward(tensor, torch.ones_like(tensor), retain_graph=True)
        finally:
            self._implicit = False

    def around(self, outputs: Sequence[Any], args: Any, kwargs: Any) -> _EngineCall:
        """Record a pass: the engine runs inside this context."""
        return _EngineCall(self, outputs, args, kwargs)

    def returned(self, value: Any) -> Any:
        """Store the value that the engine returns, and return it."""
        self._results.of_calls[-1] = value
        return value

    def _enter(self, outputs: Sequence[Any], args: Any, kwargs: Any) -> _RunningPass | None:
        """Begin to record a call of the engine; return ``None`` if it runs unrecorded and without the mode."""
        self.called = True
        self._results.of_calls.append(())
        try:
            if self._mode.tracing or any(map(is_fake, outputs)) or not self._turns.claim_pass():
                return None
            begun = self._try_to_begin(outputs, args, kwargs)
            if begun is None and self._implicit:
                raise _NotRecorded
            running = _RunningPass(begun)
            if begun is not None:
                running.handles = self._observer.before_pass(begun)
                if len(begun.walk.nodes) > LARGE and (thresholds := gc.get_threshold())[0] > 0:
                    running.thresholds = thresholds
                    gc.set_threshold(0)  # the objects of the hooks would make the collector traverse the graph again and again
            if not torch._C._len_torch_function_stack():  # hooks, custom functions and checkpoints make calls inside the engine
                self._mode.__enter__()  # type: ignore[no-untyped-call]
                running.entered_mode = True
            return running
        except BaseException:
            self._results.of_calls.pop()
            raise

    def _leave(self, running: _RunningPass | None, failure: BaseException | None) -> None:
        """Emit the pass if it is recorded. The engine has returned or raised."""
        try:
            if running is None:
                return
            if running.entered_mode:
                self._mode.__exit__()
            if running.begun is not None:
                self._emit(running.begun, running, failure)
        finally:
            self._results.of_calls.pop()

    def _emit(self, begun: OpenPass, running: _RunningPass, failure: BaseException | None) -> None:
        first, result = running.first, self._results.of_calls[-1]
        if running.thresholds is not None and gc.get_threshold()[0] == 0:
            gc.set_threshold(*running.thresholds)
        with self._turn, Unobserved():
            for handle in running.handles:
                handle.remove()
            with self._mode.reporting:
                begun.capture.detach()
            with self._required:
                self._open.remove(begun)
            try:
                self._add_formula_calls(begun, first, result)
                self._add_engine_call(first, result)
                table, build = self._end(begun, result, failure)
            except Exception as error:
                self._emitter.failed(error)
                table, build = self._new_table(), begun.empty
            with self._required:
                self._open.emit(begun.facts.index, table, build)
            if failure is None:
                self._observer.after_pass(begun, result)

    def _failed_for_good(self, error: Exception) -> None:
        self._emitter.halt()
        self._emitter.failed(error)

    # ------------------------------------------------------------------ the beginning

    def _try_to_begin(self, outputs: Sequence[Any], args: Any, kwargs: Any) -> OpenPass | None:
        """Prepare to record a pass; return ``None`` if it has to run unrecorded."""
        with self._turn, Unobserved():
            count = self._steps.passes_begun
            try:
                first = next_sequence_nr()
                roots = [grad_node(output) if isinstance(output, Tensor) else output.node for output in outputs]
                self._add_engine_call(first, ())  # reading grad_fn makes a new node for a view whose base was written to
                walk = Walk(roots, self._calls, self._graphs.limit)
                if walk.nodes:
                    begun = self._begin(walk, outputs, args, kwargs)
                    return begun if self._attach(begun) else None
                self._rebinds.reached_nothing(outputs)
            except TooManyNodes:
                line = self._here(sys._getframe(2)).line
                self._emitter.emit(wire.GraphTooLarge(line=line, limit=self._graphs.limit))
            except Exception as error:
                if self._steps.passes_begun > count:  # later events would refer to the missing pass
                    self._emitter.halt()
                self._emitter.failed(error)
        return None

    def _begin(self, walk: Walk, outputs: Sequence[Any], args: Any, kwargs: Any) -> OpenPass:
        accumulates = bool(kwargs.get("accumulate_grad", True))
        outer = self._open.outer()
        kind: PassKind = "implicit" if self._implicit else "nested" if outer else "backward" if accumulates else "grad"
        here = self._here(sys._getframe(3))
        parameters = self._steps.parameters.indexes_of(walk.leaves)
        if -1 in parameters:
            self._graphs.refresh_names()
            parameters = [self._steps.register(leaf) for _, leaf in walk.leaves]
        leaves = {parameter: leaf for parameter, (_, leaf) in zip(parameters, walk.leaves, strict=True)}
        facts = PassFacts(
            index=self._steps.passes_begun,
            kind=kind,
            here=here,
            leaves=leaves,
            accumulates=accumulates,
            root=next((output for output in outputs if isinstance(output, Tensor)), None),
            first_number=min([seq for seq in walk.numbers if seq >= 0], default=0),
        )
        fresh = frozenset([parameter for parameter, leaf in leaves.items() if leaf.grad is None])
        adds: Write | None = None
        if accumulates and len(fresh) < len(leaves):
            adds = Write([leaf.grad for leaf in leaves.values() if leaf.grad is not None])
            self._guard.before_write(adds)
        template = self._graphs.template(walk, parameters)
        saved, read_from_nodes = self._graphs.read_saved(walk, template)
        if self._saved.unread:
            self._emitter.emit_once(wire.SavedTensorsUnread(line=here.line))
        capture = GradientCapture(walk.nodes)
        step, values = self._steps.begin_pass(facts, concurrent=self._open.running)
        given = args[0] if args else ()
        begun = OpenPass(
            walk=walk,
            template=template,
            facts=facts,
            step=step,
            parent=outer.facts.index if outer else -1,
            values=values,
            saved=saved,
            read_from_nodes=read_from_nodes,
            capture=capture,
            thread=threading.get_ident(),
            fresh=fresh,
            changes=self._changes.count,
            outputs=tuple(outputs),
            given=given,
            inputs=args[3] if len(args) > 3 else (),
            creates_graph=bool(args[2]) if len(args) > 2 else False,
            transformed=inside_transform((*outputs, *given)),
        )
        if adds is not None:
            begun.protect(adds, self._new_table())
        self._open.add(begun)
        return begun

    def _attach(self, begun: OpenPass) -> bool:
        """Put a hook on every node of a pass. If memory runs out, emit the pass as empty and return ``False``."""
        try:
            begun.capture.attach(numbered=begun.creates_graph)
        except Exception as error:
            self._open.remove(begun)
            self._emitter.failed(error)
            self._open.emit(begun.facts.index, self._new_table(), begun.empty)
            return False
        return True

    # ------------------------------------------------------------------ the end

    def _add_engine_call(self, first: int, result: Any) -> None:
        """Add a call for the nodes that the engine made, from ``first`` on. They belong to the line that called the engine."""
        last = next_sequence_nr()
        if last != first:
            code, offset = next(program_frames(sys._getframe(2), self._source.filename), (None, 0))
            self._calls.add(Call(first, last, self._calls.site(code, offset, ""), torch.autograd.grad, result, (), last - 1))

    def _add_formula_calls(self, begun: OpenPass, first: int, result: Any) -> None:
        """Add a call for each node of the pass whose formula made nodes (with ``create_graph``)."""
        if not begun.creates_graph or next_sequence_nr() == first:
            return
        code, offset = next(program_frames(sys._getframe(2), self._source.filename), (None, 0))
        site = self._calls.site(code, offset, "")
        for start, end, node, results in begun.made_nodes(first, result):
            call = Call(start, end, site, torch.autograd.grad, results, (), end - 1)
            call.backward_of = (begun.template.index, node)
            self._calls.add(call)

    def _end(self, begun: OpenPass, result: Any, failure: BaseException | None) -> tuple[TableBuilder, Build]:
        template, hooked = begun.template, self._changes.hooked
        table = self._new_table()
        nested = self._steps.passes_begun > begun.facts.index + 1
        if begun.overwritten is not None:
            begun.overwritten.ended(result)
        touched = hooked or template.has_python_formula or nested or begun.changes != self._changes.count
        contributions = begun.contributions(table, result, touched=touched)
        failing = self._failures.failed(begun, failure) if failure is not None else -1
        root, gradients = begun.facts.root, (each.tensor for each in contributions.values())
        if failing >= 0 or self._detail.keeps_pass((root, *gradients)):
            build = begun.event(table, result, contributions, failing=failing, hooked=hooked)
        else:
            build = begun.summary()
        if begun.batched:
            self._emitter.emit_once(wire.Batched(line=begun.facts.here.line))
        for call in begun.walk.calls:
            if call is not None:
                call.graph = template.index
        table.finalize()
        self._steps.end_pass(begun.facts, contributions, template.lines, template.root_line)
        if not begun.facts.accumulates:
            for parameter, contribution in contributions.items():
                self._trail.start(contribution.tensor, ~parameter)
        return table, build

"""Stand at the one gate to autograd's engine, and note the gradient on every edge as it passes.

``Tensor.backward``, ``autograd.grad``, ``torch.func`` and a checkpoint's nested call all go through
``torch.autograd._engine_run_backward``. There the graph is walked, one post hook is put on each node, the engine runs,
and the hooks come off again. Hooks see and never change: they return nothing. They hold the gradient tensors themselves,
not aliases, so that the engine copies a gradient where it would have stolen it, and its values stay what they were.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ... import wire
from ...model import PassKind
from ..emitter import Build, Emitter
from ..forward.calls import Call, Calls
from ..forward.mode import ForwardMode
from ..source.instrument import Source, frames
from ..source.names import Names
from ..tensors.handles import next_sequence_nr, sequence_nr
from ..tensors.memory import Write
from ..tensors.table import Table
from ..tensors.transforms import Aside, inside_transform
from ..training.facts import PassFacts
from ..training.steps import Steps
from .failures import Failures
from .graph import UNKNOWN, Template, TooManyNodes, Walk, describe, grad_node
from .hooks import Capture
from .passes import OpenPass
from .saved_tensors import SavedTensors

_AUTOGRAD: Any = torch.autograd
LARGE = 10_000
"""Nodes above which the collector waits while the engine runs."""


class Engine:
    """Records every pass. ``with engine:`` puts it at the gate and takes it away again.

    Its limits: a graph of more than ``limit`` nodes runs unrecorded, and gradients that the engine computes on other
    threads (devices other than the CPU) are seen all the same, since hooks run where the node does.
    """

    def __init__(
        self,
        *,
        emitter: Emitter,
        calls: Calls,
        mode: ForwardMode,
        names: Names,
        source: Source,
        steps: Steps,
        table: Callable[[], Table],
        scopes: Callable[[], list[dict[str, Any]]],
        limit: int,
        failures: Failures,
    ) -> None:
        self._emitter = emitter
        self._calls = calls
        self._mode = mode
        self._names = names
        self._source = source
        self._steps = steps
        self._table = table
        self._here = source.here
        self._scopes = scopes
        self._limit = limit
        self._failures = failures
        self._original: Callable[..., Any] = _AUTOGRAD._engine_run_backward
        self._templates: dict[tuple[Any, ...], Template] = {}
        self._saved = SavedTensors()
        self._begun = 0
        self._open: list[OpenPass] = []
        self._turn = threading.RLock()
        """Passes of several threads begin and end one after the other: their order is that of what is told."""
        self._finished: list[tuple[int, Table, Build]] = []
        self.implicit = False
        self.called = False
        """Whether the program has called the engine, recorded or not."""
        self.hooks_seen = False
        """Whether the program has put a hook on a tensor: then what arrived may differ from what was used."""
        self.before_write: Callable[[Write], None] = lambda write: None
        """Told the gradients that a pass is about to add to."""
        self.on_given: Callable[[Tensor, int], None] = lambda gradient, parameter: None
        """Told the gradients that a pass gives to the program, with their parameters."""
        self.changes: Callable[[], int] = lambda: 0
        """How often the program has changed a tensor or a ``.grad``."""
        self.on_nothing: Callable[[Sequence[Any]], None] = lambda outputs: None
        """Told the roots of a pass that no node made."""
        self.before_pass: Callable[[OpenPass], Sequence[Any]] = lambda begun: ()
        """Told of a pass that is about to run; returns handles of hooks to take off after it."""
        self.after_pass: Callable[[OpenPass, Any], None] = lambda begun, result: None
        """Told of a pass that has run, and of what the engine returned."""

    def __enter__(self) -> Engine:
        self._saved.__enter__()
        _AUTOGRAD._engine_run_backward = self._run
        return self

    def __exit__(self, *_: object) -> None:
        _AUTOGRAD._engine_run_backward = self._original
        self._saved.__exit__()

    @property
    def original(self) -> Callable[..., Any]:
        """The gate itself, behind which nothing is recorded."""
        return self._original

    @property
    def passes(self) -> int:
        """How many passes have begun."""
        return self._begun

    def _run(self, outputs: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        self.called = True
        begun = self._try_to_begin(outputs, args, kwargs)
        if begun is None or not self._attach(begun):  # a pass of ours that cannot be recorded is of no use
            begun = None  # it holds much, and there may be no room
            return () if self.implicit else self._forward_on(outputs, args, kwargs)
        first = next_sequence_nr()
        failure: BaseException | None = None
        handles = self.before_pass(begun)
        result: Any = ()
        thresholds = gc.get_threshold()
        large = len(begun.walk.nodes) > LARGE and thresholds[0] > 0
        if large:
            gc.set_threshold(0)  # what the hooks see makes it look through the whole graph again and again
        try:
            result = self._forward_on(outputs, args, kwargs)
        except BaseException as error:
            failure = error
            raise
        finally:
            if large and gc.get_threshold()[0] == 0:
                gc.set_threshold(*thresholds)
            with self._turn, Aside():
                for handle in handles:
                    handle.remove()
                begun.capture.detach()
                self._close(begun)
                try:
                    self._note_formulas(begun, first, result)
                    self._note_made(first, result)
                    table, build = self._end(begun, result, failure)
                except Exception as error:
                    self._emitter.failed(error)
                    table, build = self._table(), begun.empty
                self._finish(begun.facts.index, table, build)
                if failure is None:
                    self.after_pass(begun, result)
                del failure  # it holds this frame
        return result

    def _try_to_begin(self, outputs: Sequence[Any], args: Any, kwargs: Any) -> OpenPass | None:
        """Get ready to record a pass; ``None`` if it has to run unrecorded."""
        with self._turn, Aside():
            try:
                first = next_sequence_nr()
                roots = self._root_nodes(outputs)
                self._note_made(first, ())  # a view whose base was written to makes its node anew when it is asked for it
                walk = Walk(roots, self._calls, self._limit)
                if walk.nodes:
                    return self._begin(walk, outputs, args, kwargs)
                self.on_nothing(outputs)
            except TooManyNodes:
                line = self._here(sys._getframe(2)).line
                self._emitter.emit(wire.Signal("graph-too-large", line=line, detail={"limit": self._limit}))
            except Exception as error:
                self._emitter.failed(error)
        return None

    def _attach(self, begun: OpenPass) -> bool:
        """Put a hook on every node of a pass; if there is no room for them, the pass is told as empty."""
        try:
            with Aside():
                begun.capture.attach(numbered=begun.makes)
        except Exception as error:
            self._close(begun)
            self._emitter.failed(error)
            self._finish(begun.facts.index, self._table(), begun.empty)
            return False
        return True

    def _outer(self) -> OpenPass | None:
        """The innermost pass of this thread that is under way."""
        here = threading.get_ident()
        return next((begun for begun in reversed(self._open) if begun.thread == here), None)

    def _close(self, begun: OpenPass) -> None:
        """A pass is over: the one that it ran in goes on."""
        self._open = [other for other in self._open if other is not begun]
        if outer := self._outer():
            outer.capture.resting = False

    def protect(self, write: Write) -> None:
        """Memory is about to be written to: copy what is held of it for passes that run, or wait for one that does."""
        if not self._open:
            return
        for _, table, _ in self._finished:
            table.protect(write)
        table = self._table()
        for begun in self._open:
            begun.protect(write, table)

    def _note_made(self, first: int, result: Any) -> None:
        """With ``create_graph`` the engine makes nodes itself: they belong to the line that called it."""
        last = next_sequence_nr()
        if last != first:
            code, offset = next(frames(sys._getframe(2), self._source.filename), (None, 0))
            self._calls.add(Call(first, last, self._calls.site(code, offset, ""), torch.autograd.grad, result, ()))

    def _note_formulas(self, begun: OpenPass, first: int, result: Any) -> None:
        """Note of each node that the engine made whose formula it comes from."""
        if not begun.makes or next_sequence_nr() == first:
            return
        code, offset = next(frames(sys._getframe(2), self._source.filename), (None, 0))
        site = self._calls.site(code, offset, "")
        for start, end, place, results in begun.made(first, result):
            call = Call(start, end, site, torch.autograd.grad, results, ())
            call.backward_of = (begun.template.index, place)
            self._calls.add(call)

    def _forward_on(self, outputs: Sequence[Any], args: Any, kwargs: Any) -> Any:
        """Run the engine with the mode on: hooks, custom functions and checkpoints compute inside it."""
        if not torch._C._len_torch_function_stack():  # called from where the mode stepped aside
            with self._mode:
                return self._original(outputs, *args, **kwargs)
        return self._original(outputs, *args, **kwargs)

    def _root_nodes(self, outputs: Sequence[Any]) -> list[Any]:
        return [grad_node(output) if isinstance(output, Tensor) else output.node for output in outputs]

    def _begin(self, walk: Walk, outputs: Sequence[Any], args: Any, kwargs: Any) -> OpenPass:
        accumulates = bool(kwargs.get("accumulate_grad", True))
        outer = self._outer()
        kind: PassKind = "implicit" if self.implicit else "nested" if outer else "backward" if accumulates else "grad"
        here = self._here(sys._getframe(3))
        parameters = self._parameters(walk)
        leaves = {parameter: leaf for parameter, (_, leaf) in zip(parameters, walk.leaves, strict=True)}
        facts = PassFacts(
            index=self._begun,
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
            self.before_write(adds)
        template = self._template(walk, parameters)
        saved, asked = self._read_saved(walk, template, here.line)
        capture = Capture(walk.nodes)
        step, values = self._steps.begin(facts, among=bool(self._open))
        parent = outer.facts.index if outer else -1
        self._begun += 1
        given = args[0] if args else ()
        begun = OpenPass(
            walk=walk,
            template=template,
            facts=facts,
            step=step,
            parent=parent,
            values=values,
            saved=saved,
            asked=asked,
            capture=capture,
            thread=threading.get_ident(),
            fresh=fresh,
            changes=self.changes(),
            outputs=tuple(outputs),
            given=given,
            inputs=args[3] if len(args) > 3 else (),
            makes=bool(args[2]) if len(args) > 2 else False,
            transformed=inside_transform((*outputs, *given)),
        )
        if adds is not None:
            begun.protect(adds, self._table())
        if outer:
            outer.capture.resting = True
        self._open.append(begun)
        return begun

    def _read_saved(self, walk: Walk, template: Template, line: int) -> tuple[list[Any], list[int]]:
        """The saved tensors of all nodes, one after another, and the places of those that had to be asked of a node."""
        saved: list[Any] = []
        asked: list[int] = []
        hooked = self._saved.hooked
        nodes, calls = walk.nodes, walk.calls
        for (place, slot), origin in zip(template.saved, template.origins, strict=True):
            call = calls[place]
            if origin == UNKNOWN or hooked or call is None:
                asked.append(len(saved))
                saved.append(self._saved.read(nodes[place], slot))
            else:
                saved.append(call.given(origin))
        if self._saved.unread:
            self._emitter.emit_once(wire.Signal("saved-tensors-unread", line=line))
        if not hooked:
            template.find_origins(walk, saved)
        return saved, asked

    def _parameters(self, walk: Walk) -> list[int]:
        """The parameters of the leaves; new ones are told."""
        steps = self._steps
        for _, leaf in walk.leaves:
            if leaf not in steps.parameters:
                self._names.refresh(self._scopes())
                break
        return [steps.parameter(leaf) for _, leaf in walk.leaves]

    def _template(self, walk: Walk, parameters: Sequence[int]) -> Template:
        signature = walk.signature(parameters)
        template = self._templates.get(signature)
        if template is None:
            template = Template(len(self._templates), walk, self._saved, parameters, self._source)
            if not self._names_known(template, walk):
                self._names.refresh(self._scopes())
            self._emitter.emit(describe(walk, template, self._source, self._names))
            self._templates[signature] = template  # once it has been told
        return template

    def _names_known(self, template: Template, walk: Walk) -> bool:
        found = (template.constant(walk, place) for place in range(len(template.constants)))
        return all(self._names.binding(constant)[0] is not None for constant in found if isinstance(constant, Tensor))

    def graph_reached(self, tensor: Tensor) -> int:
        """The graph of the last pass that reached a tensor's node; -1 if none has."""
        call = self._calls.of(sequence_nr(tensor.grad_fn))
        return call.graph if call is not None else -1

    def graph_of(self, tensor: Tensor) -> int:
        """The graph whose root is a tensor's node, told now if no pass has told it; -1 for one that cannot be told."""
        try:
            walk = Walk([tensor.grad_fn], self._calls, self._limit)
        except TooManyNodes:
            return -1
        parameters = self._steps.parameters
        known = [parameters.index(leaf) if leaf in parameters else -1 for _, leaf in walk.leaves]
        return self._template(walk, known).index if walk.nodes else -1

    def _end(self, begun: OpenPass, result: Any, failure: BaseException | None) -> tuple[Table, Build]:
        template = begun.template
        table = self._table()
        nested = self._begun > begun.facts.index + 1
        touched = self.hooks_seen or template.own or nested or begun.changes != self.changes()
        contributions = begun.contributions(table, result, touched=touched)
        failing = self._failures.failed(begun, failure) if failure is not None else -1
        build = begun.tell(table, result, contributions, failing=failing, hooked=self.hooks_seen)
        if begun.batched:
            self._emitter.emit_once(wire.Signal("batched", line=begun.facts.here.line))
        for call in begun.walk.calls:
            if call is not None:
                call.graph = template.index
        table.settle()
        self._steps.end(begun.facts, contributions, template.lines, template.root_line)
        if not begun.facts.accumulates:
            for parameter, contribution in contributions.items():
                self.on_given(contribution.tensor, parameter)
        return table, build

    def _finish(self, index: int, table: Table, build: Build) -> None:
        """Tell a pass once the one that it is nested in has ended: parents come first."""
        self._finished.append((index, table, build))
        if not self._open:
            for _, read, done in sorted(self._finished, key=lambda done: done[0]):
                self._emitter.emit_with(read, done)
            self._finished.clear()

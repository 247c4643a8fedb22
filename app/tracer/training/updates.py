"""Detect writes to leaves and cleared gradients, and report them to the steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from ... import wire
from ..emitter import Emitter
from ..forward.calls import Calls
from ..forward.functions import DATA_READ, DATA_SET, DETACH, GRAD_READ, GRAD_SET, HOOK, LATE, SHARE
from ..forward.mode import ForwardObserver
from ..source.names import Names
from ..source.statements import Statement
from ..tensors.handles import storage_pointer
from ..tensors.memory import Write
from ..tensors.snapshot import is_leaf, shape_of
from .gradient_trail import GradientTrail
from .kept_views import KeptViews
from .late_gradients import LateGradients
from .locator import Locator
from .program_changes import ProgramChanges
from .shared_memory import SharedMemory
from .steps import Steps
from .update_phase import UpdatePhase
from .write_guard import WriteGuard

_WRITING = frozenset({GRAD_SET, DATA_SET, SHARE, LATE})
_CLEARING = frozenset({"zero_", "_foreach_zero_"})
_MOST = 20
"""Largest number of reported broadcasts in which neither of two tensors has the shape of the result."""


class MissingGradientObserver(Protocol):
    """Acts when the program misses a gradient. :class:`~.rebinds.Rebinds` implements it."""

    def missed(self, tensor: Tensor) -> None:
        """Called with a tensor whose ``.grad`` the program has read as ``None``."""


class Updates(ForwardObserver):
    """Observes the calls that change leaves and gradients."""

    def __init__(
        self,
        *,
        emitter: Emitter,
        names: Names,
        calls: Calls,
        steps: Steps,
        update: UpdatePhase,
        locator: Locator,
        guard: WriteGuard,
        changes: ProgramChanges,
        trail: GradientTrail,
        late: LateGradients,
        missing: MissingGradientObserver,
        views: KeptViews,
    ) -> None:
        self._emitter = emitter
        self._names = names
        self._calls = calls
        self._steps = steps
        self._update = update
        self._parameters = steps.parameters
        self._here = locator.here
        self._here_at = locator.here_at
        self._guard = guard
        self._changes = changes
        self._trail = trail
        self._late = late
        self._missing = missing
        self._views = views
        self._shared = SharedMemory(steps.parameters)
        self.shared = self._shared.keys
        """The storages that NumPy arrays share, by address. While there are any, each statement must be checked."""
        self._line = -1
        """The line of the last statement that was checked for writes by NumPy."""
        self._missing_lines: set[int] = set()
        self._broadcasts: set[tuple[int, tuple[int, ...], tuple[int, ...]]] = set()

    # ------------------------------------------------------------------ calls that the mode reports

    def failed(self, error: Exception) -> None:
        self._emitter.failed(error)

    def special(self, kind: str, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        if kind in _WRITING:
            try:
                with torch._C.DisableTorchFunction():
                    self._before_special(kind, args)
            except Exception as error:  # a failure of the recorder must not fail the program
                self.failed(error)
        out = func(*args, **kwargs)
        try:
            self._after_special(kind, out, args)
        except Exception as error:
            self.failed(error)
        return out

    def _before_special(self, kind: str, args: Sequence[Any]) -> None:
        if kind == GRAD_SET:
            self._changes.count += 1
            self._clear(args[0], args[1])
        elif kind == DATA_SET:
            self.before_write(Write((args[0],)))
            if args[0] in self._parameters and isinstance(args[1], Tensor) and shape_of(args[0]) != shape_of(args[1]):
                self._guard.release_graphs()
        elif kind == SHARE:
            self.share(args[0])
        elif kind == LATE and isinstance(args[0], Tensor):  # recorded rows must keep the old value of requires_grad
            self._guard.protect(Write((args[0],)))
            self._remember_late(args[0])
            self._names.made(args[0], self._here())

    def _remember_late(self, tensor: Tensor) -> None:
        """Remember a named tensor whose ``requires_grad`` is about to be set: it may have been used already."""
        name = self._names.binding(tensor)[0]
        if not tensor.requires_grad and name is not None and name.isidentifier() and not self._late.full:
            passes = self._steps.passes_begun
            signal = wire.RequiresGradLate(
                line=self._here().line, step=self._steps.index, name=name[: wire.NAME_LENGTH], passes=passes
            )
            self._late.add(tensor, signal)

    def ended(self) -> None:
        """Emit a signal for each tensor that was made to require a gradient late and that no pass has reached."""
        for signal in self._late.unreached(self._parameters):
            self._emitter.emit(signal)

    def _after_special(self, kind: str, out: Any, args: Sequence[Any]) -> None:
        if kind in (DETACH, DATA_READ):
            with torch._C.DisableTorchFunction():
                self._views.made(out, args[0])
        if kind == HOOK and out is not None:  # the call returned the handle of a hook, or a node
            self._changes.hooked = True
        if kind == DETACH:
            self._names.detach(out)
            if self._trail.followed:
                self._trail.extend(out, args)
        if kind == GRAD_READ and out is None:
            try:
                self._missed(args[0])
            except Exception as error:
                self.failed(error)
        elif kind == GRAD_READ and isinstance(out, Tensor) and args[0] in self._parameters:
            self._trail.start(out, self._parameters.index(args[0]))
        elif kind == DATA_SET and args[0] in self._parameters:
            parameter = self._parameters.index(args[0])
            with torch._C.DisableTorchFunction():
                self._parameters.moved(parameter)
                if self._views.old:
                    self._views.read(args, writes=True)
            self._update.updated(parameter, self._here())

    def _missed(self, tensor: Any) -> None:
        """Report a ``.grad`` that is ``None`` although a pass reached the tensor, because the tensor is not a leaf."""
        self._missing.missed(tensor)
        if is_leaf(tensor) or tensor.retains_grad or not tensor.requires_grad:
            return
        graph = self._calls.graph_reached(tensor)
        line = self._here().line
        if graph < 0 or line in self._missing_lines:
            return
        self._missing_lines.add(line)
        name = self._names.binding(tensor)[0]
        name = name[: wire.NAME_LENGTH] if name is not None else None
        self._emitter.emit(wire.NonLeafGrad(line=line, step=self._steps.index, graph=graph, name=name))

    def made(self, out: Any) -> None:
        try:
            with torch._C.DisableTorchFunction():
                if isinstance(out, Tensor) and out.requires_grad and is_leaf(out):
                    self._names.made(out, self._here())
        except Exception as error:
            self.failed(error)

    def broadcast(self, given: Sequence[Any], out: Sequence[Any]) -> None:
        if len(given) != 2 or any(shape_of(each) == shape_of(out[0]) for each in given):
            return
        line, first, second = self._here().line, *(tuple(map(int, shape_of(each))) for each in given)
        if (line, first, second) not in self._broadcasts and len(self._broadcasts) < _MOST:
            self._broadcasts.add((line, first, second))
            shapes = list(first), list(second)
            self._emitter.emit(wire.Broadcast(line=line, step=self._steps.index, shapes=shapes))

    def before_write(self, write: Write) -> None:
        self._guard.before_write(write)

    def after_write(self, func: Any, write: Write) -> None:
        update, parameters = self._update, self._parameters
        if not parameters.may_have(write):
            return
        for target in write.targets:
            key = storage_pointer(target)
            if not parameters.have_memory(target, key):
                continue
            if target in parameters:
                parameters.moved(parameters.index(target), key)  # set_ gives the tensor different memory
            changed = parameters.written(target, key)
            for parameter in changed:
                update.updated(parameter, self._here())
                if (leaf := parameters.leaf(parameter)) is not None and not self._views.is_kept(target):
                    self._views.updated((leaf,), through=target)
            graded = None if changed else parameters.with_gradient_at(key)
            if graded is not None:
                (update.cleared if getattr(func, "__name__", "") in _CLEARING else update.scaled)(graded, self._here())

    def _clear(self, leaf: Any, value: Any) -> None:
        if value is None and isinstance(leaf, Tensor) and leaf in self._parameters and leaf.grad is not None:
            self._update.cleared(self._parameters.index(leaf), self._here())

    def cleared(self, leaves: Sequence[Tensor]) -> None:
        """Report that the gradients of these leaves were set to ``None``, as ``zero_grad`` does."""
        if not self._steps.current.passes:  # nothing has accumulated into them since the last step
            return
        try:
            here = self._here()
            for leaf in leaves:
                if leaf in self._parameters:
                    self._update.cleared(self._parameters.index(leaf), here)
        except Exception as error:  # a failure of the recorder must not fail the program
            self.failed(error)

    # ------------------------------------------------------------------ memory shared with NumPy

    def share(self, tensor: Tensor) -> None:
        """Record that a NumPy array shares a tensor's memory: from now on any statement may write to it."""
        self._guard.before_share(tensor, self._shared.add(tensor))

    def protect_shared(self) -> None:
        """Copy the recorded tensors that share memory with NumPy, before the next statement may write to them."""
        self._guard.protect(self._shared.write)

    def check_shared(self, statement: Statement) -> None:
        """Detect leaves that NumPy has written to, once a statement has computed its value.

        An ``update`` or a ``show`` statement may itself have written. Any other statement uses its value only later, so the
        write belongs to the previous line.
        """
        line = statement.line if statement.kind in ("update", "show") else self._line
        self._line = statement.line
        for key in self._shared.of_parameters():
            self._steps.current.distrust_gradient(self._parameters.with_gradient_at(key))
            for parameter in self._parameters.at_storage(key):
                if self._steps.current.has_changed(parameter):
                    self._update.updated(parameter, self._here_at(line))

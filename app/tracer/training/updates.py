"""Notice when a leaf is written to or its gradient cleared, and follow what is computed from that gradient."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ... import wire
from ..backward.engine import Engine
from ..emitter import Emitter
from ..forward.functions import DATA_SET, DETACH, GRAD_READ, GRAD_SET, HOOK, LATE, SHARE
from ..forward.mode import Observer
from ..forward.writes import Writes
from ..source.instrument import Here, Statement
from ..source.names import Names
from ..tensors.handles import storage, tensors
from ..tensors.memory import Holder, Write
from ..tensors.snapshot import is_leaf, sizes
from .steps import Steps

_WRITING = frozenset({GRAD_SET, DATA_SET, SHARE, LATE})
_CLEARING = frozenset({"zero_", "_foreach_zero_"})
_MOST = 20
"""Tensors that are remembered for having come to require a gradient; and lines that bring two tensors to one shape."""


class Updates(Observer):
    """Tells the steps what happens to leaves."""

    def __init__(
        self,
        *,
        emitter: Emitter,
        names: Names,
        steps: Steps,
        here: Callable[[], Here],
        here_at: Callable[[int], Here],
        writes: Writes,
        holders: Iterable[Holder],
    ) -> None:
        self._emitter = emitter
        self._names = names
        self._steps = steps
        self._parameters = steps.parameters
        self._parameters.on_leaving = self._reached
        self._here = here
        self._here_at = here_at
        self._writes = writes
        # a parameter's ~index stands for its gradient as autograd.grad has given it to the program
        self.followed: dict[int, tuple[weakref.ref[Tensor], frozenset[int]]] = {}
        self._shared: set[int] = set()
        self._line = -1
        """The line of the last statement that was looked at while an array shared memory."""
        self._missing: set[int] = set()
        self._met: set[tuple[int, str]] = set()
        self._late: list[tuple[weakref.ref[Tensor], wire.Signal]] = []
        self.changes = 0
        """How often the program has written to a tensor, or set a ``.grad``."""
        self.before_resize: Callable[[], None] = lambda: None
        """Called before a leaf gets another size."""
        self.engine: Engine | None = None
        self.holders = list(holders)
        self.on_missing: Callable[[Tensor], None] = lambda tensor: None
        """Told the tensors whose ``.grad`` the program has read and found to be None."""

    # ------------------------------------------------------------------ what the mode sees

    def failed(self, error: Exception) -> None:
        self._emitter.failed(error)

    def special(self, kind: str, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        if kind in _WRITING:
            try:
                with torch._C.DisableTorchFunction():
                    self._before_special(kind, args)
            except Exception as error:  # what we fail at is no failure of the program
                self.failed(error)
        out = func(*args, **kwargs)
        try:
            self._after_special(kind, out, args)
        except Exception as error:
            self.failed(error)
        return out

    def _before_special(self, kind: str, args: Sequence[Any]) -> None:
        if kind == GRAD_SET:
            self.changes += 1
            self._clear(args[0], args[1])
        elif kind == DATA_SET:
            self.before_write(Write((args[0],)))
            if args[0] in self._parameters and isinstance(args[1], Tensor) and sizes(args[0]) != sizes(args[1]):
                self.before_resize()
        elif kind == SHARE:
            self.share(args[0])
        elif kind == LATE and isinstance(args[0], Tensor):  # what is held of it would say that it had needed one before
            self._protect(Write((args[0],)))
            self._note_late(args[0])

    def _note_late(self, tensor: Tensor) -> None:
        """A tensor that has a name is about to require a gradient, or not to: it may have been used already."""
        name = self._names.binding(tensor)[0]
        if not tensor.requires_grad and name is not None and name.isidentifier() and len(self._late) < _MOST:
            passes = self.engine.passes if self.engine is not None else 0
            detail: dict[str, str | int | float | bool | None] = {"name": name, "passes": passes}
            signal = wire.Signal("requires-grad-late", line=self._here().line, step=self._steps.index, detail=detail)
            self._late.append((weakref.ref(tensor), signal))

    def _reached(self, leaf: Tensor) -> None:
        self._late = [known for known in self._late if known[0]() is not leaf]

    def ended(self) -> None:
        """The program has ended: tell the tensors that came to require a gradient, and that no pass has reached."""
        for reference, signal in self._late:
            tensor = reference()
            if tensor is None or (tensor.requires_grad and tensor not in self._parameters):  # who is known is kept
                self._emitter.emit(signal)

    def share(self, tensor: Tensor) -> None:
        """The program has an array of numpy's on a tensor's memory: it can be written to in any statement from here on."""
        self.changes += 1
        self._shared.add(storage(tensor))
        self.keep_shared()

    def keep_shared(self) -> None:
        """A statement has run: copy what is held of memory that the next one may write to through numpy."""
        if self._shared:
            self._protect(Write((), self._shared))

    def look_at_shared(self, statement: Statement) -> None:
        """A statement has computed its value: tell the leaves that numpy has written to since the last one had.

        What a statement does with its value, it does after that: so the last one has written, unless this one could.
        """
        if not self._shared:
            return
        line = statement.line if statement.kind in ("update", "show") else self._line
        self._line = statement.line
        for key in self._shared:
            self._steps.look_at_gradient(key)
            for parameter in self._parameters.at_storage(key):
                if self._steps.has_changed(parameter):
                    self._steps.updated(parameter, self._here_at(line))

    def _after_special(self, kind: str, out: Any, args: Sequence[Any]) -> None:
        if kind == HOOK and out is not None and self.engine is not None:  # there is a handle of a hook, or a node
            self.engine.hooks_seen = True
        if kind == DETACH:
            self._names.detach(out)
            if self.followed:
                self.follow(out, args)
        if kind == GRAD_READ and out is None:
            try:
                self._missed(args[0])
            except Exception as error:
                self.failed(error)
        elif kind == GRAD_READ and isinstance(out, Tensor) and args[0] in self._parameters:
            self._mark(out, frozenset((self._parameters.index(args[0]),)))
        elif kind == DATA_SET and args[0] in self._parameters:
            parameter = self._parameters.index(args[0])
            with torch._C.DisableTorchFunction():
                self._parameters.moved(parameter)
            self._steps.updated(parameter, self._here())

    def _missed(self, tensor: Any) -> None:
        """The program has read a ``.grad`` that is None: of a tensor that a pass went through, its gradient is gone."""
        self.on_missing(tensor)
        if is_leaf(tensor) or tensor.retains_grad or not tensor.requires_grad or self.engine is None:
            return
        graph = self.engine.graph_reached(tensor)
        line = self._here().line
        if graph < 0 or line in self._missing:
            return
        self._missing.add(line)
        detail: dict[str, str | int | float | bool | None] = {"graph": graph, "name": self._names.binding(tensor)[0]}
        self._emitter.emit(wire.Signal("non-leaf-grad", line=line, step=self._steps.index, detail=detail))

    def broadcast(self, given: Sequence[Any], out: Sequence[Any]) -> None:
        if len(given) != 2 or any(sizes(each) == sizes(out[0]) for each in given):
            return
        line, shapes = self._here().line, " ".join(",".join(map(str, sizes(each))) for each in given)
        if (line, shapes) not in self._met and len(self._met) < _MOST:
            self._met.add((line, shapes))
            self._emitter.emit(wire.Signal("broadcast", line=line, step=self._steps.index, detail={"shapes": shapes}))

    def follow(self, out: Any, args: Sequence[Any]) -> None:
        """What is computed from a gradient is computed from it too."""
        followed = self.followed
        for argument in args:
            if id(argument) in followed or type(argument) in (list, tuple):
                break
        else:
            return
        parameters: frozenset[int] = frozenset()
        for argument in tensors(args):
            known = followed.get(id(argument))
            if known is not None and known[0]() is argument and argument not in self._parameters:
                parameters |= known[1]
        if parameters:
            for result in tensors(out):
                if isinstance(result, Tensor):
                    self._mark(result, parameters)

    def gradients_of(self, value: Any) -> frozenset[int]:
        """The parameters from whose ``.grad`` something was computed; ``~index`` where ``autograd.grad`` gave the gradient."""
        known = self.followed.get(id(value))
        return known[1] if known is not None and known[0]() is value else frozenset()

    def before_write(self, write: Write) -> None:
        self.changes += 1
        self._writes.note(write.storages)
        self._steps.before_write(write)
        self._protect(write)

    def _protect(self, write: Write) -> None:
        """Copy what is held of memory that is about to change."""
        for holder in self.holders:
            holder.protect(write)

    def after_write(self, func: Any, targets: list[Tensor]) -> None:
        steps, parameters = self._steps, self._parameters
        clears = getattr(func, "__name__", "") in _CLEARING
        for target in targets:
            key = storage(target)
            if target in parameters:
                parameters.moved(parameters.index(target))  # set_ gives it other memory
            changed = parameters.written(target, key)
            for parameter in changed:
                steps.updated(parameter, self._here())
            graded = None if changed else parameters.with_gradient_at(key)
            if graded is not None:
                (steps.cleared if clears else steps.scaled)(graded, self._here())

    def _clear(self, leaf: Any, value: Any) -> None:
        if value is None and isinstance(leaf, Tensor) and leaf in self._parameters and leaf.grad is not None:
            self._steps.cleared(self._parameters.index(leaf), self._here())

    def cleared(self, leaves: Sequence[Tensor]) -> None:
        """The gradients of these leaves have been taken away."""
        try:
            here = self._here()
            for leaf in leaves:
                if leaf in self._parameters:
                    self._steps.cleared(self._parameters.index(leaf), here)
        except Exception as error:  # what we fail at is no failure of the program
            self.failed(error)

    def given(self, gradient: Tensor, parameter: int) -> None:
        """A pass has given the gradient of a parameter to the program."""
        self._mark(gradient, frozenset((~parameter,)))

    def _mark(self, tensor: Tensor, parameters: frozenset[int]) -> None:
        key = id(tensor)
        forget = self.followed.pop
        self.followed[key] = (weakref.ref(tensor, lambda _: forget(key, None)), parameters)

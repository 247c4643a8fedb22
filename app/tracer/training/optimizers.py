"""Detect the steps of optimizers. The calls inside a step are not recorded, because the program does not make them itself."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from functools import wraps
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from ... import wire
from ..emitter import Emitter
from ..forward.mode import ForwardMode
from ..forward.threads import Turns
from ..source.names import Names
from ..source.sequences import between
from ..tensors.handles import tensors_in
from ..tensors.memory import Write
from ..tensors.references import WeakTensor, weak
from ..tensors.transforms import Unobserved
from .kept_views import KeptViews
from .locator import Locator
from .optimizer_groups import KnownOptimizers
from .parameters import Parameters
from .update_phase import UpdatePhase
from .write_guard import BeforeWrite


class _OptimizerStep(NamedTuple):
    """A call of an optimizer's ``step`` that is running.

    ``paused`` is the value of the mode's ``paused`` before the step. ``off`` is true if the forward mode is off the stack of
    modes during the step, because the calls inside it are not recorded.
    """

    frame: FrameType
    optimizer: torch.optim.Optimizer
    paused: int
    off: bool


_OWN_KEY = -1
"""The key of our hooks in torch's dicts of hooks for all optimizers. Torch's own keys start at 0."""


MOST_UNREACHED = 1_000
"""Largest number of leaves for which a signal may be emitted. A program may make any number of optimizers."""


class _Unreached:
    """A leaf of an optimizer that no pass has reached so far, and the number of steps that the optimizer has made."""

    __slots__ = ("leaf", "line", "name", "optimizer", "steps")

    def __init__(self, leaf: WeakTensor, optimizer: torch.optim.Optimizer, name: str | None, line: int) -> None:
        self.leaf = leaf
        self.optimizer = type(optimizer).__name__
        self.name = name
        self.line = line
        self.steps = 0


class Optimizers:
    """Reports optimizers' steps. ``with optimizers:`` adds hooks to every optimizer's step and removes them afterwards."""

    def __init__(
        self,
        *,
        emitter: Emitter,
        mode: ForwardMode,
        turns: Turns,
        update: UpdatePhase,
        parameters: Parameters,
        known: KnownOptimizers,
        names: Names,
        locator: Locator,
        guard: BeforeWrite,
        views: KeptViews,
    ) -> None:
        self._emitter = emitter
        self._mode = mode
        self._turns = turns
        self._update = update
        self._parameters = parameters
        self._known = known
        self._names = names
        self._unreached: dict[WeakTensor, _Unreached] = {}
        """The unreached leaves, by weak reference. Ids can't be keys: entries of freed leaves remain, and Python reuses ids."""
        self._stepped = weakref.WeakSet[torch.optim.Optimizer]()
        self._here = locator.here
        self._guard = guard
        self._views = views
        self.running: list[_OptimizerStep] = []
        """The optimizers' steps that have begun and not ended. A failed step remains until :meth:`close_abandoned`."""
        self._handles: list[Any] = []

    def __enter__(self) -> Optimizers:
        self._add = add = torch.optim.Optimizer.add_param_group
        made = self._known.made

        @wraps(add)
        def registered(self: torch.optim.Optimizer, param_group: dict[str, Any]) -> None:
            made.add(self)
            add(self, param_group)

        torch.optim.Optimizer.add_param_group = registered  # type: ignore[method-assign]
        next_key = RemovableHandle.next_id
        self._handles = [
            register_optimizer_step_pre_hook(self._before_step),
            register_optimizer_step_post_hook(self._after_step),
        ]
        for handle in self._handles:  # so that hooks of the program get the same keys as without ours
            hooks = handle.hooks_dict_ref()
            hooks[_OWN_KEY] = hooks.pop(handle.id)
            handle.id = _OWN_KEY
        RemovableHandle.next_id = next_key
        return self

    def __exit__(self, *_: object) -> None:
        torch.optim.Optimizer.add_param_group = self._add  # type: ignore[method-assign]
        for handle in self._handles:
            handle.remove()

    def _before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> Any:
        if self._mode.tracing or not self._turns.claim_pass():
            return None
        try:
            return self._begin_step(optimizer, args, kwargs)
        except Exception as error:  # a failure of the recorder must not fail the program
            self._emitter.failed(error)
            return None

    def _begin_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> Any:
        with torch._C.DisableTorchFunction():
            self._guard.before_write(Write(list(_written_by(optimizer))))
        # a differentiable step makes nodes, which are recorded like all other nodes
        pauses = not any(group.get("differentiable") for group in optimizer.param_groups)
        self.running.append(_OptimizerStep(sys._getframe(2), optimizer, self._mode.paused, pauses and self._mode.leave_stack()))
        self._mode.paused += pauses
        closure = next((value for value in (*args[1:], kwargs.get("closure")) if callable(value)), None)
        self._update.suspend(closure=closure is not None)
        if closure is None:
            return None
        recorded = self._recorded(closure)
        if "closure" in kwargs:
            return args, {**kwargs, "closure": recorded}
        return tuple(recorded if value is closure else value for value in args), kwargs

    def _recorded(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        """Return the closure with recording switched on, because it computes the program's loss."""
        mode = self._mode
        paused = mode.paused

        def begin() -> None:
            mode.paused = 0
            if any(step.off for step in self.running):
                mode.rejoin_stack()

        def end() -> None:
            mode.paused = paused
            if any(step.off for step in self.running):
                mode.leave_stack()

        return between(begin, closure, end)

    def _after_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if not self.running or self._mode.tracing or self._mode.foreign():
            return
        self._close_step()
        if self.running:
            return
        try:
            with Unobserved():
                leaves = [leaf for group in optimizer.param_groups for leaf in group["params"]]
                self._stepped.add(optimizer)
                self._views.updated(leaf for leaf in leaves if leaf.grad is not None)
                reached = [index for index in self._parameters.indexes_of(enumerate(leaves)) if index >= 0]
                self._update.optimized(optimizer, reached, self._here())
                if len(reached) < len(leaves):
                    self._count_unreached(optimizer, leaves)
        except Exception as error:
            self._emitter.failed(error)

    def _count_unreached(self, optimizer: torch.optim.Optimizer, leaves: list[Tensor], *, steps: int = 1) -> None:
        for leaf in leaves:
            if leaf.requires_grad and leaf.grad is None and leaf not in self._parameters:
                key = weak(leaf)
                entry = self._unreached.get(key)
                if entry is None:
                    if len(self._unreached) == MOST_UNREACHED:
                        continue
                    entry = self._unreached[key] = _Unreached(key, optimizer, *self._names.binding(leaf))
                entry.steps += steps

    def ended(self) -> None:
        """Emit a signal for each parameter of an optimizer that no pass has reached."""
        parameters = self._parameters
        for idle in self._known.made - self._stepped:
            leaves = [leaf for group in idle.param_groups for leaf in group["params"]]
            if any(leaf in parameters for leaf in leaves):
                self._count_unreached(idle, leaves, steps=0)
        for entry in self._unreached.values():
            leaf = entry.leaf.get()
            if entry.name is not None and (leaf is None or leaf not in parameters):
                name, optimizer = entry.name[: wire.NAME_LENGTH], entry.optimizer[: wire.NAME_LENGTH]
                self._emitter.emit(wire.UnusedParameter(line=entry.line, name=name, optimizer=optimizer, steps=entry.steps))

    def _close_step(self) -> None:
        step = self.running.pop()
        if step.off:
            self._mode.rejoin_stack()
        self._mode.paused = step.paused
        with self._mode.reporting:
            self._parameters.forget_all_values()
        with self._mode.reporting:
            self._update.resume()

    def close_abandoned(self) -> None:
        """Close the optimizers' steps that ended with an exception. Torch runs no hook after such a step."""
        if not self.running:
            return
        alive = set()
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            alive.add(id(frame))
            frame = frame.f_back
        while self.running and id(self.running[-1].frame) not in alive:
            self._close_step()


def _written_by(optimizer: torch.optim.Optimizer) -> Iterator[Tensor]:
    """Yield the tensors that an optimizer's step may write to: its parameters, their gradients, and its own state."""
    states = optimizer.state
    for group in optimizer.param_groups:
        for leaf in group["params"]:
            yield leaf
            if (grad := leaf.grad) is not None:
                yield grad
            if states and (state := states.get(leaf)):
                yield from (each for each in tensors_in(list(state.values())) if isinstance(each, Tensor))
    for value in vars(optimizer).values():  # an optimizer that the program defines may keep its state in attributes
        if isinstance(value, Tensor | list | tuple):
            yield from (each for each in tensors_in(value) if isinstance(each, Tensor))

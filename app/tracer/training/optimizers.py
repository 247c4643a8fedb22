"""See optimizers make their steps: what they compute is theirs, and no work of the program's own."""

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

from ... import wire
from ..emitter import Emitter
from ..forward.mode import ForwardMode
from ..source.instrument import Here
from ..source.names import Names
from ..tensors.handles import tensors
from ..tensors.memory import Write
from ..tensors.transforms import Aside
from .steps import Steps


class _Step(NamedTuple):
    """An optimizer's step under way: its frame, and whether calls in it are passed over, with the mode off the stack."""

    frame: FrameType
    optimizer: torch.optim.Optimizer
    rests: bool
    off: bool


MANY = 3
"""Steps after which an optimizer's parameter that no pass has reached is told."""


class _Unreached:
    """A leaf that an optimizer holds and that no pass has reached so far, and in how many of its steps."""

    __slots__ = ("leaf", "line", "name", "optimizer", "steps")

    def __init__(self, leaf: Tensor, optimizer: torch.optim.Optimizer, name: str | None, line: int) -> None:
        self.leaf = weakref.ref(leaf)
        self.optimizer = type(optimizer).__name__
        self.name = name
        self.line = line
        self.steps = 0


class Optimizers:
    """Tells the steps what optimizers did. ``with optimizers:`` puts hooks on every optimizer's step and takes them off."""

    def __init__(
        self,
        *,
        emitter: Emitter,
        mode: ForwardMode,
        steps: Steps,
        names: Names,
        here: Callable[[], Here],
        before_write: Callable[[Write], None],
    ) -> None:
        self._emitter = emitter
        self._mode = mode
        self._steps = steps
        self._names = names
        self._unreached: dict[int, _Unreached] = {}
        self._here = here
        self._before_write = before_write
        self._open: list[_Step] = []
        self._handles: list[Any] = []
        steps.optimizers = self._made = weakref.WeakSet[torch.optim.Optimizer]()

    def __enter__(self) -> Optimizers:
        self._add = add = torch.optim.Optimizer.add_param_group
        made = self._made

        @wraps(add)
        def noted(self: torch.optim.Optimizer, param_group: dict[str, Any]) -> None:
            made.add(self)
            add(self, param_group)

        torch.optim.Optimizer.add_param_group = noted  # type: ignore[method-assign]
        self._handles = [
            register_optimizer_step_pre_hook(self._before_step),
            register_optimizer_step_post_hook(self._after_step),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        torch.optim.Optimizer.add_param_group = self._add  # type: ignore[method-assign]
        for handle in self._handles:
            handle.remove()

    def _before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> Any:
        try:
            return self._begin_step(optimizer, args, kwargs)
        except Exception as error:  # what we fail at is no failure of the program
            self._emitter.failed(error)
            return None

    def _begin_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> Any:
        with torch._C.DisableTorchFunction():
            self._before_write(Write(list(_written_by(optimizer))))
        # a step that can be differentiated is a part of the graph like any other
        rests = not any(group.get("differentiable") for group in optimizer.param_groups)
        self._open.append(_Step(sys._getframe(2), optimizer, rests, rests and self._mode.step_off()))
        self._mode.resting += rests
        self._steps.held += 1
        closure = next((value for value in (*args[1:], kwargs.get("closure")) if callable(value)), None)
        if closure is None:
            return None
        awake = self._awake(closure)
        if "closure" in kwargs:
            return args, {**kwargs, "closure": awake}
        return tuple(awake if value is closure else value for value in args), kwargs

    def _awake(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        """A closure computes the loss: what it does is part of the program, not of the optimizer."""

        def run() -> Any:
            resting, self._mode.resting = self._mode.resting, 0
            off = any(step.off for step in self._open)
            if off:
                self._mode.step_on()
            try:
                return closure()
            finally:
                self._mode.resting = resting
                if off:
                    self._mode.step_off()

        return run

    def _after_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if not self._open:
            return
        self._rest_less()
        if self._open:
            return
        try:
            with Aside():
                leaves = [leaf for group in optimizer.param_groups for leaf in group["params"]]
                parameters = self._steps.parameters
                known = [parameters.index(leaf) for leaf in leaves if leaf in parameters]
                self._steps.optimized(optimizer, known, self._here())
                if known and len(known) < len(leaves):
                    self._note_unreached(optimizer, leaves)
        except Exception as error:
            self._emitter.failed(error)

    def _note_unreached(self, optimizer: torch.optim.Optimizer, leaves: list[Tensor]) -> None:
        for leaf in leaves:
            if leaf.requires_grad and leaf.grad is None and leaf not in self._steps.parameters:
                noted = self._unreached.get(id(leaf))
                if noted is None or noted.leaf() is not leaf:
                    noted = self._unreached[id(leaf)] = _Unreached(leaf, optimizer, *self._names.binding(leaf))
                noted.steps += 1

    def ended(self) -> None:
        """The program has ended: tell the parameters of optimizers that no pass has reached."""
        for noted in self._unreached.values():
            leaf = noted.leaf()
            if noted.name is not None and noted.steps >= MANY and (leaf is None or leaf not in self._steps.parameters):
                detail: dict[str, str | int | float | bool | None] = {"name": noted.name, "optimizer": noted.optimizer}
                detail["steps"] = noted.steps
                self._emitter.emit(wire.Signal("unused-parameter", line=noted.line, detail=detail))

    def _rest_less(self) -> None:
        step = self._open.pop()
        self._steps.parameters.look_again()
        if step.off:
            self._mode.step_on()
        self._mode.resting = max(0, self._mode.resting - step.rests)
        self._steps.held -= 1

    def wake(self) -> None:
        """Forget optimizers' steps that were left by an exception: no hook tells of those."""
        if not self._open:
            return
        alive = set()
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            alive.add(id(frame))
            frame = frame.f_back
        while self._open and id(self._open[-1].frame) not in alive:
            self._rest_less()


def _written_by(optimizer: torch.optim.Optimizer) -> Iterator[Tensor]:
    """What a step of an optimizer may write to: its parameters, their gradients, and what it keeps of each."""
    for group in optimizer.param_groups:
        for leaf in group["params"]:
            yield leaf
            if leaf.grad is not None:
                yield leaf.grad
            yield from (each for each in tensors(list(optimizer.state.get(leaf, {}).values())) if isinstance(each, Tensor))
    for value in vars(optimizer).values():  # what one of the program's own keeps
        yield from (each for each in tensors(value) if isinstance(each, Tensor))

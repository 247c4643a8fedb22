"""Represent recorded calls: their arguments, with an operand in place of each tensor, and the state they ran in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor


class CannotReplay(Exception):
    """The calls of a pass cannot be carried out again; the message goes on from "It cannot be evaluated again: "."""


class ResultOperand:
    """An operand that an earlier call of the tape returned."""

    __slots__ = ("token",)

    def __init__(self, token: int) -> None:
        self.token = token


class LeafOperand:
    """An operand that is a leaf: it has the value that the caller gives it."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class ConstantOperand:
    """An operand that no gradient reaches: it has the value that it had.

    ``copied``: its elements are the tape's own, since something wrote to them. ``written``: this very call does, so that each
    evaluation needs a copy, which is known by ``token`` from then on (-1: by none).
    """

    __slots__ = ("__weakref__", "copied", "tensor", "token", "version", "written")

    def __init__(self, tensor: Tensor, *, written: bool) -> None:
        self.tensor = tensor.detach().clone() if written else tensor
        self.copied = written
        self.written = written
        self.token = -1
        self.version = -1 if tensor.is_inference() else tensor._version

    def copy(self) -> None:
        """Take the elements into keeping: something is about to write to them."""
        if not self.copied:
            self.tensor = self.tensor.detach().clone()
            self.copied = True

    def value(self) -> Tensor:
        """The operand as it was."""
        if not self.copied and self.version >= 0 and self.tensor._version != self.version:
            raise CannotReplay("a tensor that it reads was written to in a way that could not be followed")
        return self.tensor.clone() if self.written else self.tensor


class UnknownOperand:
    """An operand that needs a gradient and came from where the tape does not see."""

    __slots__ = ("text",)

    def __init__(self, tensor: Tensor) -> None:
        inside = torch._C._functorch.is_functorch_wrapped_tensor(tensor)
        node = None if inside else tensor.grad_fn
        self.text = (
            "it computes inside a transform of torch.func"
            if inside
            else f"{node.name() if node is not None else 'a tensor'} was not made by a call that could be kept"
        )


Operand = ResultOperand | LeafOperand | ConstantOperand | UnknownOperand


class TapeEntry:
    """One call. ``random`` are generators with the states that they had before it, where it drew from them."""

    __slots__ = ("args", "autocast", "cached", "function", "graded", "kwargs", "made", "makes", "random", "takes")

    def __init__(self, function: Callable[..., Any], args: Any, kwargs: Any, cached: int = 0) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.graded = torch.is_grad_enabled()
        self.autocast = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
        self.cached = cached if torch.is_autocast_cache_enabled() else -1
        """Which of the caches in which autocast keeps leaves that it has cast, one after the other; -1 for none."""
        self.random: list[tuple[torch.Generator, Tensor]] = []
        self.made: list[int] = []
        """The tokens of what it returned, -1 for what no gradient reaches."""
        self.makes: set[int] = set()
        """The memories that it returned or wrote to, and in ``takes`` those that it read."""
        self.takes: set[int] = set()


def flat(value: Any) -> Iterator[Tensor]:
    """The tensors in what a call takes or returns, however deep in lists, tuples and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from flat(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from flat(item)


def operands(value: Any) -> Iterator[Operand]:
    """The operands in arguments that were taken down."""
    if isinstance(value, ResultOperand | LeafOperand | ConstantOperand | UnknownOperand):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from operands(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from operands(item)


def rebuilt(value: Any, replace: Callable[[Tensor], Any]) -> Any:
    """Arguments with something in the place of each tensor; what holds none is kept as it is."""
    return _mapped(value, Tensor, replace)


def filled(value: Any, replace: Callable[[Operand], Any]) -> Any:
    """Arguments with a tensor in the place of each operand."""
    return _mapped(value, (ResultOperand, LeafOperand, ConstantOperand, UnknownOperand), replace)


def _mapped(value: Any, kind: Any, replace: Callable[[Any], Any]) -> Any:
    if isinstance(value, kind):
        return replace(value)
    if type(value) is list or type(value) is tuple:
        return type(value)(_mapped(item, kind, replace) for item in value)
    if type(value) is dict:
        return {key: _mapped(item, kind, replace) for key, item in value.items()}
    if type(value) is slice:
        return slice(*(_mapped(part, kind, replace) for part in (value.start, value.stop, value.step)))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_mapped(item, kind, replace) for item in value))
    return value

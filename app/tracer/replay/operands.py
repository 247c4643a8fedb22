"""Represent recorded calls: their arguments, with an operand in place of each tensor, and the state they ran in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor


class CannotReplay(Exception):
    """Raised if a replay is impossible; the message gives the reason as a clause, to follow a colon."""


class ResultOperand:
    """An operand that an earlier call on the tape returned."""

    __slots__ = ("token",)

    def __init__(self, token: int) -> None:
        self.token = token


class LeafOperand:
    """An operand that is a leaf; its value is given to each evaluation."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class ConstantOperand:
    """An operand that requires no gradient; it keeps its recorded value.

    ``copied`` is true if the tape has its own copy, because something wrote to the tensor. ``written`` is true if the call
    itself writes to it: each evaluation then needs a new copy, identified by ``token`` afterwards (-1 for none).
    """

    __slots__ = ("__weakref__", "copied", "tensor", "token", "version", "written")

    def __init__(self, tensor: Tensor, *, written: bool) -> None:
        self.tensor = tensor.detach().clone() if written else tensor
        self.copied = written
        self.written = written
        self.token = -1
        self.version = -1 if tensor.is_inference() else tensor._version

    def copy(self) -> None:
        """Copy the elements, since something is about to write to them."""
        if not self.copied:
            self.tensor = self.tensor.detach().clone()
            self.copied = True

    def value(self) -> Tensor:
        """Return the operand with its recorded value. Raises :class:`CannotReplay` if it was overwritten."""
        if not self.copied and self.version >= 0 and self.tensor._version != self.version:
            raise CannotReplay("a tensor that it reads was overwritten in a way that could not be recorded")
        return self.tensor.clone() if self.written else self.tensor


class UnknownOperand:
    """An operand that requires a gradient and was not made by a call on the tape."""

    __slots__ = ("text",)

    def __init__(self, tensor: Tensor) -> None:
        inside = torch._C._functorch.is_functorch_wrapped_tensor(tensor)
        node = None if inside else tensor.grad_fn
        self.text = (
            "it computes inside a transform of torch.func"
            if inside
            else f"{node.name() if node is not None else 'a tensor'} was not made by a call that could be recorded"
        )


Operand = ResultOperand | LeafOperand | ConstantOperand | UnknownOperand


class TapeEntry:
    """One call on the tape, with its arguments and the state in which it ran.

    ``generators`` lists the random generators that the call used, with their states before the call.
    """

    __slots__ = (
        "args", "autocast", "cache", "function", "generators", "graded", "kwargs", "numbers", "reads", "result_tokens",
        "writes",
    )  # fmt: skip

    def __init__(self, function: Callable[..., Any], args: Any, kwargs: Any, cache: int = 0) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.graded = torch.is_grad_enabled()
        self.autocast = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
        self.cache = cache if torch.is_autocast_cache_enabled() else -1
        """The index of the autocast cache that was active, counted from the first; -1 for none."""
        self.generators: list[tuple[torch.Generator, Tensor]] = []
        self.numbers = range(0)
        """The sequence numbers of the nodes that the call made."""
        self.result_tokens: list[int] = []
        """The tokens of the tensors that the call returned, -1 for a tensor that requires no gradient."""
        self.writes: set[int] = set()
        """The memories that the call returned or wrote to. ``reads`` are the memories that it read."""
        self.reads: set[int] = set()


def flat(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in a call's arguments or result, at any depth of lists, tuples and dicts."""
    return _items(value, Tensor)


def operands(value: Any) -> Iterator[Operand]:
    """Yield the operands in recorded arguments."""
    return _items(value, (ResultOperand, LeafOperand, ConstantOperand, UnknownOperand))


def _items(value: Any, kinds: Any) -> Iterator[Any]:
    """Yield the items of these classes, at any depth of lists, tuples and dicts."""
    if isinstance(value, kinds):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _items(item, kinds)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _items(item, kinds)


def rebuilt(value: Any, replace: Callable[[Tensor], Any]) -> Any:
    """Return arguments with each tensor replaced."""
    return _mapped(value, Tensor, replace)


def filled(value: Any, replace: Callable[[Operand], Any]) -> Any:
    """Return arguments with each operand replaced by a tensor."""
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

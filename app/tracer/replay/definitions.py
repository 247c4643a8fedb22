"""Know where torch defines a gradient that is not the derivative, and of which function it is the derivative.

Told are only definitions of torch's own. What a program defines itself, by a custom function or a hook, is the program's to
answer for; and what it cuts off with ``detach`` is no part of the function in the first place.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions.dirichlet import _Dirichlet
from torch.nn.functional import log_softmax


class Definition(NamedTuple):
    """``names`` tells which definitions a call falls under; ``carried`` carries it out as the function that is differentiated.

    That is given the names that count, the call's first operand as it was recorded, the function, and what it is given.
    """

    names: Callable[[Any, Any], Set[str]]
    carried: Callable[[Set[str], Tensor, Callable[..., Any], Any, Any], Any]


def names_of(function: Any, args: Any, kwargs: Any) -> Set[str]:
    """The names of the definitions that a call falls under."""
    definition = _definition(function)
    return definition.names(args, kwargs) if definition is not None else frozenset()


class DefinedFunctions:
    """Carries calls out as the functions that torch differentiates by the definitions with these names.

    The first evaluation must be at the recorded point: what a definition holds fixed is taken from there.
    """

    def __init__(self, names: Set[str]) -> None:
        self._names = names
        self._held: dict[int, Tensor] = {}

    def __call__(self, place: int, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Carry out the call that is at this place among its section's."""
        definition = _definition(function)
        names = definition.names(args, kwargs) & self._names if definition is not None else None
        if definition is None or not names:
            return function(*args, **kwargs)
        held = self._held.get(place)
        if held is None:
            held = self._held[place] = args[0].detach().clone()
        return definition.carried(names, held, function, args, kwargs)


def _definition(function: Any) -> Definition | None:
    """What torch defines of a function; one that is made as a custom function is known by its class."""
    owner = getattr(function, "__self__", None)
    return _DEFINITIONS.get(owner if isinstance(owner, type) else function)


def _named(name: str) -> Callable[[Any, Any], Set[str]]:
    return lambda args, kwargs: frozenset({name})


def _options(*places: tuple[str, int, Any]) -> Callable[[Any, Any], Set[str]]:
    """Names of options that differ from what they are when left out, each given with its place among the arguments."""

    def names(args: Any, kwargs: Any) -> Set[str]:
        return frozenset(
            name for name, place, usual in places if kwargs.get(name, args[place] if place < len(args) else usual) != usual
        )

    return names


def _by_rows(names: Set[str], held: Tensor, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """A table of which a row moves by a part of what it is moved by: by nothing for padding, by its share among its uses."""
    part = torch.ones(len(held), dtype=held.dtype)
    if "padding_idx" in names:
        part[kwargs.get("padding_idx", args[2] if len(args) > 2 else -1)] = 0
    if "scale_grad_by_freq" in names:
        part /= torch.bincount(args[1].reshape(-1), minlength=len(held)).clamp(min=1)
    return function(held + (args[0] - held) * part.unsqueeze(1), *args[1:], **kwargs)


def _symmetric(_: Set[str], __: Tensor, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """The whole of a matrix that is symmetric, of which the function reads one half."""
    return function((args[0] + args[0].mH) / 2, *args[1:], **kwargs)


def _normalized(_: Set[str], __: Tensor, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Logarithms of probabilities that go on adding up to one."""
    return function(log_softmax(args[0], -1), *args[1:], **kwargs)


def _straight_through(_: Set[str], held: Tensor, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """What is rounded passes as it is, within the range."""
    _, scale, zero, *rest = args
    if function is torch.fake_quantize_per_channel_affine:
        axis, *rest = rest
        shape = [-1 if place == axis else 1 for place in range(held.ndim)]
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    low, high = rest
    level = torch.round(held / scale) + zero
    within = (level >= low) & (level <= high)
    return function(held, *args[1:], **kwargs) + (args[0] - held) * within


def _gamma(_: Set[str], held: Tensor, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """A sample that moves with its distribution, whatever its generator would have drawn instead."""
    sample = function(held, *args[1:], **kwargs)
    return sample + (args[0] - held) * torch._standard_gamma_grad(held, sample)


def _dirichlet(_: Set[str], held: Tensor, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    sample = function(held, *args[1:], **kwargs)
    moved = (args[0] - held) * torch._dirichlet_grad(sample, held, held.sum(-1, True).expand_as(held))
    return sample + moved - sample * moved.sum(-1, True)


_DEFINITIONS: dict[Any, Definition] = {
    torch.embedding: Definition(_options(("padding_idx", 2, -1), ("scale_grad_by_freq", 3, False)), _by_rows),
    torch.embedding_bag: Definition(_options(("scale_grad_by_freq", 3, False)), _by_rows),
    torch._standard_gamma: Definition(_named("rsample"), _gamma),
    _Dirichlet: Definition(_named("rsample"), _dirichlet),
    torch.ctc_loss: Definition(_named("ctc_loss"), _normalized),
    **dict.fromkeys(
        (torch.fake_quantize_per_tensor_affine, torch.fake_quantize_per_channel_affine),
        Definition(_named("fake_quantize"), _straight_through),
    ),
    **dict.fromkeys(
        (torch.linalg.cholesky, torch.linalg.cholesky_ex, torch.cholesky, torch.Tensor.cholesky),
        Definition(_named("cholesky"), _symmetric),
    ),
    **dict.fromkeys((torch.linalg.eigh, torch.linalg.eigvalsh), Definition(_named("eigh"), _symmetric)),
}

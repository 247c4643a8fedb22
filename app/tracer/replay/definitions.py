"""List where PyTorch defines a gradient that is not the derivative of the function it computes.

For each such definition, a surrogate function has the defined gradient as its derivative. Only PyTorch's own definitions are
listed. A custom function or a hook is the program's responsibility, and ``detach`` excludes a part from the function.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions.dirichlet import _Dirichlet
from torch.nn.functional import log_softmax


class Definition(NamedTuple):
    """``names`` returns the definitions that apply to a call, and ``surrogate`` runs the surrogate function instead.

    ``surrogate`` receives the names of the definitions to apply, the recorded first operand, the function, and its arguments.
    """

    names: Callable[[Any, Any], Set[str]]
    surrogate: Callable[[Set[str], Tensor, Callable[..., Any], Any, Any], Any]


def names_of(function: Any, args: Any, kwargs: Any) -> Set[str]:
    """Return the names of the definitions that apply to a call."""
    definition = _definition(function)
    return definition.names(args, kwargs) if definition is not None else frozenset()


class SurrogateFunctions:
    """Runs calls, and runs the surrogates instead for calls to which the given definitions apply.

    The first evaluation must be at the recorded values: a surrogate keeps its first operand from that evaluation.
    """

    def __init__(self, names: Set[str]) -> None:
        self._names = names
        self._recorded: dict[int, Tensor] = {}

    def __call__(self, index: int, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Run the call that has this index in a :class:`.evaluate.TapeSection`."""
        definition = _definition(function)
        names = definition.names(args, kwargs) & self._names if definition is not None else None
        if definition is None or not names:
            return function(*args, **kwargs)
        recorded = self._recorded.get(index)
        if recorded is None:
            recorded = self._recorded[index] = args[0].detach().clone()
        return definition.surrogate(names, recorded, function, args, kwargs)


def _definition(function: Any) -> Definition | None:
    """Return the definition for a function; a custom function is identified by its class."""
    owner = getattr(function, "__self__", None)
    return _DEFINITIONS.get(owner if isinstance(owner, type) else function)


def _named(name: str) -> Callable[[Any, Any], Set[str]]:
    return lambda args, kwargs: frozenset({name})


def _options(*options: tuple[str, int, Any]) -> Callable[[Any, Any], Set[str]]:
    """Return a function that lists the options of a call that differ from their defaults.

    Each option is given as its name, its index among the arguments, and its default.
    """

    def names(args: Any, kwargs: Any) -> Set[str]:
        return frozenset(
            name
            for name, index, default in options
            if kwargs.get(name, args[index] if index < len(args) else default) != default
        )

    return names


def _by_rows(names: Set[str], recorded: Tensor, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Move each row of an embedding by a part of its change: 0 for padding, 1/n for a row used n times."""
    part = torch.ones(len(recorded), dtype=recorded.dtype)
    if "padding_idx" in names:
        part[kwargs.get("padding_idx", args[2] if len(args) > 2 else -1)] = 0
    if "scale_grad_by_freq" in names:
        part /= torch.bincount(args[1].reshape(-1), minlength=len(recorded)).clamp(min=1)
    return function(recorded + (args[0] - recorded) * part.unsqueeze(1), *args[1:], **kwargs)


def _symmetric(_: Set[str], __: Tensor, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Symmetrize a matrix, because the function reads only one half of it."""
    return function((args[0] + args[0].mH) / 2, *args[1:], **kwargs)


def _normalized(_: Set[str], __: Tensor, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Normalize log-probabilities so that the probabilities sum to 1."""
    return function(log_softmax(args[0], -1), *args[1:], **kwargs)


def _straight_through(_: Set[str], recorded: Tensor, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Pass on the changes of values within the range without rounding them."""
    _, scale, zero, *rest = args
    if function is torch.fake_quantize_per_channel_affine:
        axis, *rest = rest
        shape = [-1 if index == axis else 1 for index in range(recorded.ndim)]
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    low, high = rest
    level = torch.round(recorded / scale) + zero
    within = (level >= low) & (level <= high)
    return function(recorded, *args[1:], **kwargs) + (args[0] - recorded) * within


def _gamma(_: Set[str], recorded: Tensor, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Move a sample with its distribution, keeping the random numbers."""
    sample = function(recorded, *args[1:], **kwargs)
    return sample + (args[0] - recorded) * torch._standard_gamma_grad(recorded, sample)


def _dirichlet(_: Set[str], recorded: Tensor, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    sample = function(recorded, *args[1:], **kwargs)
    moved = (args[0] - recorded) * torch._dirichlet_grad(sample, recorded, recorded.sum(-1, True).expand_as(recorded))
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

"""Evaluate recorded calls again with other leaf values."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any

import torch
from torch import Tensor

from .definitions import names_of
from .operands import (
    CannotReplay,
    ConstantOperand,
    LeafOperand,
    Operand,
    ResultOperand,
    TapeEntry,
    UnknownOperand,
    filled,
    flat,
    operands,
)

CallMaker = Callable[[int, Callable[..., Any], Any, Any], Any]
"""Makes a call, given its index in a section, its function and its arguments, and returns its result."""


class TapeSection:
    """The calls that lead from leaves to the roots of a pass, in the order in which they were made."""

    def __init__(self, entries: list[TapeEntry], roots: list[Operand]) -> None:
        self._entries = entries
        self._roots = roots
        self._widened: dict[int, Tensor] = {}

    @property
    def entries(self) -> Sequence[TapeEntry]:
        """The calls, in the order in which they were made."""
        return self._entries

    def up_to(self, number: int) -> TapeSection:
        """Return the calls up to the one that made the node with a sequence number. The result has no roots.

        Raises :class:`CannotReplay` if no call of this section made the node.
        """
        for index, entry in enumerate(self._entries):
            if number in entry.numbers:
                return TapeSection(self._entries[: index + 1], [])
        raise CannotReplay("it was not made by a call that could be recorded")

    def leaves(self) -> list[Tensor]:
        """Return each leaf that the calls read, once."""
        found = {
            id(operand.tensor): operand.tensor
            for entry in self._entries
            for operand in operands((entry.args, entry.kwargs))
            if isinstance(operand, LeafOperand)
        }
        found |= {id(root.tensor): root.tensor for root in self._roots if isinstance(root, LeafOperand)}
        return list(found.values())

    def definitions(self) -> Set[str]:
        """Return the names of the definitions that apply to the calls (see :mod:`.definitions`)."""
        return frozenset(name for entry in self._entries for name in names_of(entry.function, entry.args, entry.kwargs))

    def evaluate(self, values: Mapping[int, Tensor], *, wide: bool = False, calling: CallMaker | None = None) -> list[Tensor]:
        """Return the roots for ``values``, which are leaf values by the ids of the leaves. ``wide`` computes in float64.

        If ``calling`` is given, it makes each call. After the calls, generators have the states that the calls left. Raises
        :class:`CannotReplay`, and any exception of the calls.
        """
        around = torch.is_autocast_enabled("cpu")
        with _kept_casts() if not wide and not around else _NO_CONTEXT:
            return self._evaluate_calls(values, wide, calling, around)

    def _evaluate_calls(
        self, values: Mapping[int, Tensor], wide: bool, calling: CallMaker | None, around: bool
    ) -> list[Tensor]:
        results: dict[int, Tensor] = {}
        cache = -1

        def value(operand: Operand) -> Tensor:
            match operand:
                case ResultOperand():
                    found = results.get(operand.token)
                    if found is None:
                        raise CannotReplay("a call returned something different from before")
                    return found
                case LeafOperand():
                    return values[id(operand.tensor)]
                case ConstantOperand():
                    constant = self._wide(operand) if wide else operand.value()
                    if operand.token >= 0:
                        results[operand.token] = constant
                    return constant
                case UnknownOperand():
                    raise CannotReplay(operand.text)

        for index, entry in enumerate(self._entries):
            for generator, state in entry.generators:
                generator.set_state(state)
            args, kwargs = filled((entry.args, entry.kwargs), value)
            function = entry.function
            if wide:
                function, args, kwargs = wider(function, args, kwargs)
            casts = entry.autocast is not None and not wide
            casting: Any = _NO_CONTEXT
            if casts or around:
                casting = torch.autocast("cpu", entry.autocast, enabled=casts, cache_enabled=entry.cache >= 0)
            if casts and not around and entry.cache != cache:
                torch.clear_autocast_cache()
                cache = entry.cache
            with casting, torch.set_grad_enabled(entry.graded):
                out = function(*args, **kwargs) if calling is None else calling(index, function, args, kwargs)
            results |= {token: tensor for token, tensor in zip(entry.result_tokens, flat(out), strict=False) if token >= 0}
        return [value(root) for root in self._roots]

    @contextlib.contextmanager
    def restored_generators(self) -> Iterator[None]:
        """When the context ends, restore the states of the random generators that the calls use."""
        generators = dict.fromkeys(generator for entry in self._entries for generator, _ in entry.generators)
        states = [(generator, generator.get_state()) for generator in generators]
        try:
            yield
        finally:
            for generator, state in states:
                generator.set_state(state)

    def _wide(self, constant: ConstantOperand) -> Tensor:
        found = self._widened.get(id(constant))
        if found is None:
            found = self._widened[id(constant)] = widened(constant.value())
        return found.clone() if constant.written else found


@contextlib.contextmanager
def _kept_casts() -> Iterator[None]:
    """Keep autocast's cache for the duration of the evaluation."""
    torch.autocast_increment_nesting()
    try:
        yield
    finally:
        if torch.autocast_decrement_nesting() == 0:
            torch.clear_autocast_cache()


_NO_CONTEXT = contextlib.nullcontext()
_WIDE = {
    torch.float32: torch.float64,
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.complex64: torch.complex128,
    torch.complex32: torch.complex128,
}
_WIDER: dict[Any, Any] = {
    Tensor.float: Tensor.double,
    Tensor.half: Tensor.double,
    Tensor.bfloat16: Tensor.double,
}


def widened(tensor: Tensor) -> Tensor:
    """Return a floating-point tensor in float64 (complex128 if complex), any other tensor unchanged."""
    return tensor.detach().to(_WIDE.get(tensor.dtype, tensor.dtype))


def wider(function: Any, args: Any, kwargs: Any) -> tuple[Any, Any, Any]:
    """Return a call with a wide dtype in place of each narrow dtype that it casts to."""
    args, kwargs = _dtypes_widened((args, kwargs))
    return _WIDER.get(function, function), args, kwargs


def _dtypes_widened(value: Any) -> Any:
    if isinstance(value, torch.dtype):
        return _WIDE.get(value, value)
    if type(value) in (list, tuple):
        return type(value)(_dtypes_widened(item) for item in value)
    if type(value) is dict:
        return {key: _dtypes_widened(item) for key, item in value.items()}
    return value

"""Call a user's function again with other values of its inputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions.dirichlet import _Dirichlet
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as tree

from ..forward.functions import COMPOSITE, KINDS, READ, WRITE, classify, composite_copy
from ..replay.definitions import names_of
from ..replay.evaluate import CallMaker, widened, wider
from ..replay.operands import rebuilt
from ..replay.random_state import restored_random_state
from ..replay.slopes import real


class NamedTensor(NamedTuple):
    """An input or output, as a message names it."""

    name: str
    tensor: Tensor


class CalledFunction:
    """A function with copies of its inputs.

    ``inputs`` are the copies that require a gradient, each once. Every call starts with the same random state and with new
    copies of all tensors, and leaves the random state as it was.
    """

    def __init__(self, function: Callable[..., Any], inputs: Any) -> None:
        self._function = function
        self._arguments: tuple[Sequence[Any], dict[str, Any]]
        if isinstance(inputs, Mapping):
            self._arguments = (), dict(inputs)
        else:
            self._arguments = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,), {}
        self._copies: dict[int, Tensor] = {}
        self.inputs: list[NamedTensor] = []
        self._noted: _RepeatMode | None = None
        for name, value in _named_arguments(function, *self._arguments):
            for path, tensor in tree.tree_flatten_with_path(value)[0]:
                if isinstance(tensor, Tensor) and id(tensor) not in self._copies:
                    copy = self._copies[id(tensor)] = _copy(tensor)
                    if copy.requires_grad:
                        self.inputs.append(NamedTensor(f"`{name}{tree.keystr(path)}`", copy))

    def copies(self) -> list[Tensor]:
        """Return a new leaf with the elements of each of :attr:`inputs`."""
        return [_copy(each.tensor) for each in self.inputs]

    def outputs(
        self, values: Mapping[int, Tensor], *, wide: bool = False, mode: TorchFunctionMode | None = None
    ) -> list[NamedTensor]:
        """Call the function and return every tensor of its result.

        ``values`` replace inputs, by the ids of :attr:`inputs`; ``wide`` computes in float64.
        """
        made: dict[int, Tensor] = {}

        def argument(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            if id(value) not in made:
                copy = self._copies[id(value)]
                made[id(value)] = values[id(copy)] if id(copy) in values else _copy(copy, wide=wide)
            return made[id(value)]

        args, kwargs = tree.tree_map(argument, self._arguments)
        with restored_random_state(), torch.enable_grad(), _double_by_default() if wide else nullcontext():
            if mode is None:
                result = self._function(*args, **kwargs)
            else:
                with mode, _shown_to(mode):
                    result = self._function(*args, **kwargs)
        return [
            NamedTensor(_output_name(tree.keystr(path), path), tensor)
            for path, tensor in tree.tree_flatten_with_path(result)[0]
            if isinstance(tensor, Tensor)
        ]

    def definitions(self) -> Set[str]:
        """Return the definitions that apply to the function's calls (see :mod:`..replay.definitions`)."""
        return self._notes().definitions

    def draws(self) -> Mapping[int, Tensor]:
        """Return the random constants that the function draws, by the number of the call that draws them."""
        return self._notes().draws

    def _notes(self) -> _RepeatMode:
        if self._noted is None:
            self._noted = _RepeatMode()
            self.outputs({}, mode=self._noted)
        return self._noted


class OutputElement:
    """The calls that lead to one element of one output of a function: a section of :class:`..replay.point.Point`.

    The element is a real number. For a complex output, it is the real or the imaginary part of an element.
    """

    def __init__(self, function: CalledFunction, output: int, element: int) -> None:
        self._function = function
        self._output = output
        self._element = element

    def evaluate(self, values: Mapping[int, Tensor], *, wide: bool = False, calling: CallMaker | None = None) -> list[Tensor]:
        """Return the element for these inputs; ``wide`` computes in float64, also with constants of other dtypes."""
        mode = _RepeatMode(calling, self._function.draws(), wide=wide) if wide or calling is not None else None
        outputs = self._function.outputs(values, wide=wide, mode=mode)
        return [self.of(outputs)]

    def of(self, outputs: Sequence[NamedTensor]) -> Tensor:
        """Return the element of these outputs."""
        return real(outputs[self._output].tensor).reshape(-1)[self._element]

    def definitions(self) -> Set[str]:
        """Return the definitions that apply to the function's calls."""
        return self._function.definitions()


class _RepeatMode(TorchFunctionMode):
    """Makes each call in float64 or as its surrogate function.

    Collects the definitions that apply to the calls, and in ``draws`` the random constants that they draw. In float64,
    generators give other numbers, so each call that drew a constant returns the ``given`` one instead.
    """

    def __init__(
        self, calling: CallMaker | None = None, given: Mapping[int, Tensor] | None = None, *, wide: bool = False
    ) -> None:
        super().__init__()
        self.definitions: set[str] = set()
        self.draws: dict[int, Tensor] = {}
        self._given = given or {}
        self._calling = calling
        self._wide = wide
        self._calls = 0
        self._open: set[Any] = set()
        self._widened: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        kind = KINDS.get(func) or classify(func)
        if kind is READ or func in self._open:
            return func(*args, **kwargs)
        if kind is COMPOSITE:
            self._open.add(func)
            try:
                with self:
                    return composite_copy(func)(*args, **kwargs)
            finally:
                self._open.discard(func)
        if self._wide:
            func, args, kwargs = wider(func, rebuilt(tuple(args), self._wide_copy), rebuilt(kwargs, self._wide_copy))
        self.definitions |= names_of(func, args, kwargs)
        self._calls += 1
        if self._wide and self._calls in self._given:
            drawn = widened(self._given[self._calls])
            return args[0].copy_(drawn) if kind is WRITE else drawn.clone()
        state = torch.default_generator.get_state()
        out = func(*args, **kwargs) if self._calling is None else self._calling(self._calls, func, args, kwargs)
        constant = isinstance(out, Tensor) and not out.requires_grad
        if constant and not self._wide and not torch.equal(state, torch.default_generator.get_state()):
            self.draws[self._calls] = out.clone()
        return out

    def _wide_copy(self, tensor: Tensor) -> Tensor:
        """Return the float64 copy of a narrower tensor, the same copy each time, so that writes to it persist."""
        if tensor.dtype not in _NARROW:
            return tensor
        if id(tensor) not in self._widened:
            copy = tensor.to(torch.complex128 if tensor.is_complex() else torch.float64)
            self._widened[id(tensor)] = tensor, copy
        return self._widened[id(tensor)][1]


_current_mode: Any = torch.overrides._get_current_function_mode
_NARROW = (torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex32)


@contextmanager
def _shown_to(mode: TorchFunctionMode) -> Iterator[None]:
    """Pass the calls of ``_Dirichlet`` to a mode: a definition applies to them, and modes don't see custom functions."""
    kind: Any = _Dirichlet
    apply = kind.apply

    def shown(*args: Any) -> Any:
        return mode.__torch_function__(apply, (), args) if _current_mode() is mode else apply(*args)

    kind.apply = shown
    try:
        yield
    finally:
        del kind.apply  # the class inherits the original


@contextmanager
def _double_by_default() -> Iterator[None]:
    """Make float64 the default dtype of new tensors, such as those that ``torch.zeros`` creates in the function."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(default)


def _copy(tensor: Tensor, *, wide: bool = False) -> Tensor:
    """Return a leaf with the same elements."""
    copy = widened(tensor) if wide else tensor.detach()
    return copy.clone().requires_grad_(tensor.requires_grad)


def _named_arguments(function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the arguments with the names of the function's parameters, or with names such as ``inputs[0]``."""
    names = _parameters(function)
    for index, value in enumerate(args):
        yield names[index] if index < len(names) else f"inputs[{index}]", value
    yield from kwargs.items()


def _parameters(function: Any) -> list[str]:
    """Return the names of the positional parameters, without ``*args``."""
    skipped = 0
    if isinstance(function, torch.nn.Module):
        function = function.forward
    owner = getattr(function, "__self__", None)
    if isinstance(owner, type) and issubclass(owner, torch.autograd.Function) and function.__name__ == "apply":
        skipped = owner.setup_context is torch.autograd.Function.setup_context  # the first parameter is then `ctx`
        function = owner.forward
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # many functions of PyTorch have no signature
        return []
    return [each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)][skipped:]


def _output_name(text: str, path: Sequence[Any]) -> str:
    """Return ``0`` for the only output, the index for an item of a tuple, and the text of the path for others."""
    if not path:
        return "0"
    return str(path[0].idx) if len(path) == 1 and isinstance(path[0], tree.SequenceKey) else f"`{text}`"

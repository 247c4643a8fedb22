"""Observe calls that no mode observes, by replacing functions of PyTorch inside a ``with`` block."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch.autograd import Function, forward_ad

from ..source.instrument import ProgramSource
from ..source.names import parts
from ..source.tracebacks import program_frames
from ..source.weaving import woven
from ..tensors.handles import next_sequence_nr, tensors_in
from ..tensors.references import hidden_references
from .calls import Call, Calls
from .mode import ForwardMode
from .tracing import Suspension

_C: Any = torch._C


class _CustomCalls:
    """Records the calls of custom and scripted functions."""

    def __init__(self, calls: Calls, mode: ForwardMode, source: ProgramSource) -> None:
        self._calls = calls
        self._mode = mode
        self._source = source
        self._running = _RunningCalls()

    @contextmanager
    def around(self, function: Any, args: Any, kwargs: Any) -> Iterator[None]:
        """Begin a call. The context ends with the call."""
        self._running.calls.append((next_sequence_nr(), function, (*args, *kwargs.values())))
        try:
            yield
        finally:
            self._running.calls.pop()

    def returned(self, out: Any) -> Any:
        """Record the call that returns a value, and return the value."""
        first, function, arguments = self._running.calls[-1]
        mode, source, last = self._mode, self._source, next_sequence_nr()
        if last != first and (mode.foreign() or not mode.paused):
            with mode.reporting, torch._C.DisableTorchFunction():
                code, offset = next(program_frames(sys._getframe(1), source.filename), (None, 0))
                inner = source.own.location(sys._getframe(1), source.filename)
                site = self._calls.site(code, offset, mode.modules[-1] if mode.modules else "", inner)
                mode.add(Call(first, last, site, function, out, arguments, last - 1))
        return out


class _RunningCalls(threading.local):
    """The running calls of this thread, outermost first: the next sequence number, the function and its arguments."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, Any, tuple[Any, ...]]] = []


@contextmanager
def observe_custom_functions(calls: Calls, mode: ForwardMode, source: ProgramSource) -> Iterator[None]:
    """Record calls of custom and scripted functions, which no ``TorchFunctionMode`` observes.

    Limits: the operations inside them are recorded as one call, and a subclass that overrides ``apply`` is not observed.
    """
    apply = Function.__dict__["apply"]
    scripted = [(kind, kind.__call__) for kind in (_C.ScriptFunction, _C.ScriptMethod)]
    custom = _CustomCalls(calls, mode, source)

    def observed_script(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            mode.may_write([*_memory_of((*args, *kwargs.values()))])
            run = original.__get__(self)
            with custom.around(self, args, kwargs):
                return custom.returned(run(*args, **kwargs))

        return call

    Function.apply = classmethod(woven(apply.__func__, custom))  # type: ignore[assignment]
    for kind, original in scripted:
        kind.__call__ = observed_script(original)
    try:
        yield
    finally:
        Function.apply = apply  # type: ignore[method-assign]
        for kind, original in scripted:
            kind.__call__ = original


def _memory_of(arguments: Iterable[Any]) -> Iterator[torch.Tensor]:
    """Yield the tensors among the arguments of a function, and the tensors of modules among them."""
    for each in arguments:
        if isinstance(each, torch.nn.Module):
            yield from (part for _, part in parts("", each) if isinstance(part, torch.Tensor))
        else:
            yield from (part for part in tensors_in(each) if isinstance(part, torch.Tensor))


@contextmanager
def observe_set_(mode: ForwardMode) -> Iterator[None]:
    """Record ``Tensor.set_``, which gives a tensor different memory and is not dispatched to modes."""
    original = torch.Tensor.set_

    def set_(self: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if mode.paused:
            return original(self, *args, **kwargs)
        with torch._C.DisableTorchFunction():
            return mode.write(original, (self, *args), kwargs)  # type: ignore[no-any-return]

    torch.Tensor.set_ = set_  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        del torch.Tensor.set_  # the inherited method becomes visible again


@contextmanager
def observe_new_parameters(made: Callable[[Any], None]) -> Iterator[None]:
    """Call ``made`` with each new ``nn.Parameter``, so that its line is known even if it never gets a name."""
    original = torch.nn.Parameter.__dict__["__new__"]
    make = original.__func__

    @wraps(make)
    def __new__(cls: Any, *args: Any, **kwargs: Any) -> Any:
        parameter = make(cls, *args, **kwargs)
        made(parameter)
        return parameter

    torch.nn.Parameter.__new__ = __new__  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.nn.Parameter.__new__ = original  # type: ignore[method-assign]


@contextmanager
def observe_swaps(mode: ForwardMode, release_graphs: Callable[[], None]) -> Iterator[None]:
    """Record ``torch.utils.swap_tensors`` as a write to both tensors.

    It refuses tensors that have weak references or that a graph uses, so the recorder first hides or drops its own references.
    """
    original: Callable[[Any, Any], None] = torch.utils.swap_tensors

    @wraps(original)
    def swap_tensors(t1: Any, t2: Any) -> None:
        both = [each for each in (t1, t2) if isinstance(each, torch.Tensor)]
        if len(both) < 2 or mode.paused:
            original(t1, t2)
            return

        def swap(_: Any) -> None:
            if any(_use_count(each) > 1 for each in both):
                release_graphs()
            with hidden_references(original):
                original(t1, t2)

        mode.write(swap, (both,), {}, True)

    torch.utils.swap_tensors = swap_tensors
    try:
        yield
    finally:
        torch.utils.swap_tensors = original


_use_count: Callable[[torch.Tensor], int] = torch.Tensor._use_count  # type: ignore[attr-defined]


class _JitTraces:
    """Stops observing during the calls of ``torch.jit.trace``."""

    def __init__(self, mode: ForwardMode, suspended: Suspension) -> None:
        self._mode = mode
        self._suspended = suspended

    @contextmanager
    def around(self, *arguments: Any) -> Iterator[None]:
        """Report that a call may write to the tensors and modules that it is given, and stop observing until it ends."""
        self._mode.may_write([*_memory_of(arguments)])
        with self._suspended():
            yield

    def returned(self, value: Any) -> Any:
        return value


@contextmanager
def suspend_during_jit_trace(mode: ForwardMode, suspended: Suspension) -> Iterator[None]:
    """Run ``torch.jit.trace`` in a context from ``suspended``, because it would trace the recorder's own operations too."""
    originals: dict[str, Callable[..., Any]] = {name: getattr(torch.jit, name) for name in ("trace", "trace_module")}
    for name, original in originals.items():
        setattr(torch.jit, name, woven(original, _JitTraces(mode, suspended)))
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(torch.jit, name, original)


@contextmanager
def force_eager_compile(on_compile: Callable[[], None]) -> Iterator[None]:
    """Make ``torch.compile`` return functions that run eagerly, since a compiler would trace the recorder too.

    ``on_compile`` is called at each call of ``torch.compile``. The eager functions return equal results. Dynamo is not loaded
    unless the program imports it.
    """
    original = torch.compile

    def compile(model: Any = None, **options: Any) -> Any:
        if model is None:
            return lambda function: compile(function, **options)
        on_compile()
        torch.compiler.set_stance("force_eager")
        return original(model, **options)

    torch.compile = compile
    try:
        yield
    finally:
        torch.compile = original


@contextmanager
def observe_forward_ad(on_enter: Callable[[], None]) -> Iterator[None]:
    """Call ``on_enter`` when the program starts to compute forward-mode derivatives."""
    enter: Callable[[], Any] = forward_ad.enter_dual_level

    def observed_enter() -> Any:
        on_enter()
        return enter()

    forward_ad.enter_dual_level = observed_enter
    try:
        yield
    finally:
        forward_ad.enter_dual_level = enter


@contextmanager
def observe_array_tensors(mode: ForwardMode, on_tensor: Callable[[torch.Tensor], None]) -> Iterator[None]:
    """Call ``on_tensor`` with each tensor created on the memory of a NumPy array or buffer.

    Limit: tensors from ``torch.utils.dlpack`` and from extensions are not observed.
    """
    originals: dict[str, Any] = {name: getattr(torch, name) for name in ("from_numpy", "as_tensor", "frombuffer")}

    def observed(original: Any) -> Any:
        @wraps(original)
        def make(*args: Any, **kwargs: Any) -> Any:
            out = original(*args, **kwargs)
            with mode.reporting, torch._C.DisableTorchFunction():
                if out.layout is torch.strided and not out.untyped_storage().resizable():
                    on_tensor(out)
            return out

        return make

    for name, original in originals.items():
        setattr(torch, name, observed(original))
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(torch, name, original)

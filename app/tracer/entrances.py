"""See what no mode sees: custom functions being applied, functions about to be compiled, and programs about to sleep."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.autograd import Function

from .calls import Call, Calls
from .forward import ForwardMode
from .handles import operands, sequence_number
from .source import frames

_C: Any = torch._C


@contextmanager
def seen_functions(calls: Calls, mode: ForwardMode, filename: str) -> Iterator[None]:
    """Note the calls that no mode sees: of the program's own functions, and of scripted ones, while this lasts."""
    apply = Function.__dict__["apply"]
    scripted = [(kind, kind.__call__) for kind in (_C.ScriptFunction, _C.ScriptMethod)]

    def noted(function: Any, run: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        first = sequence_number()
        out = run(*args, **kwargs)
        last = sequence_number()
        if last != first and not mode.resting:
            place = next(frames(sys._getframe(2), filename), None)
            with torch._C.DisableTorchFunction():
                module = mode.modules[-1] if mode.modules else ""
                calls.add(Call(first, last, place, function, out, operands(args, kwargs), module))
        return out

    def seen_apply(cls: type[Function], *args: Any, **kwargs: Any) -> Any:
        return noted(cls, apply.__get__(None, cls), args, kwargs)

    def seen_script(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, *args, **kwargs: noted(self, original.__get__(self), args, kwargs)

    Function.apply = classmethod(seen_apply)  # type: ignore[assignment]
    for kind, original in scripted:
        kind.__call__ = seen_script(original)
    try:
        yield
    finally:
        Function.apply = apply  # type: ignore[method-assign]
        for kind, original in scripted:
            kind.__call__ = original


@contextmanager
def eager_compile() -> Iterator[None]:
    """Let ``torch.compile`` return functions that run as they are written: a compiler would trace the recorder too.

    The result is the same; nothing of dynamo is loaded for a program that does not ask for it.
    """
    original = torch.compile

    def compile(model: Any = None, **options: Any) -> Any:
        if model is None:
            return lambda function: compile(function, **options)
        torch.compiler.set_stance("force_eager")
        return original(model, **options)

    torch.compile = compile
    try:
        yield
    finally:
        torch.compile = original


@contextmanager
def before_sleep(tell: Callable[[], None]) -> Iterator[None]:
    """Call ``tell`` whenever the program goes to sleep: it may be stopped before it wakes."""
    original = time.sleep

    def sleep(seconds: Any, /) -> None:
        with torch._C.DisableTorchFunction():
            tell()
        original(seconds)

    time.sleep = sleep
    try:
        yield
    finally:
        time.sleep = original

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


@contextmanager
def seen_functions(calls: Calls, mode: ForwardMode, filename: str) -> Iterator[None]:
    """Note every ``Function.apply`` of the program's own functions as a call, while this lasts."""
    original = Function.__dict__["apply"]

    def apply(cls: type[Function], *args: Any, **kwargs: Any) -> Any:
        first = sequence_number()
        out = original.__get__(None, cls)(*args, **kwargs)
        last = sequence_number()
        if last != first and not mode.resting:
            place = next(frames(sys._getframe(1), filename), None)
            with torch._C.DisableTorchFunction():
                module = mode.modules[-1] if mode.modules else ""
                calls.add(Call(first, last, place, cls, out, operands(args, kwargs), module))
        return out

    Function.apply = classmethod(apply)  # type: ignore[assignment]
    try:
        yield
    finally:
        Function.apply = original  # type: ignore[method-assign]


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

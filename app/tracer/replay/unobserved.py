"""Compute beside a program without a trace in the recording, and without an effect on its random numbers."""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch

from ..forward.mode import ForwardMode
from ..source.marker import HOOK
from .random_state import restored_random_state


class RecordedProgram:
    """A program that is recorded while an expression reads its variables. ``engine`` is autograd's own."""

    def __init__(self, mode: ForwardMode, engine: Callable[..., Any]) -> None:
        self._mode = mode
        self._engine = engine

    def readable(self) -> bool:
        """Return whether the program is neither traced nor in a thread that is not recorded."""
        return not (self._mode.tracing or self._mode.foreign())

    def hidden(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which computations are not recorded, and after which the random generators are restored."""
        return unobserved(self._mode, self._engine)

    def at(self, *, marked: bool) -> None:
        """Do nothing: the recorder knows the step."""


_AUTOGRAD: Any = torch.autograd


@contextlib.contextmanager
def unobserved(mode: ForwardMode, engine: Callable[..., Any]) -> Iterator[None]:
    """Hide computations from the recorder, and restore the random generators afterwards. ``engine`` is autograd's own."""
    observed_engine = _AUTOGRAD._engine_run_backward
    mode.paused += 1
    hook = getattr(builtins, HOOK, None)  # `None` once the program has ended
    _AUTOGRAD._engine_run_backward = engine
    setattr(builtins, HOOK, lambda index, value: value)  # the program's own functions consist of marked statements
    try:
        with restored_random_state():
            yield
    finally:
        _AUTOGRAD._engine_run_backward = observed_engine
        setattr(builtins, HOOK, hook)
        mode.paused -= 1

"""Pause while the program exports, traces or computes with fake tensors, because PyTorch would trace the recorder too."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import wraps
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from torch._subclasses.fake_tensor import FakeTensorMode
from torch._subclasses.functional_tensor import FunctionalTensorMode

from .mode import ForwardMode

_DYNAMO = "torch._dynamo"
_ENTRIES = {
    "torch.export": ("export", "draft_export", "export_for_training", "export_for_inference"),
    "torch.library": ("opcheck",),
    "torch.onnx": ("export",),
    _DYNAMO: ("export", "explain"),
}
"""The functions of PyTorch that trace a program, by module."""

Suspension = Callable[[], AbstractContextManager[None]]
"""Returns a context in which nothing is recorded and PyTorch's functions are the original ones."""


@contextmanager
def suspend_while_tracing(suspended: Suspension) -> Iterator[None]:
    """Run the functions that trace a program, and the functions that they return, in a context from ``suspended``."""
    originals: list[tuple[ModuleType, str, Any]] = []

    def replace(module: ModuleType) -> None:
        for name in _ENTRIES[module.__name__]:
            original = vars(module).get(name)
            if callable(original):
                originals.append((module, name, original))
                setattr(module, name, _suspending(original, suspended))

    later = _AfterImport(replace)
    for name in _ENTRIES:
        if name in sys.modules:
            replace(sys.modules[name])
    if _DYNAMO not in sys.modules:
        sys.meta_path.insert(0, later)
    try:
        yield
    finally:
        with suppress(ValueError):
            sys.meta_path.remove(later)
        for module, name, original in originals:
            setattr(module, name, original)


def _suspending(original: Callable[..., Any], suspended: Suspension) -> Callable[..., Any]:
    @wraps(original)
    def trace(*args: Any, **kwargs: Any) -> Any:
        with suspended():
            out = original(*args, **kwargs)
        # `torch._dynamo.export(f)` and `explain(f)` return a function that traces when it is called
        return _suspending(out, suspended) if hasattr(out, "__code__") else out

    return trace


class _AfterImport(MetaPathFinder):
    """Calls ``replace`` with Dynamo once the program imports it. Dynamo is large, so the recorder does not import it."""

    def __init__(self, replace: Callable[[ModuleType], None]) -> None:
        self._replace = replace

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != _DYNAMO:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        loader: Any = spec.loader if spec is not None else None
        if loader is not None:
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                self._replace(module)

            loader.exec_module = exec_module
        return spec


@contextmanager
def pause_for_fake_tensors(mode: ForwardMode, on_enter: Callable[[], None]) -> Iterator[None]:
    """Pause ``mode`` while the program computes with fake or functional tensors, and call ``on_enter`` when it starts to."""
    kinds: tuple[Any, ...] = (FakeTensorMode, FunctionalTensorMode)
    originals = [(kind, kind.__enter__, kind.__exit__) for kind in kinds]

    def replace(kind: Any, enter: Callable[..., Any], leave: Callable[..., Any]) -> None:
        @wraps(enter)
        def observed_enter(self: Any) -> Any:
            entered = enter(self)
            if not mode.tracing:
                on_enter()
            mode.tracing += 1
            mode.paused += 1
            return entered

        @wraps(leave)
        def observed_exit(self: Any, *failure: Any) -> Any:
            mode.tracing = max(0, mode.tracing - 1)
            mode.paused = max(0, mode.paused - 1)
            return leave(self, *failure)

        kind.__enter__, kind.__exit__ = observed_enter, observed_exit

    for each in originals:
        replace(*each)
    try:
        yield
    finally:
        for kind, enter, leave in originals:
            kind.__enter__, kind.__exit__ = enter, leave

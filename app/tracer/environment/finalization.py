"""Run the finalizers of a program and its variables where Python runs them: when the interpreter ends."""

from __future__ import annotations

import gc
import weakref
from types import FunctionType, ModuleType
from typing import Any

from ..source.marker import HOOK


def leave_out_present() -> None:
    """Leave the finalizers that exist now out of :func:`run`, in this process and its forks.

    They belong to the modules that a zygote has imported. PyTorch has about 170, each of which deregisters a library of
    operators. Running them would write to a third of the memory that a child shares with its zygote.
    """
    for finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        finalizer.atexit = False


def run() -> None:
    """Call the functions that were registered with :class:`weakref.finalize`, the newest first."""
    weakref.finalize._exitfunc()  # type: ignore[attr-defined]


def prepare(namespace: dict[str, Any]) -> None:
    """Add the marked statements' hook to the module. Python removes it from ``builtins`` before it runs the finalizers."""
    namespace[HOOK] = _pass_through


def is_observed(text: str) -> bool:
    """Return whether a program may notice that its variables are freed.

    >>> is_observed("class A:\\n    def __del__(self): print('freed')")
    True
    >>> is_observed("x = 1")
    False
    """
    return "__del__" in text


def free_variables(namespace: dict[str, Any]) -> None:
    """Free the variables of a module, and run their finalizers.

    Python mostly frees all variables at once, as garbage. The finalizers then run in the order in which the objects were made
    and still see all variables. Here, objects with a finalizer are freed first, then objects that refer to them. Modules,
    functions and classes are freed last, because a finalizer may need them.
    """
    gc.collect()
    names = [name for name in namespace if name not in ("__builtins__", HOOK)]
    for name in sorted(names, key=lambda name: _rank(namespace[name])):  # in each rank, in the order of the first assignment
        del namespace[name]
    gc.collect()


def _rank(value: Any) -> int:
    if hasattr(type(value), "__del__"):
        return 0
    if issubclass(type(value), ModuleType | FunctionType | type):
        return 3
    return 1 if any(hasattr(type(each), "__del__") for each in gc.get_referents(value)) else 2


def _pass_through(index: int, value: Any) -> Any:
    return value

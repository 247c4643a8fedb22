"""Replace a missing matplotlib with an inert stand-in, and explain every other missing module."""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from itertools import repeat
from types import FrameType, ModuleType
from typing import Any

import numpy as np

PLOTTING = "matplotlib"


class InertObject:
    """Accepts every call, attribute, item and operator, and does nothing. As a number, it is 0.

    It has no items, but it can be assigned to any number of names: ``n, bins, patches = plt.hist(values)``.
    """

    def __call__(self, *_: Any, **__: Any) -> InertObject:
        return self

    def __getattr__(self, name: str) -> InertObject:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, _: Any) -> InertObject:
        return self

    def __setitem__(self, _: Any, __: Any) -> None: ...

    def __enter__(self) -> InertObject:
        return self

    def __exit__(self, *_: object) -> None: ...

    def __iter__(self) -> Iterator[InertObject]:
        return repeat(self, _names_to_assign(sys._getframe(1)))

    def __len__(self) -> int:
        return 0

    def __index__(self) -> int:
        return 0

    def __float__(self) -> float:
        return 0.0

    def __repr__(self) -> str:
        return "<not drawn>"

    def __format__(self, _: str) -> str:
        return repr(self)


def _same(self: InertObject, *_: Any) -> InertObject:
    return self


def _false(*_: Any) -> bool:
    return False


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"):
    setattr(InertObject, f"__{_name}__", _same)
    setattr(InertObject, f"__r{_name}__", _same)
for _name in ("neg", "pos", "abs", "round"):
    setattr(InertObject, f"__{_name}__", _same)
for _name in ("lt", "le", "gt", "ge"):
    setattr(InertObject, f"__{_name}__", _false)


def _names_to_assign(frame: FrameType) -> int:
    """Return how many names a statement such as ``a, b = value`` assigns in a frame that iterates over ``value``, or 0.

    A starred name takes no item.
    """
    code, last = frame.f_code.co_code, frame.f_lasti
    name, count = dis.opname[code[last]], code[last + 1]
    extended = code[last - 1] if last >= 2 and code[last - 2] == dis.EXTENDED_ARG else 0
    if name == "UNPACK_SEQUENCE":
        return extended << 8 | count
    return extended + count if name == "UNPACK_EX" else 0  # the names after the starred one are in the upper byte


def _subplots(nrows: int = 1, ncols: int = 1, *_: Any, squeeze: bool = True, **__: Any) -> tuple[InertObject, Any]:
    """Return a figure, and axes in an array of the same shape as those of matplotlib."""
    axes = np.empty((nrows, ncols), dtype=object)
    for index in np.ndindex(nrows, ncols):
        axes[index] = InertObject()
    return InertObject(), axes if not squeeze else axes.item() if axes.size == 1 else axes.squeeze()


class _Plotting(ModuleType):
    """A module of matplotlib in which every name exists and does nothing."""

    subplots = staticmethod(_subplots)

    def __getattr__(self, name: str) -> InertObject:
        if name.startswith("__"):
            raise AttributeError(name)
        return InertObject()


class MatplotlibStandIn(MetaPathFinder, Loader):
    """Imports a stand-in for matplotlib inside the ``with`` block, unless matplotlib is installed.

    ``on_first_use`` is called once, at the first import of the stand-in.
    """

    def __init__(self, on_first_use: Callable[[], None]) -> None:
        self._on_first_use = on_first_use
        self._used = False

    def __enter__(self) -> MatplotlibStandIn:
        sys.meta_path.append(self)  # last, so that an installed matplotlib is preferred
        return self

    def __exit__(self, *_: object) -> None:
        sys.meta_path.remove(self)
        if self._used:  # without this check, the search would copy the memory pages of every module into this process
            for name in [name for name, module in sys.modules.items() if isinstance(module, _Plotting)]:
                del sys.modules[name]

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname.partition(".")[0] != PLOTTING:
            return None
        if not self._used:
            self._used = True
            self._on_first_use()
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Plotting(spec.name)

    def exec_module(self, module: ModuleType) -> None: ...


def missing_module_text(error: ModuleNotFoundError) -> str:
    """Return the error message for a missing module, with the modules that are available."""
    return f"{error}: only torch, numpy and Python's standard library are available here"

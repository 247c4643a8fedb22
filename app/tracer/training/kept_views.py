"""Detect numbers of a parameter that the program keeps without a copy, and reads after an update has changed them.

``detach()``, ``.data`` and ``state_dict()`` return the memory of the parameter. Such a tensor is called a view here. A view is
old once its parameter was updated. A line that combines an old view with the parameter itself, or with a view of another age,
was meant to see numbers from two instants, but sees the same numbers twice.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FrameType
from typing import Any, Final

from msgspec import Struct, field
from torch import Tensor

from ... import wire
from ..emitter import Emitter
from ..source.instrument import ProgramSource
from ..source.names import Names
from ..tensors.handles import storage_pointer, tensors_in
from ..tensors.references import WeakTensor
from ..tensors.snapshot import is_leaf

MOST: Final = 20_000
"""Largest number of living views that are followed."""
MOST_SIGNALS: Final = 50
_LIBRARY: Final = "/torch/"
"""Part of the path of PyTorch's own code."""
_LAYERS: Final = "/torch/nn/modules/"
"""Part of the path of PyTorch's layers, which read their own parameters, and return views of them as ``state_dict``."""


class _LivingView(Struct, eq=False):
    """A living view, and the number of updates of its parameter when the view was made, on ``line``."""

    view: WeakTensor
    of: _Viewed
    age: int
    line: int


class _Viewed(Struct, eq=False):
    """A parameter with living views."""

    parameter: WeakTensor
    views: dict[int, _LivingView] = field(default_factory=dict)
    """The living views, by id."""
    updates: int = 0
    """The number of updates since the first of these views was made."""
    read: dict[int, dict[int, int]] = field(default_factory=dict)
    """For each line, the ages of the numbers that it has read, each with the line that kept them, -1 if they were new."""


class KeptViews:
    """The living views of parameters. While :attr:`old` is empty, the reads of the program need not be inspected."""

    def __init__(self, *, emitter: Emitter, names: Names, source: ProgramSource, step: Callable[[], int]) -> None:
        self._emitter = emitter
        self._names = names
        self._source = source
        self._step = step
        self._views: dict[int, _LivingView] = {}
        self._viewed: dict[int, _Viewed] = {}
        self.old: dict[int, _LivingView] = {}
        """The living views whose parameters were updated after the views were made, by id."""
        self.lines: set[int] = set()
        """The lines that have made old views. While there are any, the writes of the program must be inspected."""
        self._reported: set[tuple[int, int]] = set()

    def made(self, view: Any, parameter: Any) -> None:
        """Follow a view that the program has made, if ``parameter`` is a leaf that requires a gradient."""
        if not (isinstance(view, Tensor) and parameter.requires_grad and is_leaf(parameter)) or len(self._views) >= MOST:
            return
        if any(_LIBRARY in path and _LAYERS not in path for path in self._callers()):
            return  # a function of PyTorch made it for its own use, as ``gradcheck`` does
        key, of = id(view), id(parameter)
        viewed = self._viewed.get(of)
        if viewed is None or viewed.parameter.get() is not parameter:
            viewed = self._viewed[of] = _Viewed(WeakTensor(parameter, lambda _: self._forget(of)))
        reference = WeakTensor(view, lambda _: self._forget_view(key, of))
        self._views[key] = viewed.views[key] = _LivingView(reference, viewed, viewed.updates, self._line())

    def _forget_view(self, key: int, of: int) -> None:
        self.old.pop(key, None)
        view = self._views.pop(key, None)
        if view is not None:
            view.of.views.pop(key, None)
            if not view.of.views:
                self._forget(of)

    def _forget(self, of: int) -> None:
        viewed = self._viewed.pop(of, None)
        for key in viewed.views if viewed is not None else ():
            self._views.pop(key, None)
            self.old.pop(key, None)

    def updated(self, parameters: Iterable[Tensor], *, through: Tensor | None = None) -> None:
        """Record that an update has changed parameters. A view ``through`` which it wrote to them has the new numbers."""
        if not self._viewed:
            return
        for parameter in parameters:
            viewed = self._viewed.get(id(parameter))
            if viewed is not None and viewed.parameter.get() is parameter:
                viewed.updates += 1
                for key, view in viewed.views.items():
                    if view.view.get() is through is not None:
                        view.age = viewed.updates
                    else:
                        self.old[key] = view
                        self.lines.add(view.line)

    def is_kept(self, tensor: Tensor) -> bool:
        """Return whether a tensor is a view of a parameter that another line has made, unlike that in ``w.data -= …``."""
        view = self._views.get(id(tensor))
        return view is not None and view.view.get() is tensor and view.line != self._line()

    def read(self, arguments: Sequence[Any], *, writes: bool = False) -> None:
        """Record that the program calls a function with these arguments. With ``writes``, it writes to the first one.

        A tensor that is only written to is not read. If the same call reads another tensor with the same numbers, the call
        was meant to combine both, so the first argument counts too.
        """
        tensors = [each for each in tensors_in(arguments) if isinstance(each, Tensor)]
        target = self._known(tensors[0]) if writes and tensors else None
        found = [each for tensor in (tensors[1:] if writes else tensors) if (each := self._known(tensor)) is not None]
        if target is not None and any(viewed is target[0] for viewed, _, _ in found):
            found.append(target)
        if not found:
            return
        line = self._line()
        loads = target[0] if target is not None else None
        for viewed, age, kept in found:
            if kept < 0 and viewed is not loads and self._in_library():
                continue  # a layer that the line calls reads its own parameter
            ages = viewed.read.setdefault(line, {})
            ages[age] = kept if age < viewed.updates else -1
            if len(ages) > 1 or (viewed is loads and ages[age] >= 0):
                self._report(line, viewed, ages.values(), loads=viewed is loads)
            elif viewed is loads and kept in self.lines:
                self._report(line, viewed, (kept,), loads=True, changed=False)

    def _known(self, tensor: Tensor) -> tuple[_Viewed, int, int] | None:
        """Return the parameter that a tensor is or views, the age of its numbers, and the line that made the view, or -1."""
        key = id(tensor)
        view = self._views.get(key)
        if view is not None and view.view.get() is tensor:
            parameter = view.of.parameter.get()
            same = parameter is not None and storage_pointer(parameter) == storage_pointer(tensor)
            return (view.of, view.age, view.line) if same else None
        viewed = self._viewed.get(key)
        return (viewed, viewed.updates, -1) if viewed is not None and viewed.parameter.get() is tensor else None

    def _line(self) -> int:
        """Return the program's running line."""
        frame: FrameType | None = sys._getframe(1)
        filename = self._source.filename
        while frame is not None and frame.f_code.co_filename != filename:
            frame = frame.f_back
        return -1 if frame is None else self._source.locate(frame.f_code, frame.f_lasti)[0]

    def _in_library(self) -> bool:
        return any(_LAYERS in path for path in self._callers())

    def _callers(self) -> Iterator[str]:
        """Yield the file of each function that is running, from here up to the program."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename != self._source.filename:
            yield frame.f_code.co_filename
            frame = frame.f_back

    def _report(self, line: int, viewed: _Viewed, lines: Iterable[int], *, loads: bool, changed: bool = True) -> None:
        for kept in lines:
            if kept < 0 or (line, kept) in self._reported or len(self._reported) >= MOST_SIGNALS:
                continue
            self._reported.add((line, kept))
            name = self._names.binding(viewed.parameter.get())[0]
            name = name[: wire.NAME_LENGTH] if name is not None else None
            step = self._step()
            self._emitter.emit(wire.KeptByReference(line=line, step=step, kept=kept, name=name, loads=loads, changed=changed))

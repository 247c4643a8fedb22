"""Decide which thread of the program is recorded. There is only one, since each thread numbers its nodes from zero.

Recording begins with the main thread. If the first computation with gradients happens in another thread, that thread is
recorded instead. The recording ends once a second thread computes with gradients. The program continues.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import get_ident
from typing import Any

import torch
from torch import Tensor

from ..tensors.handles import next_sequence_nr, tensors_in
from ..tensors.memory import Write
from .functions import KINDS, WRITE, classify
from .mode import SHARED_FRAMES, ForwardMode

_C: Any = torch._C
_NOBODY = 0


class Turns:
    """Decides which thread is recorded. Nothing is checked until the program starts a thread.

    ``untouched`` returns whether no computation with gradients has been recorded. ``on_moved`` is called in the thread that is
    recorded instead of the main thread. ``on_second`` is called in the second thread that computes with gradients.
    """

    def __init__(self, untouched: Callable[[], bool], on_moved: Callable[[], None], on_second: Callable[[], None]) -> None:
        self.first = self.owner = get_ident()
        """Identifiers of the main thread, and of the thread that is recorded."""
        self.shared = False
        """True once the program has started a thread."""
        self.ended = False
        """True once a second thread has computed with gradients."""
        self.lock = threading.RLock()
        self._threads = {self.owner}
        """The threads of the program. They don't include the engine's threads, which work for the recorded thread."""
        self._untouched = untouched
        self._on_moved = on_moved
        self._on_second = on_second
        self._moved = False

    def foreign(self) -> bool:
        """Return whether this thread of the program is not the one that is recorded."""
        return self.shared and (here := get_ident()) != self.owner and here in self._threads

    def begin(self) -> None:
        """Register a thread that starts. Python may give it the identifier of a thread that has ended."""
        with self.lock:
            self.shared = True
            self._threads.add(get_ident())
            if get_ident() == self.owner:
                self.owner = _NOBODY

    def claim(self) -> bool:
        """Return whether this thread, which computes with gradients, is recorded. It may be chosen by this call."""
        if not self.foreign():
            return True
        with self.lock:
            if self.ended:
                return False
            if not self._moved and self._untouched():
                self._moved = True
                self.owner = get_ident()
                self._on_moved()
                return True
            self.ended = True
        self._on_second()
        return False


class SharedForwardMode(ForwardMode):
    """A forward mode that is active in several threads. It records the calls of one thread, and only passes on all others."""

    turns: Turns
    _others: threading.local

    @property
    def paused(self) -> int:
        """As in :class:`ForwardMode`; always above 0 in a thread that is not recorded."""
        return 1 << 30 if self.turns.foreign() else int(self.__dict__["paused"])

    @paused.setter
    def paused(self, value: int) -> None:
        if not self.turns.foreign():
            self.__dict__["paused"] = value

    @property
    def modules(self) -> list[str]:  # type: ignore[override]
        """The running modules of this thread."""
        if get_ident() == self.turns.first:
            return self.__dict__["modules"]  # type: ignore[no-any-return]
        try:
            return self._others.modules  # type: ignore[no-any-return]
        except AttributeError:
            self._others.modules = []
            return self._others.modules  # type: ignore[no-any-return]

    def foreign(self) -> bool:
        """Return whether this thread is not the one that is recorded."""
        return self.turns.foreign()

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None) -> Any:
        if self.turns.foreign():
            self._protect(func, args, kwargs or {})
            first = next_sequence_nr()
            out = func(*args, **kwargs) if kwargs else func(*args)
            last = next_sequence_nr()
            if last != first and self.turns.claim():
                try:
                    with _C.DisableTorchFunction():
                        self._record(first, last, func, out, args, kwargs)
                except Exception as error:
                    self._observer.failed(error)
            return out
        return ForwardMode.__torch_function__(self, func, types, args, kwargs)

    def _protect(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """Copy recorded values before an unrecorded thread writes to their memory."""
        kind = KINDS.get(func)
        if "out" in kwargs or (classify(func) if kind is None else kind) is WRITE:
            written = kwargs.get("out", args[0] if args else None)
            try:
                with self.turns.lock, _C.DisableTorchFunction():
                    self._observer.before_write(Write([each for each in tensors_in(written) if isinstance(each, Tensor)]))
            except Exception as error:
                self._observer.failed(error)


SHARED_FRAMES.add(SharedForwardMode.__torch_function__.__code__)


@contextmanager
def observe_threads(mode: ForwardMode, turns: Turns, on_first: Callable[[], None]) -> Iterator[None]:
    """Activate ``mode`` in each thread that the program starts. ``on_first`` is called before the first of them runs.

    Limit: a thread that is not started by :class:`threading.Thread` is not observed.
    """
    original: Any = threading.Thread._bootstrap_inner  # type: ignore[attr-defined]

    def bootstrap(self: threading.Thread) -> None:
        if not turns.shared:
            mode.__class__ = SharedForwardMode
            mode.__dict__ |= {"turns": turns, "_others": threading.local()}
            on_first()
        turns.begin()
        _C._push_on_torch_function_stack(mode)
        original(self)

    threading.Thread._bootstrap_inner = bootstrap  # type: ignore[attr-defined]
    try:
        yield
    finally:
        threading.Thread._bootstrap_inner = original  # type: ignore[attr-defined]

"""Decide which thread of the program is recorded: only one at a time, since each thread numbers its nodes from zero.

Recording begins with the main thread. If the first computation with gradients happens in another thread, that thread is
recorded instead. Later the first thread that starts a pass or an optimizer's step is recorded. If its pass reaches nodes that
other threads made, they are recorded with their lines, but without values. The recording ends once a second thread starts a
pass or an optimizer's step. The program continues.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import get_ident
from typing import Any

import torch
from torch import Tensor

from ..source.weaving import woven
from ..tensors.handles import next_sequence_nr, sequence_nr, tensors_in
from ..tensors.memory import Write
from ..tensors.snapshot import grad_fn_of
from .calls import Call
from .functions import KINDS, WRITE, classify
from .mode import SHARED_FRAMES, ForwardMode

_C: Any = torch._C
_NOBODY = 0


class Turns:
    """Decides which thread is recorded. Nothing is checked until the program starts a thread.

    ``untouched`` returns true while no computation with gradients has been recorded. ``on_moved`` is called in a thread when
    it becomes the recorded thread. ``on_second`` is called in the second thread that starts a pass or an update.
    """

    def __init__(self, untouched: Callable[[], bool], on_moved: Callable[[], None], on_second: Callable[[], None]) -> None:
        self.first = self.owner = get_ident()
        """Identifiers of the main thread, and of the thread that is recorded."""
        self.shared = False
        """True once the program has started a thread."""
        self.ended = False
        """True once a second thread has started a pass or an update."""
        self._settled = False
        """True once a thread has started a pass or an update. No other thread is recorded from then on."""
        self.lock = threading.RLock()
        self._threads = {self.owner}
        """The identifiers of the program's threads, without the engine's threads, which work for the recorded thread."""
        self._untouched = untouched
        self._on_moved = on_moved
        self._on_second = on_second

    def foreign(self) -> bool:
        """Return whether this is a thread of the program that is not recorded."""
        return self.shared and (here := get_ident()) != self.owner and here in self._threads

    def begin(self) -> None:
        """Register a thread that starts. Python may give it the identifier of a thread that has ended."""
        with self.lock:
            self.shared = True
            self._threads.add(get_ident())
            if get_ident() == self.owner:
                self.owner = _NOBODY

    def claim(self) -> bool:
        """Return whether this thread, which makes nodes, is recorded. The call may make it the recorded thread."""
        if not self.foreign():
            return True
        with self.lock:
            if self._settled or not self._untouched():
                return False
            self._move_here()
            return True

    def claim_pass(self) -> bool:
        """Return whether this thread, which starts a pass or an update, is recorded. The call may make it the recorded thread.

        If another thread has started a pass or an update before, the recording ends.
        """
        if not self.shared:
            self._settled = True
            return True
        with self.lock:
            settled, self._settled = self._settled, True
            if not self.foreign():
                return True
            if not settled:
                self._move_here()
                return True
            if self.ended:
                return False
            self.ended = True
        self._on_second()
        return False

    def _move_here(self) -> None:
        self.owner = get_ident()
        self._on_moved()


class SharedForwardMode(ForwardMode):
    """A forward mode that is active in several threads. It records the calls of one thread, and passes on all other calls."""

    turns: Turns
    _others: threading.local

    @property
    def paused(self) -> int:
        """As in :class:`ForwardMode`. It is always above 0 in a thread that is not recorded."""
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
        """Return whether this is a thread of the program that is not recorded."""
        return self.turns.foreign()

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None) -> Any:
        if self.turns.foreign():
            self._protect(func, args, kwargs or {})
            first = next_sequence_nr()
            out = func(*args, **kwargs) if kwargs else func(*args)
            last = next_sequence_nr()
            if last != first:
                self.turns.claim()
                try:
                    with self.turns.lock, _C.DisableTorchFunction():
                        self._record(first, last, func, out, args, kwargs)
                except Exception as error:
                    self._observer.failed(error)
            return out
        return ForwardMode.__torch_function__(self, func, types, args, kwargs)

    def add(self, call: Call) -> None:
        """Add a call that made nodes. A call of a thread that is not recorded is stored without its tensors."""
        if self.turns.foreign():
            kept = call.without_tensors()
            if isinstance(call.out, Tensor) and (node := grad_fn_of(call.out)) is not None:
                kept.result = sequence_nr(node)
            self._calls.foreign.add(call.out, call.first, call.last, kept)
        else:
            self._calls.add(call)

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


class _Threads:
    """Activates ``mode`` in each thread that begins to run."""

    def __init__(self, mode: ForwardMode, turns: Turns, on_first: Callable[[], None]) -> None:
        self._mode = mode
        self._turns = turns
        self._on_first = on_first

    def around(self, thread: threading.Thread) -> AbstractContextManager[None]:
        if not self._turns.shared:
            self._mode.__class__ = SharedForwardMode
            self._mode.__dict__ |= {"turns": self._turns, "_others": threading.local()}
            self._on_first()
        self._turns.begin()
        _C._push_on_torch_function_stack(self._mode)
        return nullcontext()

    def returned(self, value: Any) -> Any:
        return value


@contextmanager
def observe_threads(mode: ForwardMode, turns: Turns, on_first: Callable[[], None]) -> Iterator[None]:
    """Activate ``mode`` in each thread that the program starts. ``on_first`` is called before the first of these threads runs.

    Limit: a thread that is not started by :class:`threading.Thread` is not observed.
    """
    original: Any = threading.Thread._bootstrap_inner  # type: ignore[attr-defined]
    threading.Thread._bootstrap_inner = woven(original, _Threads(mode, turns, on_first))  # type: ignore[attr-defined]
    try:
        yield
    finally:
        threading.Thread._bootstrap_inner = original  # type: ignore[attr-defined]

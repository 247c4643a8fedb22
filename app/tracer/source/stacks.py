"""Hide the recorder's frames from programs that look at the stack or at tracebacks."""

from __future__ import annotations

import inspect
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from .tracebacks import are_ours, frames_alone, leave_out, traceback_entries

_modules: Any = (traceback, inspect, threading)


@contextmanager
def hide_recorder_frames() -> Iterator[None]:
    """Hide the recorder's frames from ``traceback``, ``inspect.stack`` and ``threading.excepthook``.

    Limit: a program that follows ``f_back`` itself sees frames of the recorder in two places. The first is code of the program
    that an operation calls: a pack hook of saved tensors, ``__torch_function__`` or ``__torch_dispatch__``. The second is the
    closure of an optimizer's step, if the closure has parameters. Other functions that call the program are woven (see
    :mod:`.weaving`) or called by iterators (see :mod:`.sequences`).
    """
    trace, look, threads = _modules
    replaced: list[tuple[Any, str, Any]] = [
        (trace, "walk_stack", _walk_stack),
        *((trace, name, _walker(getattr(trace, name))) for name in _TRACEBACK_WALKERS if hasattr(trace, name)),
        (look, "getouterframes", _outer_frames(look.getouterframes)),
        (look, "getinnerframes", _inner_frames(look.getinnerframes)),
        (threads, "excepthook", _thread_hook(threads.excepthook)),
    ]
    originals = [(module, name, getattr(module, name)) for module, name, _ in replaced]
    for module, name, function in replaced:
        setattr(module, name, function)
    try:
        yield
    finally:
        for (module, name, original), (_, _, function) in zip(originals, replaced, strict=True):
            if getattr(module, name) is function:  # otherwise the program has replaced the function
                setattr(module, name, original)


_TRACEBACK_WALKERS = ("walk_tb", "_walk_tb_with_full_positions")
"""The functions of ``traceback`` that yield one item for each entry. The second one is private and also yields columns."""


def _walk_stack(frame: FrameType | None) -> Iterator[tuple[FrameType, int]]:
    """Replace ``traceback.walk_stack``: yield the frames outwards, each with its line."""
    frames = frames_alone(frame if frame is not None else sys._getframe(1))
    return iter([(each, each.f_lineno) for each in frames])


def _walker(original: Callable[[TracebackType | None], Iterator[Any]]) -> Callable[[TracebackType | None], Iterator[Any]]:
    def walk(tb: TracebackType | None) -> Iterator[Any]:
        ours = are_ours([entry.tb_frame.f_code.co_filename for entry in traceback_entries(tb)])
        return (item for item, left_out in zip(original(tb), ours, strict=False) if not left_out)

    return walk


def _outer_frames(original: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    def getouterframes(frame: FrameType, context: int = 1) -> list[Any]:
        kept = set(frames_alone(frame))
        return [info for info in original(frame, context) if info.frame in kept]

    return getouterframes


def _inner_frames(original: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    def getinnerframes(tb: TracebackType, context: int = 1) -> list[Any]:
        found = original(tb, context)
        ours = are_ours([info.frame.f_code.co_filename for info in found])
        return [info for info, left_out in zip(found, ours, strict=True) if not left_out]

    return getinnerframes


def _thread_hook(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def excepthook(args: Any) -> Any:
        if args.exc_value is not None:
            leave_out(args.exc_value)
        return original(args)

    return excepthook

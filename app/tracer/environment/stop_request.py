"""Report the running line when a signal announces that the process is about to be killed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from ... import wire


@contextmanager
def answer_stop_requests(report: Callable[[], None]) -> Iterator[None]:
    """Call ``report`` when :data:`~tapedeck.wire.STOP_SIGNAL` arrives.

    Python handles the signal between two instructions of the main thread. A program that stays in one call of C code is killed
    without a report. Does nothing in another thread, where Python cannot handle signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def answer(number: int, frame: FrameType | None) -> None:
        with suppress(Exception):
            report()

    before = signal.signal(wire.STOP_SIGNAL, answer)
    try:
        yield
    finally:
        if signal.getsignal(wire.STOP_SIGNAL) is answer:  # otherwise the program has replaced it
            signal.signal(wire.STOP_SIGNAL, before)

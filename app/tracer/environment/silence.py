"""Send pending events before the program sleeps or ends its own process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import torch


@contextmanager
def send_before_silence(send_pending: Callable[[], None], finish: Callable[[], None]) -> Iterator[None]:
    """Call ``send_pending`` before the program sleeps, and ``finish`` before it ends its own process.

    A sleeping program may be stopped before it wakes, and a signal that it sends itself may end it. Only ``time.sleep``,
    ``os._exit``, ``os.abort``, ``os.kill`` and ``signal.raise_signal`` are observed, and only if they are called as attributes
    of their modules.
    """
    sleep, leave, abort, kill, raise_ = time.sleep, os._exit, os.abort, os.kill, signal.raise_signal

    def observed_sleep(seconds: Any, /) -> None:
        with torch._C.DisableTorchFunction():
            send_pending()
        sleep(seconds)

    def observed_exit(status: int) -> NoReturn:
        finish()
        leave(status)

    def observed_abort() -> NoReturn:
        finish()
        abort()

    def observed_kill(pid: int, number: int, /) -> None:
        if pid == os.getpid():
            finish() if number == signal.SIGKILL else send_pending()
        kill(pid, number)

    def observed_raise(number: int, /) -> None:
        send_pending()
        raise_(number)

    time.sleep, os._exit, os.abort, os.kill = observed_sleep, observed_exit, observed_abort, observed_kill
    signal.raise_signal = observed_raise
    try:
        yield
    finally:
        time.sleep, os._exit, os.abort, os.kill, signal.raise_signal = sleep, leave, abort, kill, raise_

"""Explain errors that the sandbox causes, and name the remedies."""

from __future__ import annotations

import errno
import os
import traceback

from ..source.exceptions import exception_text

_OWN = "or run it on your own machine, with tapedeck run"
_FILES = f"here a program cannot use files: put data into the program, save to an io.BytesIO, {_OWN}"
_PROCESSES = f"here a program has one process: use num_workers=0 in a DataLoader, start no other program, {_OWN}"
_THREADS = f"here a program has one thread: remove threads and thread pools, {_OWN}"
_NETWORK = f"here there is no network: put data into the program, {_OWN}"
_PROFILER = f"here a program cannot be profiled: remove the profiler, {_OWN}"
_OTHER = f"here a program can compute and print, but cannot use files, processes or the network: remove them, {_OWN}"


def remedy(error: BaseException) -> str | None:
    """Return the remedy for an exception that the sandbox caused, or ``None`` for any other exception.

    >>> remedy(RuntimeError("can't start new thread"))
    'here a program has one thread: remove threads and thread pools, or run it on your own machine, with tapedeck run'
    >>> remedy(ValueError("no"))
    """
    text = exception_text(error)
    filenames = [entry.filename for entry in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, RuntimeError):
        if "can't start new thread" in text:
            return _THREADS
        if text == os.strerror(errno.EPERM):  # a system call of PyTorch itself
            return _PROFILER if _through(filenames, "profiler.py") else _OTHER
        return _FILES if "open file failed" in text or "Parent directory" in text else None
    if not isinstance(error, OSError):
        return None
    if _through(filenames, "socket.py", "urllib/request.py", "http/client.py", "ssl.py"):
        return _NETWORK
    if error.errno not in (errno.EPERM, errno.EACCES, errno.ENOENT):
        return None
    if error.filename is not None:
        return _FILES
    if error.errno != errno.EPERM:
        return None
    return _PROCESSES if _through(filenames, "subprocess.py", "multiprocessing/", "dataloader.py") else _OTHER


def _through(filenames: list[str], *names: str) -> bool:
    """Return whether a traceback contains one of the files ``names`` of Python or PyTorch."""
    return any(name in filename for filename in filenames for name in names)

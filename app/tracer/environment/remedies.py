"""Say what a program that is run for a stranger cannot do, and what to do instead."""

from __future__ import annotations

import errno
import traceback

from ..source.exceptions import exception_text

_OWN = "or run it on your own machine, with tapedeck run"
_FILES = f"here there are no files but Python's own: put data into the program, keep what you save in an io.BytesIO, {_OWN}"
_PROCESSES = f"here a program is one process: use num_workers=0 in a DataLoader, start no other program, {_OWN}"
_THREADS = f"here a program is one thread: leave out threads and pools of them, {_OWN}"
_NETWORK = f"here there is no network: put data into the program, {_OWN}"
_NOTHING = f"here a program can compute and print, but use no files, processes or network: do without, {_OWN}"


def remedy(error: BaseException) -> str | None:
    """What to do about an exception that confinement brought about; ``None`` for any other.

    >>> remedy(RuntimeError("can't start new thread"))
    'here a program is one thread: leave out threads and pools of them, or run it on your own machine, with tapedeck run'
    >>> remedy(ValueError("no"))
    """
    text = exception_text(error)
    passed = [entry.filename for entry in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, RuntimeError):
        if "can't start new thread" in text:
            return _THREADS
        return _FILES if "open file failed" in text or "Parent directory" in text else None
    if not isinstance(error, OSError):
        return None
    if _through(passed, "socket.py", "urllib/request.py", "http/client.py", "ssl.py"):
        return _NETWORK
    if error.errno not in (errno.EPERM, errno.EACCES, errno.ENOENT):
        return None
    if error.filename is not None:
        return _FILES
    if error.errno != errno.EPERM:
        return None
    return _PROCESSES if _through(passed, "subprocess.py", "multiprocessing/", "dataloader.py") else _NOTHING


def _through(passed: list[str], *names: str) -> bool:
    """Whether a traceback goes through one of these files of Python's or torch's."""
    return any(name in filename for filename in passed for name in names)

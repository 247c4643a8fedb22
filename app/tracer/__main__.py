"""Run one job in this process: read it from one file descriptor, and write its frames to another.

``python -m tapedeck.tracer JOB_FD EVENTS_FD`` runs a user's own file on the user's own machine. The process ends as Python
would end without us: its threads finish, its exit functions run, and its exit status is the program's.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys

from .. import wire
from .environment import own_streams


def main() -> None:
    """Read the job, then run it."""
    ending: list[int] = []
    atexit.register(_end_by_signal, ending)  # registered first, so it runs last
    job_fd, events_fd = int(sys.argv[1]), int(sys.argv[2])
    with os.fdopen(job_fd, "rb") as pipe:
        job = wire.decode_job(pipe.read())
    if job.path is not None and job.module is None:
        sys.path[0] = os.path.dirname(os.path.realpath(job.path))
    events = wire.Pipe(events_fd)
    if job.own_streams:
        own_streams.install()
    from .main import execute  # imports torch, which keeps the streams in its loggers

    status = execute(job, events.write, at_exit=atexit.register, finalizes=True)
    if status < 0:
        ending.append(-status)
    sys.exit(abs(status))


def _end_by_signal(ending: list[int]) -> None:
    """End the process by a signal, as Python does after a ``KeyboardInterrupt``."""
    for number in ending:
        sys.stdout.flush()
        sys.stderr.flush()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


if __name__ == "__main__":
    main()

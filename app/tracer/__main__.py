"""Run one job in this process: read it from one file descriptor, and write its frames to another.

``python -m tapedeck.tracer JOB_FD EVENTS_FD`` runs a user's own file on the user's own machine.
"""

from __future__ import annotations

import os
import sys

from .. import wire
from .main import execute


def main() -> None:
    """Read the job, then run it."""
    job_fd, events_fd = int(sys.argv[1]), int(sys.argv[2])
    with os.fdopen(job_fd, "rb") as pipe:
        job = wire.decode_job(pipe.read())
    if job.path is not None:
        sys.path[0] = os.path.dirname(os.path.abspath(job.path))
    with os.fdopen(events_fd, "wb", buffering=0) as events:

        def write(data: bytes) -> None:
            view = memoryview(data)
            while view:
                view = view[events.write(view) :]

        execute(job, write)


if __name__ == "__main__":
    main()

"""A child warms up before its job, unless the job is already there or the request says otherwise."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, sys
from tapedeck import wire
from tapedeck.sandbox import child
from tapedeck.sandbox.confine import Confinement
from tapedeck.sandbox.control import EVENTS_FD, Spawn, ZygoteConfig


class Entry:
    def warm(self):
        os.write(EVENTS_FD, b"warmed ")

    def execute(self, job, write, at_exit):
        write(job.program.encode())
        return 0


def run(*, job_first=False, warm=True):
    config = ZygoteConfig("", "none", 1 << 40, 60)
    job_read, job_write = os.pipe()
    events_read, events_write = os.pipe()
    job = wire.encode_job(wire.Job("ran", [(1, 1)]))
    if job_first:
        os.write(job_write, job)
    parent = os.getpid()
    if not os.fork():
        confinement = Confinement("none", None, b"", 1 << 40, config)
        request = Spawn(1, warm=warm)
        child.run_child(confinement, Entry(), request, zygote=parent, job_pipe=job_read, events_pipe=events_write)
    os.close(events_write)
    text = b"" if job_first or not warm else os.read(events_read, 100)
    if not job_first:
        os.write(job_write, job)
    os.close(job_write)
    while part := os.read(events_read, 100):
        text += part
    os.wait()
    return text.decode()


print(run(), run(job_first=True), run(warm=False), sep=", ")
"""


def test_a_child_warms_up_only_if_it_may_and_has_no_job() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "warmed ran, ran, ran\n"

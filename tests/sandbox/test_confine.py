"""A child gives up its rights, tested in processes that confine themselves."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tapedeck.sandbox import kernel

pytestmark = pytest.mark.skipif(not kernel.LINUX, reason="confinement needs Linux")


def run(program: str) -> str:
    """Run a program in a process of its own, and return what it prints."""
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout


def test_the_zygote_of_a_normal_user_can_have_its_children_killed_first_when_memory_runs_out() -> None:
    program = """
import os
from tapedeck.sandbox import confine, kernel
score = kernel.OomScore()
if os.geteuid() == 0:
    confine._become_nobody()
kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # from here on, the file belongs to root
for value in (1000, 500, 1000):
    score.set(value)
    print(open("/proc/self/oom_score_adj").read().strip())
"""
    assert run(program).split() == ["1000", "500", "1000"]


def test_without_namespaces_nothing_changes_and_the_reason_is_stated() -> None:
    program = """
import os
from tapedeck.sandbox import kernel, namespaces
namespaces._libc.unshare = lambda flags: -1  # as if a container's seccomp profile forbade it
before = os.readlink("/proc/self/ns/mnt"), sorted(os.listdir("/"))
print(type(namespaces.enter(["/usr"])).__name__, before == (os.readlink("/proc/self/ns/mnt"), sorted(os.listdir("/"))))
"""
    assert run(program).split() == ["str", "True"]

"""What a child gives up, checked in processes that confine themselves."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tapedeck.sandbox import kernel

pytestmark = pytest.mark.skipif(not kernel.LINUX, reason="confinement needs Linux")


def test_the_child_of_a_normal_user_is_killed_first_when_memory_runs_out() -> None:
    program = """
import os
from tapedeck.sandbox import confine, kernel
if os.geteuid() == 0:
    confine._become_nobody()
kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # as the zygote does
confine._go_first_when_memory_runs_out()
print(open("/proc/self/oom_score_adj").read().strip())
"""
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert ran.stdout == "1000\n"

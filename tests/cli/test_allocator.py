"""Test that a process gives the memory of a large block back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
from tapedeck.cli.allocator import return_large_blocks

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096

returns = return_large_blocks()
before = resident()
kept = []
for _ in range(40):
    block, small = bytearray(8 << 20), bytearray(200_000)
    kept.append(small)
    del block
kept.clear()
print(returns, resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_large_blocks_leave_the_process_when_they_are_freed() -> None:
    returns, growth = subprocess.check_output([sys.executable, "-c", PROGRAM], text=True).split()
    if returns == "False":
        pytest.skip("this C library has another allocator")
    assert int(growth) < 8 << 20

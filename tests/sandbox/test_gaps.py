"""Once the gaps in memory are filled, new objects are allocated side by side, in few pages."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import gc, mmap, sys
from tapedeck.sandbox import gaps

SIZE, GAPS = int(sys.argv[1]), int(sys.argv[2])

def made(count):
    return [bytes(SIZE - 33) for _ in range(count)]

def pages(objects):
    return len({id(each) // mmap.PAGESIZE for each in objects})

spread = made(100 * GAPS)
del spread[::100]
if sys.argv[3] == "filled":
    gaps.fill_gaps()
print(pages(made(200)))
"""


@pytest.mark.parametrize(("size", "count"), [(64, 1_200), (256, 220), (512, 220)])
def test_objects_that_are_made_after_the_gaps_were_filled_share_pages(size: int, count: int) -> None:
    pages = {}
    for state in ("open", "filled"):
        command = [sys.executable, "-c", PROGRAM, str(size), str(count), state]
        pages[state] = int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
    needed = 200 * size // 4096
    assert pages["filled"] <= needed + 4 < pages["open"]

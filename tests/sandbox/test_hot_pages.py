"""A child copies the pages that a trial process has used, so that its program writes to them without an interrupt."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import mmap, os, resource
from tapedeck.sandbox import hot_pages

PAGES = 400
memory = mmap.mmap(-1, 2 * PAGES * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for page in range(2 * PAGES):
    memory[page * mmap.PAGESIZE] = 1

def use():
    for page in range(PAGES):
        memory[2 * page * mmap.PAGESIZE] += 1

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def child(prepare):
    if os.fork() == 0:
        prepare()
        before = faults()
        use()
        copied = faults() - before
        print(copied >= PAGES, copied < PAGES // 10, memory[0], memory[mmap.PAGESIZE], flush=True)
        os._exit(0)
    os.wait()

def fail():
    raise ValueError

pages = hot_pages.learn(use)
if pages is None:
    print("unknown")
else:
    child(lambda: None)
    child(pages.prepare)
    assert memory[0] == 1
    sizes = sum(pages.written[1::2])
    assert PAGES * mmap.PAGESIZE <= sizes < 2 * PAGES * mmap.PAGESIZE, sizes
    print(hot_pages.learn(fail))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel copies pages ahead on Linux only")
def test_a_child_copies_the_pages_that_a_trial_process_has_used() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    if ran.stdout == "unknown\n":
        pytest.skip("this kernel cannot copy pages ahead")
    assert ran.stdout == "True False 2 1\nFalse True 2 1\nNone\n"

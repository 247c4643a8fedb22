"""Calls of the kernel have their effect on this process."""

from __future__ import annotations

import subprocess
import sys

import pytest

COLLAPSE = """
import ctypes, mmap, re
from tapedeck.sandbox import kernel

SIZE = 8 << 20
CONTENT = bytes(range(256)) * (SIZE // 256)


def collapsed(collapse):
    # return the KiB of new memory that are in huge pages after `collapse`
    memory = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.write(CONTENT)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    before = huge()
    collapse(address)
    assert memory[:] == CONTENT
    return huge() - before


def huge():
    with open("/proc/self/smaps") as file:
        return sum(map(int, re.findall(r"AnonHugePages: *(\\d+)", file.read())))


def directly(address):
    start = -(-address // (2 << 20)) * (2 << 20)
    ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(4 << 20), 25)


print(collapsed(directly), collapsed(lambda address: kernel.collapse_memory()))
"""


def test_memory_is_moved_to_huge_pages_and_keeps_its_contents() -> None:
    """Run in a process of its own, because all its memory is moved."""
    ran = subprocess.run([sys.executable, "-c", COLLAPSE], capture_output=True, text=True, check=True)
    possible, moved = map(int, ran.stdout.split())
    if not possible:
        pytest.skip("needs Linux 6.1 or newer with huge pages")
    assert moved >= 4 << 10  # the ends of the memory are not aligned

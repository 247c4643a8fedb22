"""Copy the memory pages that a program will write to, before the program arrives.

A forked process shares the pages of the zygote. The first write to a page copies it, after an interrupt that takes as long as
the copy. A small program writes to about 3,000 pages, because Python writes the count of references into every object that it
uses. One trial process shows which pages these are. Later processes copy them in a few large pieces.

This needs Linux 5.14 and ``/proc``. Elsewhere, :func:`learn` returns ``None``.
"""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final, NamedTuple

from . import kernel

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_ENTRY_BYTES: Final = 8
"""Size of an entry of ``/proc/self/pagemap``, described in ``Documentation/admin-guide/mm/pagemap.rst`` of Linux."""
_PRESENT: Final = 1 << 63
_EXCLUSIVE: Final = 1 << 56
"""Only this process has the page."""
_LARGEST: Final = 1 << 30
"""Size of a mapping in bytes above which it is left out: its table of pages would be large."""


class HotPages(NamedTuple):
    """The ranges of memory to be written, and those of files to be read. Addresses and sizes in bytes alternate."""

    written: array[int]
    read: array[int]

    def prepare(self) -> None:
        """Copy the pages that will be written, and map those that will be read. A range that cannot be prepared is left out."""
        for ranges, advice in ((self.written, kernel.MADV_POPULATE_WRITE), (self.read, kernel.MADV_POPULATE_READ)):
            numbers = iter(ranges)
            for address, size in zip(numbers, numbers, strict=True):
                kernel.advise(address, size, advice)


def learn(run: Callable[[], None]) -> HotPages | None:
    """Call ``run`` in a forked process, and return the pages that it used. Return ``None`` if the system cannot tell."""
    before = _mappings()
    if not before:
        return None
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            run()
            written, read = _used(before)
            if kernel.advise(written[0], written[1], kernel.MADV_POPULATE_WRITE):
                _write(writing, struct.pack("=Q", written.itemsize * len(written)) + written.tobytes() + read.tobytes())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answer:
        data = answer.read()
    os.waitpid(pid, 0)
    return _decoded(data)


def _decoded(data: bytes) -> HotPages | None:
    """Return the pages that the trial process has sent, or ``None`` if it has sent none."""
    if not data:
        return None
    (size,) = struct.unpack_from("=Q", data)
    ranges = data[_ENTRY_BYTES:]
    return HotPages(array("Q", ranges[:size]), array("Q", ranges[size:]))


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _mappings() -> list[tuple[int, int, bool]]:
    """Return the start and the end of each private mapping of this process, and whether it can be written to."""
    found = []
    try:
        with open("/proc/self/maps") as file:
            for line in file:
                addresses, permissions, _, _, _, *name = line.split(None, 5)
                start, end = (int(address, 16) for address in addresses.split("-"))
                writable = permissions == "rw-p"
                special = bool(name) and name[0].startswith("[") and not name[0].startswith("[heap]")
                if end - start <= _LARGEST and not special and (writable or permissions in ("r-xp", "r--p")):
                    found.append((start, end, writable))
    except OSError:
        return []
    return found


def _used(mappings: list[tuple[int, int, bool]]) -> tuple[array[int], array[int]]:
    """Return the ranges in which this process has pages of its own, and those of files that it has read."""
    with open("/proc/self/pagemap", "rb", buffering=0) as table:
        # read all tables first, because the code below uses memory itself
        tables = [
            os.pread(table.fileno(), (end - start) // _PAGE * _ENTRY_BYTES, start // _PAGE * _ENTRY_BYTES)
            for start, end, _ in mappings
        ]
    written, read = array("Q"), array("Q")
    for (start, _, writable), data in zip(mappings, tables, strict=True):
        ranges, flags = (written, _PRESENT | _EXCLUSIVE) if writable else (read, _PRESENT)
        ranges.extend(chain.from_iterable(_ranges(data, start, flags)))
    return written, read


def _ranges(data: bytes, start: int, flags: int) -> Iterator[tuple[int, int]]:
    """Yield the address and the size of each series of pages that have these flags. ``data`` is the table from ``start``."""
    first = None
    for index, (entry,) in enumerate(struct.iter_unpack("=Q", data + bytes(_ENTRY_BYTES))):
        if entry & flags == flags:
            first = index if first is None else first
        elif first is not None:
            yield start + first * _PAGE, (index - first) * _PAGE
            first = None

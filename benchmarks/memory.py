"""Measure the memory and the processes of an idle server, for the advice on sizes in `deploy/README.md`.

    .venv/bin/python benchmarks/memory.py

The memory consists of the pages that the processes have written. A page that several processes share is divided among them.
Mapped files are counted once. Most of them are PyTorch's libraries, which the kernel can drop and read again. Needs Linux.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from _common import machine, serving, table

CHILDREN = (2, 10)
"""Numbers of idle children. The memory of one child is computed from the difference."""
SETTLED = 3.0
"""Seconds until the server's processes have loaded what they need."""


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    sizes = {}
    rows = []
    for children in CHILDREN:
        with tempfile.TemporaryDirectory() as folder, serving(folder, TAPEDECK_CHILDREN=str(children)) as (_, server):
            time.sleep(SETTLED)
            processes = [server, *descendants(server)]
            sizes[children] = sum(field_mb(each, "Pss_Anon") for each in processes)
            files = max(field_mb(each, "Rss") - field_mb(each, "Anonymous") for each in processes)
            threads = sum(len(list(Path(f"/proc/{each}/task").iterdir())) for each in processes)
        rows.append([str(children), f"{sizes[children]:.0f} MB", str(len(processes)), str(threads)])
    few, many = CHILDREN
    child = (sizes[many] - sizes[few]) / (many - few)
    print(machine())
    table("An idle server", ["children", "memory", "processes", "threads"], rows)
    print(f"\n{sizes[few] - few * child:.0f} MB + {child:.0f} MB for each child + {files:.0f} MB of mapped files")


def descendants(process: int) -> list[int]:
    """Return the processes that a process has started, and the descendants of these."""
    found = []
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *descendants(child)]
    return found


def field_mb(process: int, field: str) -> float:
    """Return a field of ``smaps_rollup`` in MB."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1000


if __name__ == "__main__":
    main()

"""Time explanations of numbers: from each leaf's gradient of the gallery's programs, hop by hop, in one process.

Times are processor times. An explanation from stored numbers should take at most 20 ms (median). The benchmark also counts the
programs in which the walk from every leaf reaches inputs, and lists the operations where the others end.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import time
from collections import Counter
from pathlib import Path
from urllib.parse import parse_qs

import torch
from tapedeck import model, wire
from tapedeck.errors import TapedeckError
from tapedeck.recording import MemoryLog, Recording
from tapedeck.tracer.main import execute, preload
from tapedeck.why import Why, why

from _common import machine, p50, p95, table

PROGRAMS = Path(__file__).parent.parent / "app" / "examples" / "programs"
MOST = 1_000
"""Largest number of explanations that are read for a leaf."""
LEAVES = 6
"""Largest number of leaves of a program."""
LISTED = 12
"""Number of operations that are listed."""


def recorded(program: str, values: int) -> Recording:
    """Record a program with tensors of up to this many elements."""
    reader, events = wire.Reader(model.Limits(), program=program), list[wire.AnyEvent]()
    with contextlib.redirect_stdout(io.StringIO()):
        execute(
            wire.Job(program, [(1, len(program.splitlines()))], values=values), lambda data: events.extend(reader.feed(data))
        )
    return Recording(MemoryLog(events), program)


def asked(recording: Recording, href: str) -> tuple[Why, float]:
    """Return the explanation at an address, and its processor time in seconds."""
    query = parse_qs(href.partition("?")[2])
    step, pass_ = (int(query[name][0]) if name in query else None for name in ("step", "pass"))
    began = time.process_time()
    found = why(recording, query["of"][0], step, pass_)
    return found, time.process_time() - began


def unequal(answer: Why) -> bool:
    """Return whether the terms of a sum, with those that are not listed and the rounding, do not add up to the number."""
    if answer.kind != "sum" or not isinstance(answer.value, float) or not isinstance(answer.rounding, float):
        return False
    terms = [float(term.value or 0) for term in answer.terms]
    size = math.fsum(map(abs, terms)) + abs(answer.value)
    parts = [*terms, float(answer.rest or 0), answer.rounding]
    return abs(math.fsum(parts) - answer.value) > 2**-50 * size


def walked(recording: Recording, start: str, hops: list[float], firsts: list[float], ends: Counter[str]) -> bool:
    """Walk from a number to inputs: first to numbers that were read, then to the largest term. Return whether one was found.

    Otherwise, count the operations where the walk ended. A sum that is not equal to its number counts as an end too.
    """
    seen, waiting, stuck = {start}, [start], Counter[str]()
    first = True
    while waiting and len(seen) < MOST:
        answer, took = asked(recording, waiting.pop())
        (firsts if first else hops).append(took)
        first = False
        if unequal(answer):
            ends["unequal sums"] += 1
            return False
        if answer.kind == "input":
            return True
        if "not known" in answer.sentence or answer.kind == "unknown":
            stuck[answer.sentence.partition("`")[2].partition("`")[0] or answer.kind] += 1
        links = [term.source for term in answer.terms[:6] if term.source is not None] + answer.reads[:6]
        for link in [*reversed(links), *(link for term in answer.terms[:6] for link in term.reads)]:
            if link.href not in seen:
                seen.add(link.href)
                waiting.append(link.href)
    ends.update(stuck.keys() or {"too many hops"})
    return False


def main() -> None:
    """Print the times, and what the walks reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, default=[PROGRAMS], help="folders of programs instead of the gallery")
    parser.add_argument("--values", type=int, default=4096, help="largest number of elements of a tensor that is recorded")
    parser.add_argument("--each", type=int, default=1, help="take every n-th program only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    preload()
    hops, firsts, ends = list[float](), list[float](), Counter[str]()
    reached, slow, programs, missed = 0, list[tuple[float, str]](), 0, list[str]()
    for path in [each for folder in options.folders for each in sorted(folder.glob("*.py"))][:: options.each]:
        recording = recorded(path.read_text("utf-8"), options.values)
        steps = recording.log.counts()[2]
        leaves = [row.id for row in recording.step_parameters(steps - 1, 0) if row.grad_after is not None] if steps else []
        if not leaves:
            continue
        programs += 1
        before, found = len(firsts), list[bool]()
        for leaf in leaves[:LEAVES]:
            try:
                found.append(walked(recording, f"why?of={leaf}.grad&step={steps - 1}", hops, firsts, ends))
            except TapedeckError as error:
                found.append(False)
                ends[type(error).__name__] += 1
        reached += all(found)
        missed += [] if all(found) else [path.stem]
        slow += [(took, path.stem) for took in firsts[before:]]
    rows = [
        [name, str(len(times)), *(f"{value * 1e3:.1f} ms" for value in (p50(times), p95(times), max(times)))]
        for name, times in (("a leaf's first hop", firsts), ("later hops", hops))
    ]
    table(f"Explanations, by processor time ({machine()})", ["", "asked", "p50", "p95", "largest"], rows)
    print(f"\nThe walks from all leaves reach inputs in {reached} of {programs} programs. The others end at:")
    print(", ".join(f"{name} ({count})" for name, count in ends.most_common(LISTED)))
    print("Programs that do not:", ", ".join(missed))
    print("Slowest:", ", ".join(f"{name} {took * 1e3:.0f} ms" for took, name in sorted(slow, reverse=True)[:LISTED]))


if __name__ == "__main__":
    main()

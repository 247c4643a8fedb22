"""The work of recording a line depends on what the line does, not on how many objects exist.

Work is the number of lines of the recorder's code that run. The body of a loop counts once for each iteration.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from greenlet import greenlet
from tapedeck import __file__ as package
from tapedeck.tracer import emitter
from tapedeck.tracer.environment import outermost

from .run_twice import record

FOLDER = package.rpartition("/")[0]
NUMPY = "values = [torch.zeros(3) for _ in range({alive})]\narrays = [value.numpy() for value in values]"
OBJECTS = {
    "NumPy arrays": NUMPY,
    "NumPy arrays and a parameter": "w = torch.ones(3, requires_grad=True)\n(w * w).sum().backward()\n" + NUMPY,
    "tensors": "{assignments}",
    "parameters of a step": "ws = [torch.ones(3, requires_grad=True) for _ in range({alive})]\nsum(ws).sum().backward()",
}
LINES = {
    "a number": "total = total + i",
    "a new tensor": "y = c * 2",
    "a write": "c += 1",
    "a write through a view": "c[1] += 1",
    "an item": "c[1] = 2.0",
    "a write through a named view": "view += 1",
}


@pytest.fixture(autouse=True, scope="module")
def objects_of_earlier_tests_frozen() -> None:
    """Exclude the objects that exist already from garbage collection, which would otherwise visit them before each program."""
    gc.collect()
    gc.freeze()


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
@pytest.mark.parametrize("objects", OBJECTS.values(), ids=OBJECTS)
def test_the_work_for_a_line_does_not_grow_with_the_number_of_objects(
    objects: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emitter, "INTERVAL", 1e9)  # pending lines are sent at the end only
    few, many = (_work_of_line(objects, line, alive) for alive in (5, 300))
    assert many <= few + 60, (few, many)  # one more line for each of 295 more objects would be 295


def _work_of_line(objects: str, line: str, alive: int) -> float:
    """Return how many lines of the recorder run for each execution of a line while ``alive`` objects exist."""
    assignments = "\n".join(f"t{index} = torch.zeros(3)" for index in range(alive))
    made = objects.format(alive=alive, assignments=assignments)

    def work(rounds: int) -> int:
        return executed_lines(
            f"import torch\n{made}\nc = torch.zeros(3)\nview = c[1:]\ntotal = 0\nfor i in range({rounds}):\n    {line}\n"
        )

    work(1)  # fills caches
    return (work(40) - work(20)) / 20


def executed_lines(program: str) -> int:
    """Return the number of lines of the recorder that recording a program executes."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(FOLDER):
            return None
        nonlocal count
        count += event == "line"
        return trace

    def traced(run: Callable[..., object]) -> greenlet:
        """Return a greenlet that sets the trace function before it runs the program, because a greenlet begins without one."""

        def run_traced(*args: Any) -> None:
            sys.settrace(trace)
            try:
                run(*args)
            finally:
                sys.settrace(None)

        return greenlet(run_traced)

    gc.collect()  # freeing objects of earlier tests later would run functions that are counted
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outermost, "greenlet", traced)
        gc.disable()
        try:
            record(program)
        finally:
            gc.enable()
    assert count
    return count

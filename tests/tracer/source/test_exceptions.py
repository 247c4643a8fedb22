"""The traceback of a program's failure ends as Python prints it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tapedeck import wire

from ..run_twice import record

PROGRAMS = {
    "a variable": "weight = 1\nprint(wieght)\n",
    "a function of the program": "def step(rate):\n    return raet\nstep(1)\n",
    "an attribute": "import math\nmath.sqroot(2)\n",
    "an attribute of an object": "class Net:\n    weight = 1\nNet().wieght\n",
    "none that is close": "print(something_else_entirely)\n",
    "a message of its own": "raise AttributeError('no. Did you mean: this?')\n",
    "in a cause": "weight = 1\ntry:\n    wieght\nexcept NameError as error:\n    raise ValueError('bad') from error\n",
    "after a context": "weight = 1\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    wieght\n",
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_the_last_line_of_a_traceback_equals_that_of_python(program: str) -> None:
    alone = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=False)
    events, _ = record(program)
    end = events[-1]
    assert isinstance(end, wire.EndEvent)
    assert end.failure is not None
    assert end.failure.traceback.splitlines()[-1] == alone.stderr.splitlines()[-1]


def test_the_streams_are_left_as_they_were() -> None:
    before = sys.stderr
    record(PROGRAMS["a variable"])
    assert sys.stderr is before

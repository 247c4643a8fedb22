"""A recorded program is the outermost frame of its stack, as with ``python FILE``."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest
from tapedeck.tracer.environment import outermost

from .run_twice import recorded

DEEPER = "def deeper(n):\n    try:\n        return deeper(n + 1)\n    except RecursionError:\n        return n\n"
PROGRAMS = {
    "the module's frame has no caller": "print(sys._getframe().f_back)",
    "a walk outwards ends at the module": "def names(frame):\n    while frame:\n        yield frame.f_code.co_name\n"
    "        frame = frame.f_back\ndef f():\n    return list(names(sys._getframe()))\nprint(f())",
    "no frame is above the module": "def f(n):\n    try:\n        return sys._getframe(n).f_code.co_name\n"
    "    except ValueError as error:\n        return str(error)\nprint(f(0), f(1), f(2), f(3), f(9))",
    "currentframe": "import inspect\nprint(inspect.currentframe().f_back, len(inspect.stack()))",
    "a generator and a comprehension": "look = lambda: sys._getframe(2)\n"
    "print([look().f_back for _ in 'a'], next(look().f_back for _ in 'a'))",
    "traceback and logging": "import logging, traceback\nlog = logging.Logger('mine')\n"
    "log.addHandler(logging.StreamHandler(sys.stdout))\nlog.warning('', stack_info=True)\n"
    "print(len(traceback.extract_stack()))\ntraceback.print_stack(file=sys.stdout, limit=9)",
    "a warning above all": "import warnings\nwith warnings.catch_warnings(record=True) as caught:\n"
    "    warnings.simplefilter('always')\n    warnings.warn('far above', stacklevel=4)\n"
    "print(caught[0].filename, caught[0].lineno)",
    "an exception": "import traceback\ndef f():\n    raise ValueError\ntry:\n    f()\nexcept ValueError as error:\n"
    "    print([each.name for each in traceback.extract_tb(error.__traceback__)], error.__traceback__.tb_frame.f_back)",
    "an invalid limit": "for limit in (0, -3, 'a'):\n    try:\n        sys.setrecursionlimit(limit)\n"
    "    except (TypeError, ValueError) as error:\n        print(error)",
}


@pytest.mark.parametrize("kind", PROGRAMS)
def test_a_program_sees_the_stack_of_an_unrecorded_run(kind: str, tmp_path: Path) -> None:
    program = f"import sys\n{PROGRAMS[kind]}\n"
    file = tmp_path / "program.py"
    file.write_text(program)
    expected = subprocess.run([sys.executable, file], capture_output=True, text=True, check=True).stdout
    got, _, _ = recorded(program, path=str(file), confined=False)
    assert expected
    assert got.stdout == expected


DEPTHS = {
    "returned": f"{DEEPER}print(deeper(0), sys.getrecursionlimit())",
    "counted": "count = 0\ndef deeper():\n    global count\n    count += 1\n    deeper()\ntry:\n    deeper()\n"
    "except RecursionError:\n    print(count, sys.getrecursionlimit())",
    "under another limit": f"sys.setrecursionlimit(400)\n{DEEPER}print(deeper(0), sys.getrecursionlimit())",
}


@pytest.mark.parametrize("kind", DEPTHS)
def test_a_program_recurses_as_deeply_as_in_an_unrecorded_run(kind: str) -> None:
    program = f"import sys\n{DEPTHS[kind]}\n"
    alone = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    (depth, limit), (expected, same) = map(int, recorded(program)[0].stdout.split()), map(int, alone.split())
    assert limit == same
    assert abs(depth - expected) <= 3  # Python does not count some calls until their code has run several times


def test_the_recursion_limit_is_restored_afterwards() -> None:
    before = sys.getrecursionlimit(), sys.getrecursionlimit, sys.setrecursionlimit
    recorded("import sys\nsys.setrecursionlimit(sys.getrecursionlimit() + 7)\n")
    assert sys.getrecursionlimit() == before[0] + 7
    sys.setrecursionlimit(before[0])
    recorded("raise ValueError\n")
    assert before == (sys.getrecursionlimit(), sys.getrecursionlimit, sys.setrecursionlimit)


def test_garbage_is_not_collected_where_no_call_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    run, collects = outermost._run, list[bool]()
    monkeypatch.setattr(outermost, "_run", lambda *given: collects.append(gc.isenabled()) or run(*given))
    recorded("x = 1\n")
    assert collects == [False, True]


def test_context_variables_keep_their_values_between_cells() -> None:
    program = (
        "import contextvars, decimal\nname = contextvars.ContextVar('name', default=1)\n"
        "token = name.set(2)\ndecimal.getcontext().prec = 5\n"
        "print(name.get(), decimal.Decimal(1) / 3)\nname.set(3)\n"
        "print(name.get())\n"
    )
    got, _, _ = recorded(program, cells=[(1, 2), (3, 4), (5, 6), (7, 7)])
    assert got.stdout == "2 0.33333\n3\n"

"""The traceback of a program's failure has the text that Python prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


WHOLE = {
    "spaces after a statement": "x = 1 / 0   \n",
    "a comment and spaces": "x = [1, 2 / 0, 3]  # text \t \n",
    "spaces inside an expression over several lines": "def f():\n    x = (1 +\n\n         2 / \n\n         0)\nf()\n",
    "a call over several lines": "import math\nmath.floor( \n    None\n)\n",
    "characters of several bytes": "x = 'ß' + 1; y = 'ß'\n",
    "wide characters": "q = '漢字';   r = ('é' + '漢' +   1 +   2)  # é \n",
    "wide characters in names": "def f(日本語):\n    return 日本語['漢字'] + 1\nx = '漢字'; y = f({'a': 1}); z = '漢字'\n",
    "tabs": "def f():\n\tx = 1 / 0\t\nf()\n",
    "no end of line": "x = 1 / 0",
    "no text": "class E(Exception):\n    pass\nraise E\n",
    "a text with spaces and empty lines": "raise ValueError('a\\n\\nb  \\n  ')\n",
    "a lone surrogate": "raise ValueError('a\\udc80b')\n",
    "notes": "e = ValueError('a')\ne.add_note('one')\ne.add_note('')\ne.add_note('two\\nthree ')\nraise e \n",
    "a cause and a context": "try:\n    1 / 0 \nexcept ArithmeticError as e:\n    try:\n        {}[1]  \n    except KeyError:\n"
    "        raise ValueError from e \n",
    "a group": "try:\n    1 / 0 \nexcept ArithmeticError as e:\n    raise ExceptionGroup('g', [e, ValueError()])  \n",
    "more than 200 calls": "def g(n):\n    n or 1 / 0\n    h(n)\ndef h(n):\n    g(n - 1)\ng(110)\n",
    "a limit of the program": "import sys\nsys.tracebacklimit = 1\ndef f():\n    1 / 0\nf()\n",
    "no traceback at all": "import sys\nsys.tracebacklimit = 0\n1 / 0\n",
    "a file that only linecache has": "import linecache\ncode = compile('def f():\\n    1 / 0\\n', '<made>', 'exec')\n"
    "exec(code)\nlinecache.cache['<made>'] = 1, None, ['def f():\\n', '    1 / 0\\n'], '<made>'\nf()\n",
    "a syntax error": "x = 1\nif x:\n\tx y \n",
    "a syntax error in exec": "exec('if True:\\npass')\n",
    "a syntax error in eval": "eval('1 +')  \n",
}
"""Programs whose whole traceback is compared."""


@pytest.mark.parametrize("program", WHOLE.values(), ids=WHOLE)
def test_the_whole_traceback_equals_that_of_python(program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "tracebacklimit", 1000, raising=False)
    file = tmp_path / "f.py"
    file.write_text(program, encoding="utf-8")
    command = [sys.executable, "-S", "-X", "utf8", str(file)]
    alone = subprocess.run(command, capture_output=True, encoding="utf-8", check=False).stderr
    end = record(program)[0][-1]
    assert isinstance(end, wire.EndEvent)
    assert end.failure is not None
    assert end.failure.traceback == alone.replace(str(file), "<program>")


def test_a_long_traceback_keeps_its_start_and_its_end() -> None:
    end = record("raise ValueError('x' * 30_000 + 'end')\n")[0][-1]
    assert isinstance(end, wire.EndEvent)
    assert end.failure is not None
    assert end.failure.traceback.startswith("Traceback (most recent call last):\n")
    assert end.failure.traceback.endswith("xend\n")


def test_a_hook_that_fails_is_reported_as_python_reports_it(tmp_path: Path) -> None:
    program = "import sys\ndef hook(*_):\n    raise KeyError('in the hook') \nsys.excepthook = hook\n1 / 0\n"
    file = tmp_path / "f.py"
    file.write_text(program)
    alone = subprocess.run([sys.executable, "-S", str(file)], capture_output=True, text=True, check=False).stderr
    events, recording = record(program)
    end = events[-1]
    assert isinstance(end, wire.EndEvent)
    assert end.failure is not None
    assert recording.stderr() + end.failure.traceback == alone.replace(str(file), "<program>")


def test_the_streams_are_left_as_they_were() -> None:
    before = sys.stderr
    record(PROGRAMS["a variable"])
    assert sys.stderr is before

"""Programs under ``tapedeck run`` fork, end and exit as under plain Python. Each program runs in separate processes.

Where the start, the parent or the end of the process matters, the interpreter is the real one.
"""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

START = "import atexit, os, signal, sys, threading, time\nimport torch\nw = torch.ones(2, requires_grad=True)\n"


def unrecorded(python: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, *arguments], cwd=folder, capture_output=True, text=True, timeout=120)


def under_tapedeck(python: str, folder: Path, *arguments: str) -> tuple[dict[str, Any], subprocess.CompletedProcess[str]]:
    """Run a file with ``tapedeck run --json``; return the run and the process."""
    line = [python, "-m", "tapedeck", "run", "--json", *arguments]
    ended = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=120)
    start = ended.stdout.index("{\n")  # a child of the program may print first
    return json.loads(ended.stdout[start:]), ended


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return tmp_path / "program.py"


# ------------------------------------------------------------------ forks

LOADER = """
from torch.utils.data import DataLoader, TensorDataset
torch.manual_seed(0)
data = TensorDataset(torch.randn(16, 2))
for (x,) in DataLoader(data, batch_size=4, shuffle=True, num_workers=2):
    w.grad = None
    (w * x).sum().backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
print(w)
"""
FORK = """
child = os.fork()
if child == 0:
    (w * 3).sum().backward()
    with open("child.txt", "w") as out:
        modes = torch.overrides._get_current_function_mode_stack()
        print(w.grad.tolist(), modes, torch.autograd._engine_run_backward.__module__, os._exit.__module__, file=out)
    ENDING
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
(w * 2).sum().backward()
print(w.grad)
"""
PROCESSES = """
import multiprocessing
def work(queue, number):
    y = torch.full((2,), float(number), requires_grad=True)
    (y * y).sum().backward()
    queue.put(y.grad.tolist())
context = multiprocessing.get_context("fork")
queue = context.Queue()
processes = [context.Process(target=work, args=(queue, number)) for number in range(2)]
for process in processes:
    process.start()
print(sorted(queue.get() for _ in processes))
for process in processes:
    process.join()
print([process.exitcode for process in processes])
(w * 2).sum().backward()
with context.Pool(2) as pool:
    print(pool.map(abs, [-1, -2]))
"""
INSIDE = """
def fork(grad):
    child = os.fork()
    if child == 0:
        (torch.ones(1, requires_grad=True) * 2).backward()
        open("child.txt", "w").write("computed")
        os._exit(4)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
w.register_hook(fork)
(w * 2).sum().backward()
print(w.grad)
"""


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        (LOADER, 4),
        (PROCESSES, 1),
        (INSIDE, 1),
        *((FORK.replace("ENDING", ending), 1) for ending in ("sys.exit(5)", "raise ValueError('in the child')", "os._exit(6)")),
    ],
    ids=["loader", "processes", "in a hook", "exit", "exception", "_exit"],
)
def test_a_forked_child_is_not_recorded_and_its_parent_is(python: str, program: Path, text: str, passes: int) -> None:
    program.write_text(START + text)
    expected = unrecorded(python, program.parent, "program.py")
    files = {path.name: path.read_text() for path in program.parent.glob("*.txt")}
    run, ended = under_tapedeck(python, program.parent, "program.py")
    assert (ended.returncode, run["stderr"], ended.stderr) == (expected.returncode, expected.stderr, "")
    assert run["stdout"] == expected.stdout
    assert (run["status"], run["passes"]) == ("done", passes)
    assert {path.name: path.read_text() for path in program.parent.glob("*.txt")} == files
    assert not [finding for finding in run["findings"] if finding["severity"] != "good"]


def test_the_output_of_a_forked_child_is_recorded(python: str, program: Path) -> None:
    program.write_text(START + "if os.fork() == 0:\n    print('from the child', flush=True)\n    os._exit(0)\nos.wait()\n")
    run, ended = under_tapedeck(python, program.parent, "program.py")
    assert (run["stdout"], ended.stderr) == ("from the child\n", "")


def test_a_process_that_outlives_the_program_does_not_delay_the_recording(python: str, program: Path) -> None:
    program.write_text(START + "os.system('sleep 30 > /dev/null 2>&1 &')\nos._exit(2)\n")
    _, ended = under_tapedeck(python, program.parent, "program.py")
    assert ended.returncode == 2


# ------------------------------------------------------------------ the end

LATE = """
def write(name):
    with open(name, "w") as out:
        out.write("written")
    print(name)
atexit.register(write, "exit.txt")
def work():
    time.sleep(0.4)
    write("thread.txt")
threading.Thread(target=work).start()
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
(w * 2).sum().backward()
print("main")
"""


@pytest.mark.parametrize(
    "ending",
    ["", "sys.exit(3)", "sys.exit()", "sys.exit('no')", "1 / 0", "raise KeyboardInterrupt", "os._exit(7)",
     "os.kill(os.getpid(), signal.SIGKILL)", "os.kill(os.getpid(), signal.SIGTERM)", "os.abort()",
     "signal.raise_signal(signal.SIGUSR1)"],
)  # fmt: skip
def test_a_program_ends_as_it_does_unrecorded(python: str, program: Path, ending: str) -> None:
    if ending in ("", "raise KeyboardInterrupt"):  # the interpreter ends the process itself
        python = sys.executable
    program.write_text(START + LATE + ending + "\n")
    expected = unrecorded(python, program.parent, "-u", "program.py")
    files = {path.name for path in program.parent.glob("*.txt")}
    for name in files:
        (program.parent / name).unlink()
    run, ended = under_tapedeck(python, program.parent, "program.py")
    assert ended.returncode == expected.returncode
    assert {path.name for path in program.parent.glob("*.txt")} == files
    assert run["passes"] == 1
    assert [line for line in expected.stdout.splitlines() if line not in run["stdout"].splitlines()] == []


def test_a_thread_pool_ends_with_the_program(python: str, program: Path) -> None:
    program.write_text(
        START + "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(2)\n"
        "later = pool.submit(lambda: (time.sleep(0.3), print('pooled')))\nprint('main')\n"
    )
    run, ended = under_tapedeck(python, program.parent, "program.py")
    assert (ended.returncode, run["stdout"]) == (0, "main\npooled\n")


def test_an_exit_function_from_before_the_program_sees_its_globals_and_arguments(program: Path) -> None:
    program.write_text("import sys\nanswer = 42\n")
    (program.parent / "sitecustomize.py").write_text(
        "import atexit, sys\natexit.register(lambda: print(vars(sys.modules['__main__']).get('answer'), sys.argv[1:]))\n"
    )
    text = (
        "import os, sys\nfrom tapedeck import wire\n"
        "job, events = os.pipe(), os.pipe()\n"
        "os.write(job[1], wire.encode_job(wire.Job(open('program.py').read(), [(1, 2)], path='program.py', "
        "arguments=['-x'], confined=False, own_streams=True)))\nos.close(job[1])\n"
        "os.set_inheritable(job[0], True), os.set_inheritable(events[1], True)\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'tapedeck.tracer', str(job[0]), str(events[1])])\n"
    )
    environment = os.environ | {"PYTHONPATH": str(program.parent)}
    ended = subprocess.run([sys.executable, "-c", text], cwd=program.parent, env=environment, capture_output=True, text=True)
    assert "42 ['-x']" in ended.stdout


def test_finalizers_of_variables_run_as_python_ends_and_their_text_is_recorded(program: Path) -> None:
    program.write_text(
        START + "class D:\n    def __init__(self, name):\n        self.name = name\n    def __del__(self):\n"
        "        text = f'freed {self.name}'\n        print(text, w.shape[0])\n        print(text, file=sys.stderr)\n"
        "b = D('b')\n_a = D('a')\nfor i in range(2):\n    x = D(i)\natexit.register(print, 'exit')\n"
    )
    run, ended = under_tapedeck(sys.executable, program.parent, program.name)
    assert run["stdout"] == "freed 0 2\nexit\nfreed b 2\nfreed a 2\nfreed 1 2\n"  # as printed by Python alone
    assert (run["stderr"], ended.stderr) == ("freed 0\nfreed b\nfreed a\nfreed 1\n", "")


def test_the_excepthook_of_the_program_receives_the_exception(python: str, program: Path) -> None:
    program.write_text(
        START + "def hook(kind, error, trace):\n    open('hook.txt', 'w').write(kind.__name__)\nsys.excepthook = hook\n1 / 0\n"
    )
    run, ended = under_tapedeck(python, program.parent, "program.py")
    assert (ended.returncode, run["status"]) == (1, "failed")
    assert (program.parent / "hook.txt").read_text() == "ZeroDivisionError"


# ------------------------------------------------------------------ the parent dies

DESERTED = """
def dead(process):
    try:
        return open(f"/proc/{process}/stat").read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
parent = os.getppid()
os.kill(parent, signal.SIGKILL)
while not dead(parent):
    time.sleep(0.01)
for step in range(300):
    w.grad = None
    (w * step).sum().backward()
    time.sleep(0.001)
open("end.txt", "w").write(str(w.grad.tolist()))
"""


@pytest.mark.parametrize("before", ["", "signal.signal(signal.SIGPIPE, signal.SIG_DFL)\n"], ids=["", "SIGPIPE kills"])
def test_the_death_of_the_parent_ends_the_recording_but_not_the_program(program: Path, before: str) -> None:
    program.write_text(START + before + DESERTED)
    line = [sys.executable, "-m", "tapedeck", "run", "program.py"]
    # returns once both pipes are closed
    ended = subprocess.run(line, cwd=program.parent, capture_output=True, text=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    assert (program.parent / "end.txt").read_text() == "[299.0, 299.0]"
    assert "Traceback" not in ended.stderr


def test_a_program_that_closes_every_descriptor_continues_and_its_files_stay_empty(python: str, program: Path) -> None:
    program.write_text(
        START + "print('first')\ntime.sleep(0.1)\nos.closerange(3, 64)\nfiles = [open(f'{i}.txt', 'w') for i in range(8)]\n"
        "for step in range(50):\n    (w * 2).sum().backward()\n    time.sleep(0.003)\nsys.exit(4)\n"
    )
    run, ended = under_tapedeck(python, program.parent, "program.py")
    assert ended.returncode == 4
    assert run["stdout"].startswith("first\n")
    assert [os.path.getsize(path) for path in program.parent.glob("*.txt")] == [0] * 8


@pytest.mark.parametrize("handled", [True, False])
def test_a_program_may_handle_sigterm(python: str, program: Path, handled: bool) -> None:
    handler = "signal.signal(signal.SIGTERM, lambda *_: (open('saved.txt', 'w').write('saved'), sys.exit(9)))\n"
    program.write_text(START + handler * handled + "(w * 2).sum().backward()\nprint('ready', flush=True)\ntime.sleep(60)\n")
    line = [python, "-m", "tapedeck", "run", "program.py"]
    with subprocess.Popen(line, cwd=program.parent, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == (9 if handled else 1)
    assert (program.parent / "saved.txt").exists() is handled
    assert ("Cancelled: The run was cancelled." in printed) is not handled
    assert "w.grad [2.0000, 2.0000]" in printed


@pytest.mark.parametrize("handled", [True, False])
def test_ctrl_c_reaches_the_program_without_a_terminal(program: Path, handled: bool) -> None:
    wait = "print('ready', flush=True); time.sleep(60)\n"
    if handled:  # from within the block, so that the signal cannot arrive before it
        wait = f"try:\n    {wait}except KeyboardInterrupt:\n    print('interrupted')\n"
    program.write_text(START + "(w * 2).sum().backward()\n" + wait)
    line = [sys.executable, "-m", "tapedeck", "run", "program.py"]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # restore the default handler, because a shell makes its background jobs ignore Ctrl+C
    default = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(line, cwd=program.parent, start_new_session=True, preexec_fn=default, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=60)
    assert process.returncode == (0 if handled else -signal.SIGINT)
    assert printed.startswith("interrupted\n") is handled
    assert errors.endswith("KeyboardInterrupt\n") is not handled
    assert "w.grad [2.0000, 2.0000]" in printed


def test_a_reader_that_stops_reading_ends_the_program_as_it_does_unrecorded(python: str, program: Path) -> None:
    program.write_text(
        START
        + "for number in range(200):\n    print(number, flush=True)\n    time.sleep(0.002)\nopen('end.txt', 'w').write('end')\n"
    )
    end = program.parent / "end.txt"
    found = []
    for command in (f"{python} program.py", f"{python} -m tapedeck run program.py"):
        line = f"{command} | head -n 1"
        ended = subprocess.run(line, shell=True, cwd=program.parent, capture_output=True, text=True, timeout=60)
        found.append((ended.stdout, end.exists()))
        end.unlink(missing_ok=True)
        assert "tapedeck" not in ended.stderr
    assert found[0] == found[1]


# ------------------------------------------------------------------ killed early


@pytest.mark.parametrize(("seconds", "flush"), [(0.0, True), (0.5, False)])
def test_a_program_that_is_killed_keeps_what_it_flushed_or_did_long_before(
    python: str, program: Path, seconds: float, flush: bool
) -> None:
    """The program works for ``seconds`` of its own processor time before another process kills it."""
    program.write_text(
        "import os, subprocess, time, torch\n"
        "killer = subprocess.Popen(['/bin/sh', '-c', f'read line; kill -9 {os.getpid()}'], stdin=subprocess.PIPE)\n"
        "w = torch.ones(2, requires_grad=True)\n(w * 2).sum().backward()\nwith torch.no_grad():\n    w -= w.grad\n"
        f"print('begun', flush={flush})\nend = time.process_time() + {seconds}\ntotal = 0\n"
        "while time.process_time() < end:\n    total += 1\n"
        "killer.stdin.write(b'now\\n')\nkiller.stdin.flush()\nwhile True:\n    total += 1\n"
    )
    run, ended = under_tapedeck(python, program.parent, "program.py")
    assert ended.returncode == -signal.SIGKILL
    assert run["status"] == "killed"
    assert run["stdout"] == "begun\n"
    assert run["passes"] == 1
    assert 3 in {line["line"] for line in run["lines"]} or flush
    assert re.search("SIGKILL", run["error"]["message"])


# ------------------------------------------------------------------ the beginning

SHOW = """
import argparse, random, sys
import numpy, torch
from . import neighbour
options = argparse.ArgumentParser()
options.add_argument("--epochs", type=int)
print(options.parse_args().epochs, sys.argv[0], __name__, __package__, __spec__.name, __file__, neighbour.VALUE, sys.path[0])
print(sys.modules["__main__"].__spec__ is __spec__, sys.modules["package"].IMPORTED)
(torch.ones(1, requires_grad=True) * neighbour.VALUE).backward()
"""


@pytest.mark.parametrize("name", ["package.module", "package"])
def test_a_module_runs_as_python_runs_it(python: str, tmp_path: Path, name: str) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("IMPORTED = True\n")
    (tmp_path / "package" / "neighbour.py").write_text("VALUE = 3\n")
    for file in ("module.py", "__main__.py"):
        (tmp_path / "package" / file).write_text(SHOW)
    expected = unrecorded(python, tmp_path, "-m", name, "--epochs", "2")
    run, ended = under_tapedeck(python, tmp_path, "-m", name, "--epochs", "2")
    assert (ended.returncode, run["stdout"]) == (0, expected.stdout), expected.stderr
    assert run["passes"] == 1


def test_a_link_to_a_program_imports_the_modules_next_to_the_program(python: str, tmp_path: Path) -> None:
    for folder in ("real", "linked"):
        (tmp_path / folder).mkdir()
    (tmp_path / "real" / "neighbour.py").write_text("def fail():\n    raise ValueError\n")
    (tmp_path / "real" / "program.py").write_text("import neighbour, sys\nprint(sys.path[0], __file__)\nneighbour.fail()\n")
    (tmp_path / "linked" / "program.py").symlink_to("../real/program.py")
    run, _ = under_tapedeck(python, tmp_path / "linked", "program.py")
    assert run["stdout"] == f"{tmp_path / 'real'} {tmp_path / 'linked' / 'program.py'}\n"
    assert run["error"]["origin"] == {"file": "neighbour.py", "line": 2}


RANDOM = "import random\nimport numpy as np, torch\nprint(random.random(), np.random.rand(), torch.rand(1).item())\n"


def test_the_random_state_of_a_program_is_its_own_unless_a_seed_is_given(python: str, program: Path) -> None:
    program.write_text(RANDOM)
    (one, _), (two, _) = (under_tapedeck(python, program.parent, "program.py") for _ in range(2))
    assert all(a != b for a, b in zip(one["stdout"].split(), two["stdout"].split(), strict=True))
    (one, _), (two, _) = (under_tapedeck(python, program.parent, "--seed", "3", "program.py") for _ in range(2))
    assert one["stdout"] == two["stdout"]
    program.write_text(
        "import random\nimport numpy as np, torch\nrandom.seed(1), np.random.seed(1), torch.manual_seed(1)\n" + RANDOM
    )
    run, _ = under_tapedeck(python, program.parent, "program.py")
    assert run["stdout"] == unrecorded(python, program.parent, "program.py").stdout

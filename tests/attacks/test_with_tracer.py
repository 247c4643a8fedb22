"""The tracer works in the sandbox, for correct programs, failing programs and attacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tapedeck import wire
from tapedeck.executor import ENTRY
from tapedeck.model import Limits
from tapedeck.sandbox.landlock import version

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.skipif(version() == 0, reason="this kernel has no Landlock"),
]

SEED = """\
import torch

x = torch.tensor([1., 2., 3.])
y = torch.tensor([2., 4., 6.])
m = torch.tensor(1., requires_grad=True)
learning_rate = 0.1171875

y_pred = m * x
loss = ((y_pred - y) ** 2).mean()
loss.backward()
print(m.grad)
"""


@pytest.fixture(scope="module")
def tracer(make_runner: Any) -> Iterator[Any]:
    made = make_runner("full", entry=ENTRY)
    yield made
    made.close()


def test_the_last_section_of_the_notebook_is_recorded(tracer: Any) -> None:
    outcome = tracer.run(SEED)
    assert outcome.status == "done", outcome.failure
    assert outcome.text == "tensor(-9.3333)\n"
    kinds = {type(event) for event in outcome.events}
    assert kinds >= {
        wire.StartedEvent,
        wire.GraphEvent,
        wire.PassEvent,
        wire.StepEvent,
        wire.ParameterEvent,
        wire.LinesEvent,
        wire.EndEvent,
    }


def test_text_that_goes_around_sys_stdout_is_recorded_in_order(tracer: Any) -> None:
    program = """\
import ctypes, os, sys
print("printed")
os.write(1, b"written\\n")
os.write(2, "é\\n".encode())
print("again")
sys.__stdout__.write("below\\n")
sys.__stdout__.flush()
with os.fdopen(os.dup(1), "w") as copy:
    copy.write("copied\\n")
ctypes.CDLL(None).puts(b"of a C library")
"""
    outcome = tracer.run(program)
    assert outcome.status == "done", outcome.failure
    printed = [(event.stream, event.text) for event in outcome.events if isinstance(event, wire.OutputEvent)]
    lines = "".join(text for stream, text in printed if stream == "stdout").split("\n")
    assert lines == ["printed", "written", "again", "below", "copied", "of a C library", ""]
    assert [text for stream, text in printed if stream == "stderr"] == ["é\n"]
    assert printed.index(("stderr", "é\n")) == next(i for i, (_, text) in enumerate(printed) if "again" in text) - 1


def test_a_flood_of_text_is_cut_and_the_program_continues(tracer: Any) -> None:
    program = "import os\nfor _ in range(100): os.write(1, b'x' * 100_000)\nfor _ in range(100): print('x' * 100_000)\n1 / 0"
    outcome = tracer.run(program)
    assert (outcome.status, outcome.failure.type) == ("failed", "ZeroDivisionError")
    assert set(outcome.text) == {"x"}
    assert len(outcome.text) == Limits().stdout_bytes


def test_a_progress_bar_prints_no_warning_about_its_thread(tracer: Any) -> None:
    program = """\
import sys
from tqdm.auto import tqdm, trange
for i in trange(3, file=sys.stdout):
    pass
print(tqdm.monitor_interval, [i for i in tqdm(range(2))])
"""
    outcome = tracer.run(program)
    assert outcome.status == "done", outcome.failure
    assert "0 [0, 1]" in outcome.text
    assert "100%" in outcome.text
    assert "thread" not in outcome.text
    assert "Warning" not in outcome.text


def test_modules_can_be_imported_after_their_caches_are_invalidated(tracer: Any) -> None:
    imports = "import colorsys, wave, torch.ao.nn.intrinsic\nprint(colorsys.rgb_to_hsv(1, 0, 0))\n"
    outcome = tracer.run(f"import importlib\nimportlib.invalidate_caches()\n{imports}")
    assert (outcome.status, outcome.text) == ("done", "(0.0, 1.0, 1)\n"), outcome.failure


def test_finalizers_of_variables_run_before_the_process_ends(tracer: Any) -> None:
    program = """\
import atexit, os
values = [1, 2]
class D:
    def __init__(self, name):
        self.name = name
    def __del__(self):
        print("freed", self.name, values)
        os.write(1, b"written\\n")
b = D("b")
_a = D("a")
held = [D("held")]
def cycle():
    made = D("cycle")
    made.itself = made
cycle()
atexit.register(print, "exit")
"""
    outcome = tracer.run(program)
    assert outcome.status == "done", outcome.failure
    freed = "".join(f"freed {name} [1, 2]\nwritten\n" for name in ("cycle", "b", "a", "held"))
    assert outcome.text == f"exit\n{freed}"  # as printed by Python alone


def test_only_finalizers_of_the_program_run_as_it_ends(tracer: Any) -> None:
    program = """\
import atexit, torch, weakref
class D: pass
of_torch = [each for each in weakref.finalize._registry if each.atexit]
first, second = D(), D()
weakref.finalize(first, print, "first")
weakref.finalize(second, print, "second")
atexit.register(print, "exit", len(of_torch))
"""
    outcome = tracer.run(program)
    assert (outcome.status, outcome.text) == ("done", "exit 0\nsecond\nfirst\n"), outcome.failure


def test_two_runs_of_a_program_have_the_same_recording(tracer: Any) -> None:
    program = "import torch, random\nprint(torch.rand(2), random.random(), {'a', 'b', 'c', 'd'}, hash('x'))\n" + SEED
    first, second = (tracer.run(program) for _ in range(2))
    assert first.text == second.text
    # The times at which these events are emitted depend on the clock.
    timed = (wire.EndEvent, wire.LinesEvent, wire.ProgressEvent, wire.OutputEvent)
    kept = [[event for event in outcome.events if not isinstance(event, timed)] for outcome in (first, second)]
    assert kept[0] == kept[1]


@pytest.mark.parametrize(
    ("program", "status", "text"),
    [
        ("while True: pass", "timed_out", "stopped after"),
        ("import torch\ntorch.ones(25 << 30)", "out_of_memory", "memory"),
        ("x = bytearray(100 << 30)", "out_of_memory", "memory"),
        ("import sys\nsys.exit(3)", "failed", "3"),
        ("import os\nos._exit(3)", "killed", "exit status 3"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "killed", "SIGKILL"),
        ("import os\nos.abort()", "killed", "SIGABRT"),
        ("x = = 1", "failed", "invalid syntax"),
        ("open('/etc/passwd')", "failed", "Permission denied"),
        ("import threading\nthreading.Thread(target=print).start()", "failed", "thread"),
        ("def f(): f()\nf()", "failed", "recursion"),
    ],
)
def test_each_failure_has_its_own_status_and_message(tracer: Any, program: str, status: str, text: str) -> None:
    outcome = tracer.run(program, wall_seconds=1.0 if status == "timed_out" else 30.0)
    assert (outcome.status, text in outcome.failure.message) == (status, True), outcome.failure
    assert tracer.run(SEED).status == "done"


def test_the_recording_before_a_time_limit_is_kept(tracer: Any) -> None:
    program = SEED + "print('before')\nwhile True:\n    again = m * 2\n"
    outcome = tracer.run(program, wall_seconds=1.0)
    assert (outcome.status, outcome.failure.line - program.count("\n")) in [("timed_out", -1), ("timed_out", 0)]
    assert "before" in "".join(event.text for event in outcome.events if isinstance(event, wire.OutputEvent))
    assert any(isinstance(event, wire.PassEvent) for event in outcome.events)


@pytest.fixture(scope="module")
def roomy(make_runner: Any) -> Iterator[Any]:
    """A runner with the memory limit of a server."""
    made = make_runner("full", Limits(wall_seconds=100.0), entry=ENTRY)
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "rest",
    [
        "y.backward()\nprint(x.grad)\ndel y",
        "del y\nprint(x.grad)",
        "kept = [y, x * 2, y * 3]\nkept[2].backward()\ny = None\nkept.pop(0)\nkept.clear()",
    ],
    ids=["after a backward", "before a backward", "in a list"],
)
def test_a_graph_too_deep_for_a_usual_stack_is_recorded_and_freed(roomy: Any, rest: str) -> None:
    program = (
        "import torch\nfrom functools import reduce\nx = torch.ones(1, requires_grad=True)\n"
        f"y = reduce(lambda y, _: y * 1.0001, range(60_000), x)\n{rest}\nprint('over')\n"
    )
    outcome = roomy.run(program, wall_seconds=100.0)
    assert outcome.status == "done", outcome.failure
    assert outcome.text.endswith("over\n")
    graphs = [len(event.kind) for event in outcome.events if isinstance(event, wire.GraphEvent)]
    if rest.startswith("del"):
        assert not graphs  # the tensor is freed at once, as without a recorder, so no pass can follow
    else:
        assert max(graphs) > 60_000


ASYNC = """\
import asyncio
async def double(x):
    await asyncio.sleep(0.01)
    return 2 * x
async def main():
    async with asyncio.timeout(5):
        return await asyncio.gather(*(double(i) for i in range(3)))
print(asyncio.run(main()))
"""


def test_coroutines_run_in_the_sandbox(tracer: Any) -> None:
    outcome = tracer.run(ASYNC)
    assert (outcome.status, outcome.text) == ("done", "[0, 2, 4]\n"), outcome.failure


@pytest.mark.parametrize(
    ("program", "alternative"),
    [
        ("import threading\nthreading.Thread(target=print).start()", "one thread"),
        ("from concurrent.futures import ThreadPoolExecutor\nThreadPoolExecutor().submit(print)", "one thread"),
        (
            "import torch\nfrom torch.utils.data import DataLoader\nlist(DataLoader(torch.arange(4), num_workers=2))",
            "num_workers=0",
        ),
        ("import multiprocessing\nmultiprocessing.Pool(2)", "one process"),
        ("import subprocess\nsubprocess.run(['ls'])", "one process"),
        ("import os\nos.fork()", "compute and print"),
        ("import tempfile\ntempfile.mkdtemp()", "io.BytesIO"),
        ("import torch\ntorch.save({}, 'model.pt')", "io.BytesIO"),
        ("open('data.csv')", "put data into the program"),
        ("import urllib.request\nurllib.request.urlopen('http://example.com')", "no network"),
        ("import asyncio\nasyncio.run(asyncio.open_connection('example.com', 80))", "one thread"),
    ],
)
def test_the_message_of_a_denied_operation_names_an_alternative(tracer: Any, program: str, alternative: str) -> None:
    failure = tracer.run(program).failure
    assert failure.message.count(": here ") == 1, failure
    assert alternative in failure.message.partition(": here ")[2]
    assert "your own machine" in failure.message

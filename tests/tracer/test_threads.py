"""One thread of a program is recorded. If a second thread trains, the recording ends and the program continues."""

from __future__ import annotations

import threading

import msgspec
import pytest
import torch
from tapedeck import model, wire
from tapedeck.explain.findings import find
from tapedeck.recording import MemoryLog, Recording

from .run_twice import all_bits, record, recorded, unrecorded

TRAIN = """
def train(seed, steps=4):
    generator = torch.Generator().manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for step in range(steps):
        x = torch.randn(4, 2, generator=generator)
        optimizer.zero_grad()
        loss = ((net(x) - 1) ** 2).mean()
        loss.backward()
        optimizer.step()
    trained[seed] = [p.detach().clone() for p in net.parameters()]
    print(f"trained {seed}\\n", end="")
"""
START = "import queue, threading, torch\nfrom concurrent.futures import ThreadPoolExecutor\ntrained = {}\n" + TRAIN


def signals(events: list[wire.AnyEvent]) -> list[wire.SeveralThreads]:
    return [event for event in events if isinstance(event, wire.SeveralThreads)]


def as_unrecorded(program: str) -> tuple[list[wire.AnyEvent], tuple[int, int, int]]:
    """Record a program, check that its result is that of an unrecorded run, and return its events and counts."""
    outcome, events, recording = recorded(program)
    expected = unrecorded(program)
    assert sorted(outcome.stdout.splitlines()) == sorted(expected.stdout.splitlines())
    assert outcome.error == expected.error
    assert {name: _values(value) for name, value in outcome.variables["trained"].items()} == {
        name: _values(value) for name, value in expected.variables["trained"].items()
    }
    assert all_bits(outcome.variables) == all_bits(expected.variables)
    assert not [event for event in events if isinstance(event, wire.RecorderFailed)]
    return events, recording.log.counts()


def _values(tensors: list[torch.Tensor]) -> list[object]:
    return [tensor.tolist() for tensor in tensors]


def test_a_training_in_one_thread_is_recorded_as_in_the_main_thread() -> None:
    thread = START + "thread = threading.Thread(target=train, args=(1,))\nthread.start()\nthread.join()\nprint('end')\n"
    events, counts = as_unrecorded(thread)
    assert not signals(events)
    _, in_main = record(START + "train(1)\n")
    assert counts == in_main.log.counts()
    _, recording = record(thread)
    for index in range(counts[2]):
        step, expected = (msgspec.to_builtins(each.step(index)) for each in (recording, in_main))
        for values in (step["values"], step["earlier"]):
            values.pop("20", None)  # the line that makes the thread
        assert step == expected
    for index in range(counts[0]):
        assert recording.graph(index) == in_main.graph(index)
    assert {line.line for line in recording.lines()} > {line.line for line in in_main.lines()} - {len(START.splitlines()) + 1}


def test_the_statement_that_starts_the_first_thread_does_not_end_that_threads_optimizer_step() -> None:
    waits = "        if step == 1:\n            started.set()\n            goes_on.wait(60)\n        return super().step()\n"
    program = (
        "import threading, torch\nstarted, goes_on = threading.Event(), threading.Event()\ntrained = {}\n"
        f"class Waiting(torch.optim.SGD):\n    def step(self):\n        step = len(trained)\n{waits}"
        + TRAIN.replace("torch.optim.SGD", "Waiting").replace(
            "        optimizer.step()", "        trained[~step] = []\n        optimizer.step()"
        )
        + "def start():\n    thread.start()\n    started.wait(60)\n"
    )
    thread = "thread = threading.Thread(target=train, args=(1,))\nstart()\ngoes_on.set()\nthread.join()\n"
    _, counts = as_unrecorded(program + thread)
    assert counts == record(f"{program}goes_on.set()\ntrain(1)\n")[1].log.counts()


def test_threads_without_gradients_do_not_disturb_the_recording() -> None:
    program = (
        START + "batches = queue.Queue()\ndef load():\n    for seed in (1, 2):\n        batch = torch.ones(3) * seed\n"
        "        batch += 1\n        with torch.no_grad():\n            batch = torch.nn.Linear(3, 3)(batch)\n"
        "        print('loaded')\n        batches.put(seed)\n"
        "thread = threading.Thread(target=load)\nthread.start()\nfor _ in range(2):\n    train(batches.get())\nthread.join()\n"
    )
    events, counts = as_unrecorded(program)
    assert not signals(events)
    assert counts[1:] == (8, 8)


SEVERAL = {
    "at once": (
        "threads = [threading.Thread(target=train, args=(seed, 20)) for seed in range(3)]\n"
        "for thread in threads:\n    thread.start()\nfor thread in threads:\n    thread.join()\n"
    ),
    "one after the other": (
        "for seed in range(3):\n    thread = threading.Thread(target=train, args=(seed,))\n    thread.start()\n"
        "    thread.join()\n"
    ),
    "main, thread, main": (
        "train(0)\nthread = threading.Thread(target=train, args=(1,))\nthread.start()\nthread.join()\ntrain(2)\n"
    ),
    "beside main": (
        "thread = threading.Thread(target=train, args=(0, 30))\nthread.start()\ntrain(1, 30)\nthread.join()\n"
    ),
    "a pool": "with ThreadPoolExecutor(3) as pool:\n    list(pool.map(train, range(6)))\n",
}  # fmt: skip


@pytest.mark.parametrize("several", SEVERAL.values(), ids=SEVERAL.keys())
def test_a_second_training_thread_ends_the_recording_and_not_the_program(several: str) -> None:
    program = START + several
    events, _ = as_unrecorded(program)
    assert len(signals(events)) == 1
    assert signals(events)[0].line > 0
    assert isinstance(events[-1], wire.EndEvent)
    assert events[-1].status == "done"


def test_a_warning_in_the_main_thread_names_the_program_after_a_thread_has_ended_the_recording() -> None:
    program = START + (
        "import warnings\nfirst, second = threading.Event(), threading.Event()\n"
        "def train_twice():\n    train(0)\n    first.set()\n    second.wait(60)\n    ended = 1\n    ended = 2\n"
        "def train_once():\n    first.wait(60)\n    train(1)\n    second.set()\n"
        "threads = [threading.Thread(target=each) for each in (train_twice, train_once)]\n"
        "for thread in threads:\n    thread.start()\nfor thread in threads:\n    thread.join()\n"
        "with warnings.catch_warnings(record=True) as caught:\n    warnings.simplefilter('always')\n"
        "    torch.nn.functional.softmax(torch.ones(2))\nprint(caught[0].filename, caught[0].lineno)\n"
    )
    events, recording = record(program)
    assert len(signals(events)) == 1
    assert recording.stdout().splitlines()[-1] == f"<program> {program.count(chr(10)) - 1}"


def test_everything_before_the_second_thread_is_kept_and_a_note_names_its_line() -> None:
    program = START + SEVERAL["main, thread, main"]
    _, counts = as_unrecorded(program)
    assert counts[1:] == (4, 4)
    _, recording = record(program)
    (note,) = [
        finding
        for finding in find(recording, model.Program(program, "program", [(1, program.count("\n") + 1)]))
        if finding.code == "several-threads"
    ]
    assert note.line == START[: START.index("        loss.backward")].count("\n") + 1


IN_THREAD = "thread = threading.Thread(target=work)\nthread.start()\nthread.join()\n"
OF_ONE_TRAINING = {
    "a forward with gradients, then main trains": (
        f"def work():\n    print(float(net(torch.ones(2)).detach()))\n{IN_THREAD}train(1)\n"
    ),
    "main trains, then a forward with gradients": (
        f"def work():\n    print(float(net(torch.ones(2)).detach()))\ntrain(1)\n{IN_THREAD}train(2)\n"
    ),
    "a forward with gradients beside main": (
        "stop = threading.Event()\ndef work():\n    while not stop.is_set():\n        net(torch.ones(2)).exp()\n"
        "thread = threading.Thread(target=work)\nthread.start()\ntrain(1, 20)\nstop.set()\nthread.join()\n"
    ),
    "main computes with gradients, then a thread trains": (
        f"print(float(net(torch.ones(2)).detach()))\ndef work():\n    train(1)\n{IN_THREAD}"
    ),
    "an inference in a pool": (
        "def work(i):\n    with torch.inference_mode():\n        return float(net(torch.ones(2) * i))\n"
        "train(1)\nwith ThreadPoolExecutor(3) as pool:\n    print(list(pool.map(work, range(5))))\ntrain(2)\n"
    ),
    "leaves of a pool": (
        "def work(i):\n    v = torch.nn.Parameter(torch.ones(2))\n    return v, v * i\n"
        "with ThreadPoolExecutor(3) as pool:\n    made = list(pool.map(work, range(5)))\ntrain(1)\n"
    ),
}  # fmt: skip


@pytest.mark.parametrize("program", OF_ONE_TRAINING.values(), ids=OF_ONE_TRAINING.keys())
def test_threads_that_do_not_train_end_nothing(program: str) -> None:
    net = "net = torch.nn.Linear(2, 1)\nwith torch.no_grad():\n    net.weight.fill_(1)\n    net.bias.fill_(0)\n"
    events, counts = as_unrecorded(START + net + program)
    assert not signals(events)
    trainings = program.count("train(")
    assert counts[1:] == ((20, 20) if "20" in program else (4 * trainings, 4 * trainings))
    recording = Recording(MemoryLog(events), START + net + program)
    for step in map(recording.step, range(counts[2])):
        lines = {node.name: node.line for node in recording.graph(int(step.passes[0].graph[1:])).nodes if node.name}
        assert {lines["loss"], lines["net.0.weight"], lines["net.2.bias"]} - {15, 7} == set()


VIEWS = (
    "class Twice(torch.autograd.Function):\n    @staticmethod\n    def forward(ctx, x):\n        return x * 2\n"
    "    @staticmethod\n    def backward(ctx, g):\n        return g * 2\n"
    "(w * w).sum().backward()\nmade = []\ndef work():\n    a, b = Twice.apply(w)[:2]\n"
    "    made.append(torch.nn.functional.linear(a.view(1, 1), b.view(1, 1), w[:1]))\n"
)
SHARED = {
    "the forward in a pool": (
        "def work(i):\n    y = w * i\n    return y.exp().sum()\nfor step in range(3):\n    w.grad = None\n",
        "    with ThreadPoolExecutor(3) as pool:\n        parts = list(pool.map(work, range(3)))\n",
        "    parts = [work(i) for i in range(3)]\n",
        "    torch.stack(parts).sum().backward()\n",
    ),
    "the forward in main, the training in a thread": (
        "y = w * 2\ny += 1\ndef work():\n    z = (y * y).sum()\n    z.backward()\n",
        "thread = threading.Thread(target=work)\nthread.start()\nthread.join()\n",
        "work()\n\n\n",
        "print(w.grad)\n",
    ),
    "a custom function and views": (
        VIEWS,
        "thread = threading.Thread(target=work)\nthread.start()\nthread.join()\n",
        "work()\n\n\n",
        "made[0].sum().backward()\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("parts", SHARED.values(), ids=SHARED.keys())
def test_nodes_in_a_pass_have_the_lines_of_the_other_thread_that_made_them(parts: tuple[str, str, str, str]) -> None:
    start = START + "w = torch.ones(3, requires_grad=True)\n" + parts[0]
    threaded, same = start + parts[1] + parts[3], start + parts[2].ljust(1) + parts[3]
    events, counts = as_unrecorded(threaded)
    assert not signals(events)
    _, expected = record(same)
    assert counts[1:] == expected.log.counts()[1:]
    moved = threaded.count("\n") - same.count("\n")
    recording = Recording(MemoryLog(events), threaded)
    for index in range(counts[1]):
        ours, theirs = (
            [(node.op, node.line) for node in each.graph(each.log.pass_(index).graph).nodes if node.kind == "op"]
            for each in (recording, expected)
        )
        last = same.count("\n")
        assert ours == [(op, line + moved if line == last and moved else line) for op, line in theirs if line is not None]


def test_threads_start_as_before_once_a_recording_has_ended() -> None:
    original = threading.Thread._bootstrap_inner  # type: ignore[attr-defined]
    record(START + SEVERAL["at once"])
    assert threading.Thread._bootstrap_inner is original  # type: ignore[attr-defined]
    assert torch._C._len_torch_function_stack() == 0


def test_the_exception_of_a_thread_is_not_that_of_the_program() -> None:
    program = (
        START
        + "threading.excepthook = lambda args: print('hook', args.exc_type.__name__)\n"
        + (
            "thread = threading.Thread(target=lambda: (torch.ones(1, requires_grad=True) * 1 / 0, 1 / 0))\nthread.start()\n"
            "thread.join()\ntrain(1)\n"
        )
    )
    events, _ = as_unrecorded(program)
    assert isinstance(events[-1], wire.EndEvent)
    assert events[-1].status == "done"

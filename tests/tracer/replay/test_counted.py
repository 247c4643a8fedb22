"""A watch or a search runs the program without the recorder, and counts statements to know the step."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from tapedeck import wire
from tapedeck.recording import MemoryLog, Recording
from tapedeck.replays.counted import CountedProof, counted_order

from ..run_twice import record, replay
from .test_watch import LOOPS, START, TRAINING

LOSS = "loss.item()"
NO_LOOP = """\
import torch
w = torch.ones(2, requires_grad=True)
loss = (w * 2).sum()
loss.backward()
w.grad = None
loss = (w * 3).sum()
loss.backward()
w.grad.zero_()
last = loss * 2
"""
FUNCTIONAL = """\
import torch
w = torch.tensor(1., requires_grad=True)
for i in range(3):
    loss = (w - 3) ** 2
    g, = torch.autograd.grad(loss, w)
    w = (w - 0.1 * g).detach().requires_grad_()
"""
CATCHING = """\
import torch
w = torch.ones(2, requires_grad=True)
for i in range(3):
    try:
        loss = w.sum()
        loss.backward()
    except BaseException:
        pass
"""
CHECKPOINT = """\
import torch
from torch.utils.checkpoint import checkpoint
def f(t):
    s = t.sin()
    return s * 2
w = torch.ones(2, requires_grad=True)
for i in range(3):
    loss = checkpoint(f, w, use_reentrant=True).sum()
    loss.backward()
"""
PROGRAMS = {
    "training": (TRAINING, 11, LOSS),
    "random numbers": (
        TRAINING,
        8,
        "noise.item(), torch.rand(2), __import__('random').random(), __import__('numpy').random.randn()",
    ),
    "statements of its own": ("def half(t):\n    u = t * 0.5\n    return u\n" + TRAINING, 14, "half(half(loss)).item()"),
    "a pass of its own": (TRAINING, 9, "torch.autograd.functional.vjp(torch.sin, torch.ones(2), torch.ones(2))[1].sum()"),
    "every write": (TRAINING, 0, "model.weight"),
    "errors": (TRAINING, 9, "model.weight.grad.norm()"),
    "an early line": (TRAINING, 5, "x.sum()"),
    **{name: (START + loop, 9, LOSS) for name, loop in LOOPS.items()},
    "no loop": (NO_LOOP, 9, "last"),
    "an exception at the end": (TRAINING + "    if step == 3:\n        raise ValueError('too far')\n", 12, LOSS),
    "an exit": (TRAINING + "    if step == 3:\n        raise SystemExit\n", 12, LOSS),
    "a functional update": (FUNCTIONAL, 6, "w.item()"),
    "a program that catches everything": (CATCHING, 6, "i"),
    "a checkpoint": (CHECKPOINT, 4, "s.sum().item()"),
}


def series(events: Iterable[wire.AnyEvent]) -> list[tuple[Any, ...]]:
    """Return the step, line, kind, number and text of each value."""
    found = []
    for event in (each for each in events if isinstance(each, wire.ExpressionValues)):
        texts = iter(event.texts)
        columns = wire.int32(event.steps, "steps"), wire.int32(event.lines, "lines")
        for step, line, kind, number in zip(*columns, event.kinds, np.frombuffer(event.numbers, "<f8"), strict=True):
            found.append((step, line, kind, number, next(texts) if kind >= wire.IS_TEXT else None))
    return found


def counted(program: str, order: wire.ReplayOrder, recording: Recording) -> tuple[CountedProof, list[wire.AnyEvent]]:
    """Replay a program by counting, and compare it with a recording."""
    found = counted_order(recording, order)
    assert found is not None
    events = replay(program, **{name: getattr(found, name) for name in found.__struct_fields__})
    proof = CountedProof(recording, order.step, seeks=order.what == "seek")
    proof.feed(events)
    return proof, events


def ordered(recording: Recording, line: int, expression: str, what: Any = "watch") -> wire.ReplayOrder:
    return wire.ReplayOrder(what, step=recording.log.counts()[2] - 1, line=line, expression=expression)


@pytest.mark.parametrize(("program", "line", "expression"), PROGRAMS.values(), ids=PROGRAMS.keys())
def test_a_counted_replay_gives_the_values_and_steps_of_one_that_records(program: str, line: int, expression: str) -> None:
    _, recording = record(program)
    order = ordered(recording, line, expression)
    proof, events = counted(program, order, recording)
    assert (proof.complete, proof.lost, proof.steps) == (True, False, order.step + 1)
    whole = replay(program, what=order.what, step=order.step, line=line, expression=expression)
    assert series(proof.answers) == series(whole)
    assert series(events)
    assert not any(isinstance(event, wire.StepEvent | wire.PassEvent | wire.GraphEvent) for event in events)


def test_a_counted_search_stops_at_the_end_of_the_step_in_which_the_condition_holds() -> None:
    _, recording = record(TRAINING)
    proof, events = counted(TRAINING, ordered(recording, 9, "step == 2 and loss.item()", "seek"), recording)
    assert (proof.complete, proof.steps) == (True, 3)
    assert [value[:2] for value in series(events)] == [(2, 9)]
    assert "".join(event.text for event in events if isinstance(event, wire.OutputEvent)).count("\n") == 3
    proof, events = counted(TRAINING, ordered(recording, 9, "loss.item() > 1e9", "seek"), recording)
    assert (proof.complete, proof.steps, series(events)) == (True, 5, [])


@pytest.mark.parametrize(
    "change",
    [
        "x[3, 1] += 1e-5 * runs",
        "x = x[: 20 - runs]",
        "optimizer.param_groups[0]['lr'] += 0.1 * runs",
        "if runs:\n    _ = 1",
        "def f(g):\n    if runs:\n        torch.ones(1, requires_grad=True).sum().backward()\nmodel.bias.register_hook(f)",
        "for _ in range(2 * runs):\n    x = x.detach()",
    ],
)
@pytest.mark.parametrize("what", ["watch", "seek"])
def test_a_counted_replay_of_a_program_that_differs_in_its_second_run_is_lost(change: str, what: str) -> None:
    builtins._runs_by_test = []  # type: ignore[attr-defined]
    count = "import builtins; builtins._runs_by_test.append(1); runs = len(builtins._runs_by_test) - 1\n"
    program = count + START + change + "\n" + LOOPS["accumulation"]
    _, recording = record(program)
    expression = "loss.item()" if what == "watch" else "step == 2"
    proof, _ = counted(program, ordered(recording, len(program.splitlines()), expression, what), recording)
    assert (proof.lost, proof.complete) == (True, False)


def test_an_update_that_differs_only_after_the_last_pass_is_found_in_the_parameters() -> None:
    builtins._runs_by_test = []  # type: ignore[attr-defined]
    count = "import builtins; builtins._runs_by_test.append(1); runs = len(builtins._runs_by_test) - 1\n"
    last = "    optimizer.param_groups[0]['lr'] = 0.1 + 0.01 * runs * (step == 4)\n"
    program = count + TRAINING.replace("    optimizer.step()\n", last + "    optimizer.step()\n")
    _, recording = record(program)
    proof, _ = counted(program, ordered(recording, 12, LOSS), recording)
    assert (proof.lost, proof.complete, proof.steps) == (True, False, 5)


UNCERTAIN = """\
import torch
w = torch.ones(2, requires_grad=True)
v = [0]
(w * 2).sum().backward()
w.data.sub_(w.grad)
v[0] += 1
(w * 3).sum().backward()
w.data.sub_(w.grad)
"""


def test_a_replay_that_cannot_know_whether_the_step_has_ended_is_lost() -> None:
    """The step ends between two marked statements, with statements in between that are not marked."""
    _, recording = record(UNCERTAIN)
    first = recording.log.step(0).ended
    assert first is not None
    assert not first.inside
    assert counted(UNCERTAIN, ordered(recording, 5, "w.sum()"), recording)[0].complete  # right after a marked statement
    proof, events = counted(UNCERTAIN, ordered(recording, 6, "w.sum()"), recording)
    assert (proof.lost, proof.complete) == (True, False)
    assert any(isinstance(event, wire.CountLost) for event in events)


UNCOUNTABLE = {
    "a thread": TRAINING.replace(
        "for step", "import threading\nthread = threading.Thread(target=lambda: 0)\nthread.start()\nthread.join()\nfor step"
    ),
    "no pass": "import torch\nw = torch.ones(2, requires_grad=True)\nloss = w.sum()\n",
}


@pytest.mark.parametrize("program", UNCOUNTABLE.values(), ids=UNCOUNTABLE.keys())
def test_a_program_whose_statements_cannot_be_counted_is_replayed_with_the_recorder(program: str) -> None:
    _, recording = record(program)
    assert recording.log.counts()[2]
    assert counted_order(recording, ordered(recording, 3, "w")) is None


def test_an_older_recording_is_replayed_with_the_recorder() -> None:
    events, recording = record(TRAINING)
    old = [replace(event, ended=None) if isinstance(event, wire.StepEvent) else event for event in events]
    order = ordered(recording, 9, LOSS)
    assert counted_order(recording, order) is not None
    assert counted_order(Recording(MemoryLog(old), TRAINING), order) is None


def test_a_loss_that_is_not_one_number_is_not_compared_by_counting() -> None:
    program = "import torch\nw = torch.ones(2, requires_grad=True)\nfor i in range(2):\n    (w * 2).backward(torch.ones(2))\n"
    _, recording = record(program)
    assert counted(program, ordered(recording, 4, "i"), recording)[0].lost


def test_nothing_of_a_counted_replay_remains() -> None:
    engine = torch.autograd._engine_run_backward  # type: ignore[attr-defined]
    _, recording = record(TRAINING)
    counted(TRAINING, ordered(recording, 9, LOSS), recording)
    assert torch.autograd._engine_run_backward is engine  # type: ignore[attr-defined]


@pytest.mark.parametrize("named", ["step", "pass"])
def test_a_replay_that_names_what_was_not_recorded_is_lost(named: str) -> None:
    _, recording = record("import torch\nm = torch.tensor(1.0, requires_grad=True)\n(m * 3).backward()\n")
    tensors = recording.recorded.step(0).tensors
    steps = wire.CountedSteps(0, np.array([1, 1], "<i4").tobytes(), np.array([3, 3], "<f8").tobytes())
    leaves = wire.CountedLeaves(9, b"", b"", b"", tensors=tensors)
    proof = CountedProof(recording, 0, seeks=False)
    proof.feed([steps if named == "step" else leaves])
    assert proof.lost
    assert proof.steps == (named == "step")

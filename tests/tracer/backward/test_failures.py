"""A program that fails is recorded up to its failure, and a program that catches the exception is recorded beyond it."""

from __future__ import annotations

from typing import TypeVar

import pytest
import torch
from tapedeck import wire
from tapedeck.recording import Recording

from ..failing_programs import CASES, Case, marked
from ..run_twice import all_bits, record, recorded, unrecorded

pytestmark = pytest.mark.filterwarnings("ignore")
cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


S = TypeVar("S", bound=wire.Signal)


def signals(events: list[wire.AnyEvent], kind: type[S]) -> list[S]:
    return [event for event in events if isinstance(event, kind)]


def pass_of(recording: Recording, index: int) -> wire.PassEvent:
    return recording.log.pass_(index)


@cases
def test_a_program_fails_as_it_does_unrecorded_and_earlier_events_are_kept(case: Case) -> None:
    expected = unrecorded(case.program)
    got, events, recording = recorded(case.program)
    end = events[-1]
    assert isinstance(end, wire.EndEvent)
    assert end.failure is not None
    assert (got.error, end.status) == (expected.error, "failed")
    assert end.failure.line == (marked(case.program, "raised") or marked(case.program, "stops"))
    assert not signals(events, wire.RecorderFailed)
    assert all_bits(got.variables) == all_bits(expected.variables)
    edge = recording.numbers(0).edge(0)
    assert edge is not None
    assert edge.values == [1.0, 1.0]
    assert recording.step(0).parameters[0].name == "w"


@cases
def test_the_node_that_raised_and_its_lines_are_reported(case: Case) -> None:
    _, events, recording = recorded(case.program)
    reported = signals(events, wire.PassFailed)
    if case.op is None:
        assert all(signal.node == -1 for signal in reported)
        return
    innermost = reported[0]
    assert innermost.error == recorded(case.program)[0].error[0]  # type: ignore[index]
    event = pass_of(recording, innermost.pass_)
    assert event.failed == innermost.node
    node = recording.graph(event.graph).nodes[event.failed]
    assert (node.op, node.line) == (case.op, marked(case.program, "node"))
    assert innermost.raised == (marked(case.program, "raised") or -1)
    assert innermost.changed == (marked(case.program, "changed") or -1)
    assert innermost.earlier != -1 or case.code != "backward-twice"


@cases
def test_recording_continues_after_the_program_catches_the_exception(case: Case) -> None:
    expected = unrecorded(case.caught)
    got, events, recording = recorded(case.caught)
    assert (got.error, expected.error) == (None, None)
    assert got.stdout == expected.stdout
    assert all_bits(got.variables) == all_bits(expected.variables)
    assert not signals(events, wire.RecorderFailed)
    caught = signals(events, wire.Caught)[-1]
    assert caught.handler == next(
        number for number, line in enumerate(case.caught.split("\n"), 1) if line.startswith("except BaseException")
    )
    last = recording.numbers(recording.log.counts()[1] - 1)
    leaf = next(index for index, node in enumerate(last.graph.nodes) if node.name == "v")
    used = last.used(leaf)
    assert used is not None
    assert used.values == got.variables["v"].grad.tolist() == [27.0, 48.0]
    assert last.event.failed == -1
    assert last.event.kind == "backward"


def test_at_most_100_failures_of_a_loop_are_reported() -> None:
    program = """\
import torch
x = torch.ones(2, requires_grad=True)
loss = (x * x).sum()
loss.backward()
for i in range(300):
    try:
        loss.backward()
    except RuntimeError:
        pass
"""
    events, recording = record(program)
    assert recording.log.counts()[1] == 301
    assert len(signals(events, wire.PassFailed)) == 100
    assert len(signals(events, wire.Caught)) == 1


def test_an_exception_whose_text_fails_or_cannot_be_encoded_is_reported() -> None:
    program = """\
import torch
class Odd(Exception):
    def __str__(self):
        raise ValueError
x = torch.ones(2, requires_grad=True)
def hook(g):
    raise Odd("\\ud800")
x.register_hook(hook)
try:
    (x * x).sum().backward()
except Odd:
    pass
raise RuntimeError("\\ud800")
"""
    events, _ = record(program)
    (caught,) = signals(events, wire.Caught)
    assert caught.message == "<exception str() failed: Odd>"
    end = events[-1]
    assert isinstance(end, wire.EndEvent)
    assert end.failure is not None
    assert (end.failure.message, end.failure.line) == ("\\ud800", 13)  # escaped, as Python prints it


def test_a_recursion_error_that_the_program_catches_is_not_a_recorder_failure() -> None:
    program = """\
import torch
x = torch.ones(2, requires_grad=True)
def deep(t, n):
    try:
        return deep(t * 1.0, n + 1)
    except RecursionError:
        return t
y = deep(x, 0)
y.sum().backward()
print(x.grad.tolist())
"""
    got, events, _ = recorded(program)
    assert (got.stdout, got.error) == ("[1.0, 1.0]\n", None)
    assert not signals(events, wire.RecorderFailed)


def test_a_failing_implicit_pass_is_not_a_failure_of_the_program() -> None:
    program = """\
import torch
class Bad(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        return a * 2
    @staticmethod
    def backward(ctx, g):
        return 1 / 0
x = torch.ones(2, requires_grad=True)
y = Bad.apply(x)
"""
    events, recording = record(program)
    assert signals(events, wire.ImplicitPassFailed)
    assert not signals(events, wire.PassFailed)
    assert recording.graph(recording.log.pass_(0).graph).nodes[recording.log.pass_(0).failed].op == "BadBackward"


def test_a_second_pass_that_finds_freed_tensors_shows_those_that_are_arguments_or_results_of_a_call() -> None:
    program = (
        "import torch\nx = torch.tensor([1.0, 2.0], requires_grad=True)\nloss = (x.exp() * x).sum()\nloss.backward()\n"
        "try:\n    loss.backward()\nexcept RuntimeError:\n    pass\n"
    )
    _, recording = record(program)
    second = recording.numbers(1)
    ops = {node.op: at for at, node in enumerate(second.graph.nodes)}
    saved = [second.saved(ops["ExpBackward0"], 0), *(second.saved(ops["MulBackward0"], at) for at in range(2))]
    x = torch.tensor([1.0, 2.0])
    assert [each and each.values for each in saved] == [x.exp().tolist(), x.tolist(), x.exp().tolist()]

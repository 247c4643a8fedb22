"""Steps of a long training are summarized. They keep what a whole recording has, and no finding follows from what they lack."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tapedeck import model, wire
from tapedeck.explain.findings import find
from tapedeck.tracer.training import detail
from tapedeck.tracer.training.detail import EVERY

from ..run_twice import record

EARLY = wire.DetailBudget(bytes=1)
"""A budget that the first message uses up."""
FIT = """\
import torch
x = torch.linspace(-1, 1, 40).reshape(20, 2)
model = torch.nn.Linear(2, 30)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for step in range(150):
    loss = (model(x) - 1).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print("done")
"""
NAN = """\
import torch
w = torch.tensor([1.0, 2.0], requires_grad=True)
for step in range(8):
    size = (w * (0.0 if step >= 5 else 1.0)).norm()
    loss = size.sqrt()
    loss.backward()
    with torch.no_grad():
        w -= 0.01 * w.grad
    w.grad = None
"""
FAILS = """\
import torch
w = torch.tensor(1.0, requires_grad=True)
for step in range(5):
    loss = w.exp()
    if step == 4:
        loss.add_(1)
    loss.backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad = None
"""


def test_summarized_steps_have_the_losses_and_statistics_of_whole_ones_and_every_hundredth_is_whole() -> None:
    _, whole = record(FIT)
    _, summarized = record(FIT, budget=EARLY)
    (signal,) = summarized.signals(wire.StepsSummarized)
    assert (signal.step, signal.every) == (0, EVERY)
    assert [step for step in range(150) if not summarized.log.step(step).summary] == [0, 100]
    assert summarized.log.step(100) == whole.log.step(100)
    assert summarized.log.pass_(100) == whole.log.pass_(100)
    assert record(FIT)[1].log.step(99) == whole.log.step(99)  # what a summary leaves out is not left out later
    for index in (1, 99, 149):
        one, two = whole.step(index), summarized.step(index)
        assert (one.loss, one.lines, one.optimizer) == (two.loss, two.lines, two.optimizer)
        for before, after in zip(one.parameters, two.parameters, strict=True):
            assert after.state == {}
            for name in ("value", "contribution", "grad_used", "update", "value_after"):
                complete, short = getattr(before, name), getattr(after, name)
                assert (short.min, short.max, short.shape) == (complete.min, complete.max, complete.shape)
                assert math.isclose(short.norm, complete.norm, rel_tol=1e-6)
                assert (complete.values is None) or short.values in (None, complete.values)
        assert two.passes[0].graph == one.passes[0].graph
        assert two.passes[0].order == one.passes[0].order
        assert two.passes[0].nodes
        assert all(node.value is None for node in two.passes[0].nodes.values())


def test_a_summarized_step_takes_a_fraction_of_the_bytes() -> None:
    def size(**options: Any) -> int:
        events, _ = record(FIT, **options)
        return len(wire.pack([event for event in events if isinstance(event, wire.StepEvent | wire.PassEvent)]))

    assert size(budget=EARLY) < size() / 3


def test_the_pass_in_which_a_gradient_becomes_nan_is_recorded_whole_and_its_origin_is_found() -> None:
    _, whole = record(NAN)
    _, summarized = record(NAN, budget=EARLY)
    assert [summarized.log.pass_(index).summary for index in range(8)] == [False, *[True] * 4, *[False] * 3]

    def found(recording: Any) -> list[tuple[str, int | None, int | None]]:
        findings = find(recording, model.Program(NAN))
        return [(each.code, each.line, each.step) for each in findings if each.code != "numbers-left-out"]

    assert found(summarized) == found(whole)
    assert "nan-origin" in [code for code, _, _ in found(whole)]


@pytest.mark.filterwarnings("ignore")
def test_a_pass_that_fails_in_a_summarized_step_is_recorded_whole() -> None:
    events, recording = record(FAILS, budget=EARLY)
    assert isinstance(events[-1], wire.EndEvent)
    assert events[-1].status == "failed"
    assert recording.log.pass_(3).summary
    assert not recording.log.pass_(4).summary
    assert [each.code for each in find(recording, model.Program(FAILS)) if each.severity == "error"] == ["saved-modified"]


def test_a_recording_that_is_full_ends_and_the_program_runs_on() -> None:
    budget = wire.DetailBudget(bytes=1, most_bytes=60_000)
    events, recording = record(FIT, budget=budget)
    (signal,) = recording.signals(wire.StepsUnrecorded)
    assert recording.log.counts()[2] == signal.step < 150
    assert isinstance(events[-1], wire.EndEvent)
    assert events[-1].status == "done"
    assert recording.stdout() == "done\n"
    assert len(wire.pack(events)) < 2 * budget.most_bytes  # events that wait to be sent are not counted yet
    notes = [each for each in find(recording, model.Program(FIT)) if each.code == "numbers-left-out"]
    assert [each.message.split(",")[0] for each in notes] == [
        "From step 0 on",
        f"The recording ends before step {signal.step}",
    ]


def test_a_replay_repeats_where_summaries_began_and_records_its_own_step_whole() -> None:
    _, whole = record(FIT)
    order = wire.ReplayOrder("step", 120)
    events, replayed = record(FIT, summarized_from=90, replay=order)
    assert [step for step in range(121) if not replayed.log.step(step).summary] == [*range(90), 100, 120]
    assert replayed.log.step(120) == whole.log.step(120)
    assert replayed.log.counts()[2] == 121
    assert isinstance(events[-1], wire.EndEvent)


def test_a_recording_that_only_takes_long_is_not_summarized_before_step_1000() -> None:
    _, recording = record(FIT, budget=wire.DetailBudget(seconds=1e-9))
    assert not recording.summarized


@pytest.mark.parametrize(
    ("budget", "step", "reason"),
    [(EARLY, 0, "the recording has become large"), (wire.DetailBudget(seconds=1e-9), 4, "the run has taken long")],
)
def test_the_note_says_why_steps_are_summarized(
    budget: wire.DetailBudget, step: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detail, "MANY", 4)
    _, recording = record(NAN, budget=budget)
    (note,) = [each for each in find(recording, model.Program(NAN)) if each.code == "numbers-left-out"]
    assert note.message == f"From step {step} on, most steps are summarized, because {reason}."

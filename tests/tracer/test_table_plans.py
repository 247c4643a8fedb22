"""A table that repeats an earlier one is filled at once, and equals a table that is filled row by row."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
from tapedeck import wire
from tapedeck.tracer import emitter
from tapedeck.tracer.tensors.plan import TablePlan

from .run_twice import PROGRAMS, record

pytestmark = pytest.mark.filterwarnings("ignore")
UNSET = ("torch.empty", "empty_like", "resize_", "threading", "time")
"""Words in programs whose numbers or output differ from run to run."""
REPEATING = [
    program
    for program in PROGRAMS
    if re.search(r"for \w+ in range\(.*\n(?: .*\n)*? .*backward\(", text := program.read_text())
    and not any(word in text for word in UNSET)
]

LOOP = """\
import torch
torch.manual_seed({seed})
w, v = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)
for step in range(14):
    x = torch.randn(4, 3)
{changes}
    loss = (y * y).mean() + (v * w).sum()
{losses}
    loss.backward()
{gradients}
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad = None
"""
CHANGES = (
    "x = torch.randn(5, 3)",
    "x = x.double()",
    "x = torch.randn(500, 3)",
    "x = torch.randn(0, 3)",
    "x = torch.randn(3).expand(4, 3)",
    "x = torch.randn(3, 4).t()",
    "x = torch.randn(4, 3, requires_grad=True)",
    "w = w.detach().double().requires_grad_()",
    "w.register_hook(lambda grad: grad * 2)",
    "v = w",
    "v = v.detach().clone().requires_grad_()",
    "v.requires_grad_(False)",
    "w = torch.nn.Parameter(w.detach())",
    "x = torch.randn(4, 3, dtype=torch.complex64).conj().imag",
    "x = x.to(torch.bfloat16)",
    "(w * w).sum().backward()",
    "x = w.expand(4, 3)",
    "x[0] = w",
)
LOSSES = (
    "loss = loss + w.prod()",
    "loss = loss * 0",
    "loss = y.relu().sum()",
    "loss = y.abs().sum()",
    "loss = loss + loss",
    "y.retain_grad()",
    "y.register_hook(lambda grad: grad.clone())",
    "loss.backward(retain_graph=True)",
    "loss = loss + (w + w).sum()",
    "(kept,) = torch.autograd.grad(loss, w, retain_graph=True, create_graph=True); loss = loss + kept.square().sum()",
)
GRADIENTS = (
    "w.grad *= 2",
    "w.grad = w.grad.clone()",
    "print(w.grad)",
    "shown = w.grad.sum()",
    "torch.nn.utils.clip_grad_norm_([w], 1.0)",
)


@pytest.fixture(autouse=True)
def endless_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send events when there are enough of them, and never because time has passed."""
    monkeypatch.setattr(emitter, "INTERVAL", 1e9)


def changing(seed: int) -> str:
    """Return a training loop that does something else at random steps."""
    drawn = random.Random(seed)

    def at_random_steps(statements: tuple[str, ...]) -> str:
        chosen = drawn.sample(statements, drawn.randint(0, min(3, len(statements))))
        return "\n".join(f"    if step in {drawn.sample(range(14), drawn.randint(1, 4))}:\n        {each}" for each in chosen)

    changes = at_random_steps(CHANGES) + "\n    y = (x * w).sum(-1)"
    return LOOP.format(seed=seed, changes=changes, losses=at_random_steps(LOSSES), gradients=at_random_steps(GRADIENTS))


def differs(program: str, **options: Any) -> tuple[int, tuple[wire.AnyEvent, wire.AnyEvent]] | None:
    """Return the first event that differs if no table is filled at once. Events are compared as bytes."""
    planned, _ = record(program, **options)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TablePlan, "of", classmethod(lambda *_: None))
        alone, _ = record(program, **options)
    assert len(planned) == len(alone)
    pairs = zip(planned[:-1], alone[:-1], strict=True)  # the last event has the duration of the run
    return next(((at, pair) for at, pair in enumerate(pairs) if wire.pack([pair[0]]) != wire.pack([pair[1]])), None)


@pytest.fixture
def matched(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each table that a plan could fill, whether it did."""
    found: list[bool] = []
    original = TablePlan.matches

    def matches(self: TablePlan, ids: Any, places: Any) -> Any:
        tensors = original(self, ids, places)
        found.append(tensors is not None)
        return tensors

    monkeypatch.setattr(TablePlan, "matches", matches)
    return found


def test_a_loop_is_filled_by_a_plan_from_the_third_pass_on(matched: list[bool]) -> None:
    record(LOOP.format(seed=0, changes="    y = (x * w).sum(-1)", losses="", gradients=""))
    assert matched == [True] * 12


def test_a_pass_of_another_shape_is_filled_row_by_row(matched: list[bool]) -> None:
    changes = "    if step == 5:\n        x = torch.randn(7, 3)\n    y = (x * w).sum(-1)"
    record(LOOP.format(seed=0, changes=changes, losses="", gradients=""))
    assert matched.count(False) > 0
    assert matched[-1]


@pytest.mark.parametrize("program", REPEATING[::3], ids=lambda program: program.stem)
def test_the_events_of_a_training_are_those_of_tables_filled_row_by_row(program: Path) -> None:
    assert differs(program.read_text()) is None


@pytest.mark.parametrize("seed", range(12))
def test_the_events_of_a_changing_loop_are_those_of_tables_filled_row_by_row(seed: int) -> None:
    assert differs(changing(seed), capture=("full", "norms", "graph")[seed % 3]) is None


@pytest.mark.ops
def test_every_training_of_the_corpus() -> None:
    for program in REPEATING:
        assert differs(program.read_text()) is None, program.stem


@pytest.mark.ops
@pytest.mark.parametrize("first", range(0, 2_000, 100))
def test_many_changing_loops(first: int) -> None:
    for seed in range(first, first + 100):
        assert differs(changing(seed), capture=("full", "norms", "graph")[seed % 3]) is None, changing(seed)

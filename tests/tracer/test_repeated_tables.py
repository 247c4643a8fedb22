"""A table that repeats an earlier one is recognized as a whole, and equals a table whose rows are read one by one."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tapedeck import wire
from tapedeck.tracer import emitter
from tapedeck.tracer.tensors import repeated, views
from tapedeck.tracer.tensors.handles import next_sequence_nr
from tapedeck.tracer.tensors.repeated import RepeatedRows, RowContents
from tapedeck.tracer.tensors.snapshot import REMADE, Snapshot
from tapedeck.tracer.tensors.table import TableBuilder
from torch import Tensor

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
    """Return the first event that differs if no table is recognized. Events are compared as bytes."""
    recognized, _ = record(program, **options)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(repeated, "TensorGuards", None)
        alone, _ = record(program, **options)
    assert len(recognized) == len(alone)
    pairs = zip(recognized[:-1], alone[:-1], strict=True)  # the last event has the duration of the run
    return next(((at, pair) for at, pair in enumerate(pairs) if wire.pack([pair[0]]) != wire.pack([pair[1]])), None)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each table of a pass or a step, whether it was recognized."""
    answers: list[bool] = []
    original = RepeatedRows.contents

    def contents(self: RepeatedRows, rows: Any, kept: object) -> RowContents | None:
        answer = original(self, rows, kept)
        answers.append(answer is not None)
        return answer

    monkeypatch.setattr(RepeatedRows, "contents", contents)
    return answers


def test_the_tables_of_a_loop_are_recognized_from_the_third_step_on(found: list[bool]) -> None:
    record(LOOP.format(seed=0, changes="    y = (x * w).sum(-1)", losses="", gradients=""))
    assert found == [False] * 4 + [True] * 24


def test_the_tables_of_another_shape_are_read_row_by_row(found: list[bool]) -> None:
    changes = "    if step == 5:\n        x = torch.randn(7, 3)\n    y = (x * w).sum(-1)"
    record(LOOP.format(seed=0, changes=changes, losses="", gradients=""))
    assert found[4:].count(False) in (1, 2)  # the pass, and the step if it has a line with that shape
    assert found[-1]


def test_without_the_comparison_of_pytorch_no_table_is_recognized(found: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeated, "TensorGuards", None)
    record(LOOP.format(seed=0, changes="    y = (x * w).sum(-1)", losses="", gradients=""))
    assert not any(found)


def finalized(tensors: list[Any], rows: RepeatedRows | None = None) -> TableBuilder:
    table = TableBuilder(100, "full")
    table.add_all(tensors)
    table.finalize(rows)
    return table


def known_rows() -> RepeatedRows:
    """Return the learned rows of a table with a constant, a result, a view of a leaf and a copy."""
    rows = RepeatedRows()
    for _ in range(2):
        finalized(a_table(), rows)
    assert rows.learned == 1
    return rows


def a_table() -> list[Any]:
    leaf = torch.ones(3, requires_grad=True)
    return [torch.ones(3), leaf * 2, Snapshot(torch.ones(2), 100)]


def freed() -> Tensor:
    tensor = torch.ones(3)
    tensor.untyped_storage().resize_(0)
    return tensor


def wrapped() -> Tensor:
    kept = []
    torch.func.grad(lambda x: (kept.append(x), x.sum())[1])(torch.ones(3))
    return kept[0]


OTHERS: dict[str, tuple[int, Callable[[], Any]]] = {
    "shape": (0, lambda: torch.ones(4)),
    "dtype": (0, lambda: torch.ones(3, dtype=torch.float64)),
    "layout": (0, lambda: torch.ones(3).to_sparse()),
    "device": (0, lambda: torch.ones(3, device="meta")),
    "class": (0, lambda: torch.ones(3).as_subclass(type("Own", (Tensor,), {}))),
    "gradient": (0, lambda: torch.ones(3, requires_grad=True)),
    "operation": (1, lambda: torch.ones(3, requires_grad=True) + 2),
    "leaf": (1, lambda: torch.ones(3, requires_grad=True)),
    "freed memory": (0, freed),
    "wrapper": (0, wrapped),
    "copy": (0, lambda: Snapshot(torch.ones(3), 100)),
    "no copy": (2, lambda: torch.ones(2)),
    "shape of the copy": (2, lambda: Snapshot(torch.ones(3), 100)),
    "copy without elements": (2, lambda: Snapshot(torch.ones(2), -1)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_table_with_one_other_row_is_read_row_by_row(name: str, found: list[bool]) -> None:
    at, other = OTHERS[name]
    tensors = a_table()
    tensors[at] = other()
    table, alone = finalized(tensors.copy(), known_rows()), finalized(tensors)
    assert not found[-1]
    described = [
        [(trait.shape, trait.dtype, trait.flags, trait.grad_fn, trait.readable) for trait in each.traits]
        for each in (table, alone)
    ]
    assert described[0] == described[1]
    assert table.contents == alone.contents


def test_a_table_that_repeats_has_the_contents_of_the_one_before(found: list[bool]) -> None:
    rows, tensors = known_rows(), a_table()
    table, alone = finalized(tensors, rows), finalized(tensors)
    assert found[-1]
    assert (table.traits, table.contents, table.deferred) == (alone.traits, alone.contents, alone.deferred)
    table.add(torch.ones(5))
    table.finalize()
    assert len(finalized(a_table(), rows).traits) == 3  # a row that one table gets later is not part of the next one


def test_a_table_that_keeps_fewer_elements_is_read_row_by_row(found: list[bool]) -> None:
    rows = known_rows()
    table = TableBuilder(1, "full")
    table.add_all(a_table())
    table.finalize(rows)
    assert not found[-1]


def test_an_outdated_view_gets_no_new_node() -> None:
    def view() -> Tensor:
        base = torch.ones(2, 3, requires_grad=True) * 1
        made = base[0]
        views.remember(made)
        bases.append(base)
        return made

    bases: list[Tensor] = []
    rows = RepeatedRows()
    for _ in range(2):
        finalized([view()], rows)
    outdated = view()
    bases[-1].mul_(2)
    before = next_sequence_nr()
    table = finalized([outdated], rows)
    assert table.traits[0].grad_fn == REMADE
    assert next_sequence_nr() == before


def test_nothing_is_learned_of_a_program_that_does_something_else_each_time() -> None:
    rows = RepeatedRows()
    for count in range(1, 60):
        finalized([torch.ones(count)], rows)
    assert rows.learned == repeated.MOST_LEARNED


@pytest.mark.parametrize("program", REPEATING[::7], ids=lambda program: program.stem)
def test_the_events_of_a_training_are_those_of_tables_read_row_by_row(program: Path) -> None:
    assert differs(program.read_text()) is None


@pytest.mark.parametrize("seed", range(12))
def test_the_events_of_a_changing_loop_are_those_of_tables_read_row_by_row(seed: int) -> None:
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

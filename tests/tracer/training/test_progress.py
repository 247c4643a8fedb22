"""Tests of progress events: the number of iterations done, and their total where the iterable has a known length."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from tapedeck import wire
from tapedeck.tracer.main import execute

from ..run_twice import record, unrecorded

LOOPS = {
    "for step in range(3)": 3,
    "for step in [5, 6, 7]": 3,
    "for step, x in enumerate([5, 6, 7])": 3,
    "for step, x in zip(range(9), torch.ones(3))": 3,
    "for x in torch.ones(3, 2)": 3,
    "for x in reversed([5, 6, 7])": 3,
    "for batch in DataLoader(torch.ones(6), batch_size=2)": 3,
    "for step, batch in enumerate(DataLoader(torch.ones(6), batch_size=2))": 3,
    "for x in (x for x in [5, 6, 7])": -1,
    "for step, x in enumerate(x for x in [5, 6, 7])": -1,
    "for x in Own()": -1,
    "while (count := count + 1) < 3": -1,
}
PROGRAM = """\
import torch
from torch.utils.data import DataLoader
class Own:
    def __len__(self): raise AssertionError("the recorder called __len__")
    def __iter__(self): return iter([5, 6, 7])
count = -1
w = torch.tensor(1.0, requires_grad=True)
LOOP:
    (w * w).backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad = None
"""


def progress(program: str) -> list[tuple[int, int]]:
    return [(event.done, event.of) for event in record(program)[0] if isinstance(event, wire.ProgressEvent)]


@pytest.mark.parametrize(("loop", "of"), LOOPS.items(), ids=LOOPS)
def test_progress_has_a_total_if_the_iterable_has_a_known_length(loop: str, of: int) -> None:
    program = PROGRAM.replace("LOOP", loop)
    assert progress(program) == [(done, of) for done in (1, 2, 3)]
    assert unrecorded(program).error is None


def test_progress_has_the_total_of_a_tqdm_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bar:
        def __init__(self, iterable: Iterable[Any], total: int | None = None) -> None:
            self.iterable, self.total = iterable, total

        def __iter__(self) -> Iterator[Any]:
            return iter(self.iterable)

    Bar.__module__ = "tqdm.std"
    module = types.ModuleType("tqdm")
    module.tqdm = Bar  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tqdm", module)
    bar = "from tqdm import tqdm\n" + PROGRAM
    assert progress(bar.replace("LOOP", "for x in tqdm(range(3), total=3)"))[0] == (1, 3)
    assert progress(bar.replace("LOOP", "for x in tqdm(x for x in range(3))"))[0] == (1, -1)


def test_the_first_step_is_sent_as_soon_as_it_has_ended() -> None:
    program = PROGRAM.replace("LOOP", "for step in range(50)")
    messages: list[list[wire.AnyEvent]] = []
    from tapedeck.model import Limits

    reader = wire.Reader(Limits())
    execute(wire.Job(program, [(1, program.count("\n"))]), lambda data: messages.append(list(reader.feed(data))))
    first = next(message for message in messages if any(isinstance(event, wire.StepEvent) for event in message))
    assert [event.index for event in first if isinstance(event, wire.StepEvent)] == [0]

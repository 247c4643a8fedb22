"""Views of a parameter that are read after an update are reported, with the lines that make and read them."""

from __future__ import annotations

import pytest
from tapedeck import wire

from ..run_twice import record

PROGRAM = """\
import torch
w = torch.ones(3, requires_grad=True)
old = w.detach()
for i in range(3):
    w.grad = None
    (w * w).sum().backward()
    {update}
{after}
"""


def reports(update: str, after: str) -> list[tuple[int, int, str | None, bool, bool]]:
    events, _ = record(PROGRAM.format(update=update, after=after))
    found = [each for each in events if isinstance(each, wire.KeptByReference)]
    return [(each.kept, each.line, each.name, each.loads, each.changed) for each in found]


UPDATES = {
    "in place": "w.detach().sub_(0.1 * w.grad)",
    "the data, by an operator": "w.data -= 0.1 * w.grad",
    "the data, by a method": "w.data.sub_(0.1 * w.grad)",
    "the data, twice": "w.data.mul_(0.9); w.data -= 0.1 * w.grad",
    "without recording": "torch.no_grad()(lambda: w.sub_(0.1 * w.grad))()",
    "an optimizer": "torch.optim.SGD([w], lr=0.1).step()",
}


@pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES.keys())
def test_a_view_that_is_compared_with_its_updated_parameter_is_reported(update: str) -> None:
    assert reports(update, "print((w - old).abs().sum())") == [(3, 8, "w", False, True)]


@pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES.keys())
def test_a_view_that_is_written_back_is_reported(update: str) -> None:
    assert reports(update, "w.data.copy_(old)") == [(3, 8, "w", True, True)]


@pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES.keys())
@pytest.mark.parametrize(
    "after",
    ["print(old.sum())", "print((w.data - w.detach()).sum())", "old = w.detach()\nprint((w - old).sum())", "old = old.clone()"],
    ids=["read alone", "new views", "made again", "copied"],
)
def test_a_view_that_is_not_compared_with_other_numbers_is_not_reported(update: str, after: str) -> None:
    assert reports(update, after) == []


@pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES.keys())
def test_a_parameter_that_is_no_longer_in_the_memory_of_its_view_is_not_reported(update: str) -> None:
    assert reports(f"if i == 0: w.data = w.data.clone()\n    {update}", "print((w - old).abs().sum())") == []


def test_an_update_through_a_kept_view_changes_no_kept_numbers() -> None:
    assert reports("old -= 0.1 * w.grad", "print((w - old).abs().sum())") == []


def test_a_view_that_has_died_is_forgotten() -> None:
    assert reports("del old; old = torch.zeros(3); w.data -= 0.1 * w.grad; break", "print((w - old).abs().sum())") == []

"""A misspelled attribute is reported, an attribute that something reads is not."""

from __future__ import annotations

import pytest

from ..reported import codes, line_of
from .training_loops import BEGIN, STEP, loop

MISSPELLED = """\
for p in net[0].parameters():
    p.{name} = False
opt = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.05)
"""


@pytest.mark.parametrize("name", ["require_grad", "requires_grads", "reqiures_grad"])
def test_a_misspelled_attribute_is_reported(name: str) -> None:
    text = loop(*STEP, begin=BEGIN + MISSPELLED.format(name=name))
    assert codes(text) == [("misspelled-attribute", line_of(text, f"p.{name}"))]


SPELLED = {
    "right": loop(*STEP, begin=BEGIN + MISSPELLED.format(name="requires_grad")),
    "an attribute of the program": loop(*STEP, begin=f"{BEGIN}net.require_grad = True\nprint(net.require_grad)\n"),
    "of its own class": loop(
        *STEP,
        begin=f"{BEGIN}class Flags:\n    def __init__(self):\n        self.require_grad = True\nFlags()\n",
    ),
}


@pytest.mark.parametrize("text", SPELLED.values(), ids=SPELLED.keys())
def test_an_attribute_that_something_reads_is_not_reported(text: str) -> None:
    assert codes(text) == []

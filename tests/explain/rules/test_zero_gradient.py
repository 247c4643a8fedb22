"""Gradients that a constant function makes zero are reported, unless they pass in another way."""

from __future__ import annotations

import pytest

from ..reported import codes, line_of
from .training_loops import STEP, loop

ROUNDED = {
    "round": "loss = ((net(x).round() - y) ** 2).mean()",
    "sign": "loss = (torch.sign(net(x)) * y).sum() + (y ** 2).sum()",
    "floor": "loss = ((torch.floor(net(x)) - y) ** 2).mean()",
}


@pytest.mark.parametrize("line", ROUNDED.values(), ids=ROUNDED.keys())
def test_gradients_that_a_constant_function_makes_zero_are_reported(line: str) -> None:
    text = loop(line, *STEP)
    assert codes(text) == [("zero-gradient", line_of(text, line))]


PASSED = {
    "straight through": "z = net(x); loss = ((z + (z.round() - z).detach() - y) ** 2).mean()",
    "another way": "z = net(x); loss = ((z.round() + z - y) ** 2).mean()",
    "only printed": "rounded = net(x).round()",
    "a mask": "loss = (net(x) * (net(x) > 0)).mean()",
}


@pytest.mark.parametrize("line", PASSED.values(), ids=PASSED.keys())
def test_gradients_that_pass_in_another_way_are_not_reported(line: str) -> None:
    assert codes(loop(line, *STEP)) == []

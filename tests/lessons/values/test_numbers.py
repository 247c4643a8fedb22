"""A number in prose is compared to the digits written, and a dragged number is replaced in the program."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tapedeck.lessons.cells import dragged
from tapedeck.lessons.values import shown


@pytest.mark.parametrize(
    ("text", "value", "agree"),
    [
        ("-9.3333", np.float64(-9.33334), True),
        ("-9.3333", np.float64(-9.33336), False),
        ("6.898e-06", np.float64(6.8984e-6), True),
        ("6.898e-06", np.float64(6.8986e-6), False),
        ("1, 2", np.array([1.0, 2.0]), True),
        ("1, 2", np.array([1.0, 2.0, 3.0]), False),
        ("yes", True, True),
        ("no", False, True),
        ("no", None, False),
        ("None", None, True),
        ("None", np.float64(0), False),
        ("TypeError", "TypeError", True),
        ("TypeError", None, False),
    ],
)
def test_a_text_agrees_with_a_value_to_half_a_unit_of_its_last_digit(text: str, value: Any, agree: bool) -> None:
    assert shown.agrees(text, value) is agree


@pytest.mark.parametrize(
    ("cells", "name", "expected"),
    [
        (["m = torch.tensor(1.0, requires_grad=True)"], "m", "m = torch.tensor(2.5, requires_grad=True)"),
        (["a = 1", "x = torch.tensor([[1.0], [-2.0]])"], "x[1][0]", "x = torch.tensor([[1.0], [2.5]])"),
        (["r = -0.5  # ü", "r = 3"], "r", "r = 2.5  # ü"),
        (["é = 'ü'; o = SGD([m], lr=0.1)"], "lr", "é = 'ü'; o = SGD([m], lr=2.5)"),
    ],
)
def test_the_first_number_that_is_bound_to_a_name_is_replaced(cells: list[str], name: str, expected: str) -> None:
    assert expected in dragged.replaced(cells, name, 2.5)


def test_a_whole_number_stays_whole_and_a_name_without_a_number_is_an_error() -> None:
    assert dragged.replaced(["depth = 8"], "depth", 4.0) == ["depth = 4"]
    for cells, name in ([["m = f()"], "m"], [["m = 1"], "n"], [["m = 1"], "m.grad"], [["x = [1]"], "x[3]"]):
        with pytest.raises(ValueError, match="`"):
            dragged.replaced(cells, name, 1.0)  # type: ignore[arg-type]

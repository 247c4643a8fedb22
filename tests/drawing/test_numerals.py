"""The text of numbers in pictures and descriptions."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tapedeck.drawing import numerals
from tapedeck.model import TensorSummary
from tapedeck.recording import Tensors, json_values

from .handmade import Table

FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=64)


def summary(value: Any, dtype: str = "float32", *, keep: bool = True) -> TensorSummary:
    table = Table()
    table.add(value, dtype, keep=keep)
    found = Tensors(table.pack()).summary(0)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4.66666650772095, "4.6667"), (-9.333333015441895, "-9.3333"), (0.01, "0.0100"), (float(np.float32(0.01)), "0.0100"),
        (0.0099, "9.9000e-3"), (9999.0, "9999.0000"), (10000.0, "1.0000e4"), (-0.0, "0.0000"), (0.0, "0.0000"),
        (1e-300, "1.0000e-300"), ("NaN", "NaN"), ("-Infinity", "-inf"), (True, "True"), (3, "3"), (None, "unknown"),
        (10**30, "1.0000e30"),
    ],
)  # fmt: skip
def test_a_number_has_four_decimals_or_an_exponent(value: Any, text: str) -> None:
    assert numerals.number(value) == text


@given(st.floats(-1e300, 1e300))
def test_a_number_is_exact_up_to_its_last_digit(value: float) -> None:
    assert float(numerals.number(value)) == pytest.approx(value, rel=6e-3 if abs(value) < 1 else 6e-5, abs=1e-308)


@given(FLOATS)
def test_a_drawn_number_has_a_minus_sign_and_never_a_hyphen(value: float) -> None:
    drawn = numerals.typeset(numerals.number(value))
    assert "-" not in drawn
    assert float(drawn.replace("−", "-")) == float(numerals.number(value))


@given(st.lists(FLOATS, max_size=30), st.integers(10, 60))
def test_the_text_of_a_tensor_is_never_longer_than_its_limit(items: list[float], limit: int) -> None:
    with np.errstate(all="ignore"):
        found = summary(items, "float64")
    assert len(numerals.brief(found, limit)) <= limit
    short = numerals.edge_text(found, limit)
    assert len(short) <= max(limit, 18)


@given(st.lists(st.floats(-1e8, 1e8, allow_subnormal=False), min_size=1, max_size=3))
def test_the_values_of_a_small_vector_can_be_read_back(items: list[float]) -> None:
    text = numerals.values(summary(items, "float64"), 200)
    assert text is not None
    body, _, power = text.partition("]")
    read = [float(part) * 10.0 ** int(power[1:] or 0) for part in body.strip("[").split(",")]
    largest = max(map(abs, items))
    assert read == pytest.approx(items, abs=max(0.0051 * largest if power else 5.1e-5, 1e-300))


def test_small_and_large_vectors_share_one_exponent() -> None:
    assert numerals.values(summary([0.00015, -0.0006, 0.00136])) == "[0.15, -0.60, 1.36]e-3"
    assert numerals.values(summary([1e-6] * 3)) == "[1.00, 1.00, 1.00]e-6"  # 9.999999e-7 as a float32
    assert numerals.values(summary([123456.0, 1.0])) == "[1.23, 0.00]e5"
    assert numerals.values(summary([2.0, 0.005])) == "[2.0000, 0.0050]"
    assert numerals.values(summary([-5e-324, 1e-310], "float64")) == "[0.00, 1.00]e-310"
    assert numerals.values(summary([5e-324], "float64")) == "[4.94]e-324"


def test_a_vector_is_shown_with_fewer_decimals_before_its_norm_is_shown() -> None:
    assert numerals.values(summary([-2 / 3, -4 / 3, -2.0])) == "[-0.6667, -1.3333, -2.0000]"
    assert numerals.values(summary([-2 / 3, -4 / 3, -2.0]), 24) == "[-0.667, -1.333, -2.000]"
    assert numerals.values(summary([-2 / 3, -4 / 3, -2.0]), 20) is None
    assert numerals.brief(summary([-2 / 3, -4 / 3, -2.0]), 20) == "‖2.4944‖"


def test_nan_and_infinity_are_shown() -> None:
    nan, inf = math.nan, math.inf
    assert numerals.values(summary([1.0, nan, -inf])) == "[1.0000, NaN, -inf]"
    assert numerals.brief(summary([nan, inf, nan] + [1.0] * 61, keep=False)) == "2 NaN, 1 inf of 64"
    assert numerals.is_nonfinite(summary([nan] + [1.0] * 99, keep=False))
    assert numerals.is_nonfinite(summary(inf))
    assert not numerals.is_nonfinite(summary([1e30, 1e-30]))
    assert numerals.typeset("-inf") == "−∞"


def test_every_shape_and_dtype_has_a_text() -> None:
    assert numerals.brief(summary([], "float32")) == "[]"
    assert numerals.brief(summary(np.zeros((2, 0)))) == "[]"
    assert numerals.brief(summary([[1, 2], [3, 4]], "int64")) == "[[1, 2], [3, 4]]"
    assert numerals.brief(summary([True, False], "bool")) == "[True, False]"
    assert numerals.brief(summary(1 - 2j, "complex64")) == "1.0000-2.0000j"
    assert numerals.brief(summary([complex(math.nan, 1)], "complex64")) == "[NaN+1.0000j]"
    assert numerals.brief(None) == "none"
    assert numerals.brief(TensorSummary([512, 512], "bfloat16")) == "[512, 512] bfloat16"
    assert numerals.brief(TensorSummary([1] * 40, "float8_e4m3fnuz"), 12) == "[1, 1, 1, 1…"


def test_a_large_tensor_is_shown_by_its_norm_and_range() -> None:
    values = np.linspace(-1, 2, 100)
    text = numerals.brief(summary(values, keep=False))
    assert text == f"‖{np.linalg.norm(values.astype(np.float32)):.4f}‖ -1.0000 to 2.0000"
    assert numerals.edge_text(summary(values, keep=False)) == text.split(" ")[0]
    assert numerals.in_words(summary(values, keep=False)).isascii()


def test_an_edge_shows_the_values_of_three_elements_and_the_norm_of_four() -> None:
    assert numerals.edge_text(summary([3.0, 4.0, 0.0])) == "[3.0000, 4.0000, 0.0000]"
    assert numerals.edge_text(summary([3.0, 4.0, 0.0, 0.0])) == "‖5.0000‖"


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_tooltip_has_the_digits_of_a_float32(value: float) -> None:
    assert np.float32(numerals.all_digits(summary(value))) == pytest.approx(np.float32(value), rel=1e-6, abs=1e-44)


def test_a_tooltip_has_all_digits_of_a_float64() -> None:
    assert numerals.all_digits(summary(1 / 3, "float64")) == repr(1 / 3)
    assert numerals.all_digits(summary([1.5, -2.0])) == "[1.5, -2], [2] float32"
    assert re.fullmatch(r"\[100\] float32, norm 10\.0000, from 1\.0000 to 1\.0000", numerals.all_digits(summary(np.ones(100))))


def test_the_values_of_a_summary_are_those_that_were_packed() -> None:
    array = np.array([[1.0, np.nan], [np.inf, -2.0]], np.float32)
    assert summary(array).values == json_values(array)


def test_a_count_of_one_has_a_singular_noun() -> None:
    assert [numerals.count_of(count, "edge") for count in (0, 1, 2)] == ["0 edges", "1 edge", "2 edges"]

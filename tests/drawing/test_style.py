"""The scale, the colours and the legend."""

from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tapedeck.drawing import style

SIZES = st.floats(min_value=1e-30, max_value=1e30)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@given(SIZES, SIZES)
def test_a_larger_gradient_is_never_drawn_thinner_or_paler(one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert style.width(small) <= style.width(large)
    assert int(style.level(small)[1:]) <= int(style.level(large)[1:])


@given(st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)))
def test_every_width_is_from_one_to_seven_pixels(norm: float | None) -> None:
    assert style.THIN <= style.width(norm) <= style.THICK
    assert style.level_colour(style.level(norm), "dark").startswith("#")


def test_most_of_the_scale_is_for_norms_from_a_ten_thousandth_to_ten() -> None:
    assert style.width(10) - style.width(1e-4) > 0.7 * (style.THICK - style.THIN)
    assert style.width(1e-4) > style.width(1e-8) > style.width(1e-12)


def test_the_smallest_gradient_differs_from_no_gradient() -> None:
    for theme in ("light", "dark"):
        assert style.level_colour(style.level(1e-300), theme) != style.level_colour(style.level(None), theme)
    assert style.level(0.0) == style.level(None)
    assert style.width(0.0) == style.width(None) == style.THIN


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_enough_contrast_on_every_background(theme: str) -> None:
    tokens = style.THEMES[theme]
    for ground in ("surface", "bg", "param-tint"):
        for text in ("ink", "ink-2", "ink-3", "grad", "param", "bad"):
            assert contrast(tokens[text], tokens[ground]) >= 4.5, (text, ground)
    assert contrast(tokens["grad"], tokens["grad-tint"]) >= 4.5
    for line in ("grad-fill", "param-fill"):
        assert contrast(tokens[line], tokens["surface"]) >= 3


def test_every_colour_has_six_digits() -> None:
    colours = [colour for tokens in style.THEMES.values() for colour in tokens.values()]
    colours += [style.level_colour(f"g{at}", theme) for at in range(style.LEVELS + 1) for theme in ("light", "dark")]
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours)


def test_a_mix_in_oklab_has_both_colours_at_its_ends() -> None:
    assert style.mix("#d07c00", "#c9c5bb", 1.0) == "#d07c00"
    assert style.mix("#d07c00", "#c9c5bb", 0.0) == "#c9c5bb"


def test_a_browser_can_compute_the_same_widths_and_colours_from_the_legend() -> None:
    legend = json.loads(json.dumps(style.legend()))
    scale = legend["scale"]
    for norm in (1e-13, 3e-7, 1e-4, 0.02, 0.57735, 9.3333, 400.0):
        log = math.log10(norm)
        (x0, y0), (x1, y1), (x2, y2) = scale["knots"]
        at = (
            0.0 if log <= x0 else y0 + (y1 - y0) * (log - x0) / (x1 - x0) if log <= x1
            else min(1.0, y1 + (y2 - y1) * (log - x1) / (x2 - x1))
        )  # fmt: skip
        low, high = scale["width"]
        assert low + (high - low) * at == pytest.approx(style.width(norm), abs=0.006)
        level = round(at * scale["levels"])
        assert f"g{level}" == style.level(norm)
        assert scale["colours"]["light"][level] == style.level_colour(f"g{level}", "light")


def test_the_stylesheet_has_a_rule_for_every_colour_class() -> None:
    stylesheet = style.css()
    for token in style.THEMES["light"]:
        assert f".f-{token}{{fill:var(--{token})}}" in stylesheet
        assert f".s-{token}{{stroke:var(--{token})}}" in stylesheet
    for level in [f"g{at}" for at in range(style.LEVELS + 1)] + ["flat", "bad"]:
        assert f".shaft.{level}{{stroke:" in stylesheet
        assert f".head.{level}{{fill:" in stylesheet

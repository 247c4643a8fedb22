"""What the browser writes and draws itself follows the server's rules."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page
from tapedeck.drawing import numerals, style
from tapedeck.model import TensorSummary

SOURCES = Path(__file__).parent.parent.parent / "static" / "src"

CASES: list[tuple[Any, list[int], str]] = [
    (-9.333333015441895, [], "float32"),
    (0.0, [], "float32"),
    (1.234e-10, [], "float32"),
    (123456.0, [], "float64"),
    (0.01, [], "float32"),
    (9999.99, [], "float32"),
    ("NaN", [], "float32"),
    ("-Infinity", [], "float32"),
    (7, [], "int64"),
    (True, [], "bool"),
    ([-0.666667, -1.333333, -2.0], [3], "float32"),
    ([0.00015, 0.0006, 0.00136], [3], "float32"),
    ([12345.0, 1.0], [2], "float32"),
    ([[1.0, 2.0], [3.0, -0.00001]], [2, 2], "float32"),
    ([1, -2, 3], [3], "int64"),
    ([1.0, -2.0], [], "complex64"),
]


def test_the_sheet_of_pictures_is_the_legend() -> None:
    assert (SOURCES / "style" / "picture.css").read_text().partition("\n\n")[2] == style.css()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_tokens_of_the_sheets_are_those_of_pictures(page: Page, theme: str) -> None:
    page.goto(f"/examples?theme={theme}")
    found = page.evaluate(
        "names => names.map(name => getComputedStyle(document.documentElement).getPropertyValue('--' + name))",
        list(style.THEMES[theme]),
    )
    assert found == list(style.THEMES[theme].values())


def test_numbers_are_written_alike(page: Page) -> None:
    page.goto("/examples")
    module = (SOURCES / "leaves" / "format.js").read_text()
    # a policy on content lets no script in from here: the leaf's functions are made into one function's body
    body = module.replace("export ", "") + "\nreturn cases.map(([values, dtype]) => nested(values, {dtype}));"
    written = page.context.new_page()
    written.goto("about:blank")
    found = written.evaluate(f"cases => {{ {body} }}", [[values, dtype] for values, _, dtype in CASES])
    expected = []
    for values, shape, dtype in CASES:
        text = numerals.values(TensorSummary(shape, dtype, values=values), 1000)
        assert text is not None, json.dumps(values)
        expected.append(numerals.typeset(text))
    assert found == expected
    assert math.isclose(float(found[0].replace("−", "-")), -9.3333)

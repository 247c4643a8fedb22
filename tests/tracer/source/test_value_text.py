"""Tests of the texts of values: they show the value that a line had, and are printed only if something asks for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tapedeck import wire
from tapedeck.tracer import emitter
from tapedeck.tracer.source import value_text
from tapedeck.tracer.source.value_text import PlainValue, text_of

from ..run_twice import record


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24).reshape(2, 3, 4),
        np.linspace(0, 1, 1000).reshape(20, 50),
        np.arange(2000.0),
        np.arange(3000).reshape(3, 1000),
        np.arange(8000).reshape(20, 20, 20),
        np.zeros(0),
        np.array(3.0),
    ],
    ids=lambda array: str(array.shape),
)
def test_an_array_prints_as_it_was_when_the_line_ran(array: Any) -> None:
    expected = repr(array)
    kept, shows = text_of(array)
    array[...] = 7
    assert shows
    assert isinstance(kept, PlainValue)
    assert kept.whole() == (expected if len(expected) <= 2000 else expected[:1999] + "…")
    assert len(kept.brief()) <= 2000


def test_a_nested_container_prints_as_it_was_when_the_line_ran() -> None:
    value = {"rows": [1, 2], "name": "a"}
    kept, _ = text_of(value)
    value["rows"].append(9)  # type: ignore[attr-defined]
    assert isinstance(kept, PlainValue)
    assert kept.whole() == kept.brief() == "{'rows': [1, 2], 'name': 'a'}"


def test_the_items_of_an_array_of_objects_are_not_printed() -> None:
    class Loud:
        def __repr__(self) -> str:
            raise AssertionError("the program's code ran")

    assert text_of(np.array([Loud(), Loud()])) == ("ndarray of shape [2]", False)
    assert text_of([np.array([Loud()])])[0] == "1 ndarray"


LOOP = """
import numpy as np
for i in range(500):
    array = np.full(1000, float(i))
    values = [i] * 100
    text = "x" * 100_000
"""


def test_an_array_or_list_of_a_loop_is_printed_only_when_its_line_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emitter, "INTERVAL", 1e9)  # lines are sent at the end only
    printed: list[Any] = []
    original = value_text._printed
    monkeypatch.setattr(value_text, "_printed", lambda value, most: printed.append(value) or original(value, most))
    events, _ = record(LOOP)
    texts = {row.line: row.text for event in events if isinstance(event, wire.LinesEvent) for row in event.rows}
    assert len(printed) == 2
    assert (texts[4] or "").startswith("array([499., 499.")
    assert texts[5] == str([499] * 100)
    assert len(texts[6] or "") == 2000


@pytest.mark.parametrize(
    "made",
    [
        "torch.arange(4.0)",
        "torch.randn(40, 50)",
        "torch.randn(3, 2000)",
        "torch.arange(9000).reshape(9, 10, 100)",
        "torch.nn.Parameter(torch.ones(3))",
        "torch.ones(2, 3, requires_grad=True) * 2",
        "torch.tensor(3.0)",
        "torch.empty(0, 3)",
        "torch.ones(3, dtype=torch.float64)",
    ],
)
def test_a_shown_tensor_that_is_overwritten_later_prints_as_it_was(made: str) -> None:
    program = f"import torch\nx = {made}\n\nx\nshown = repr(x)\n"
    program += "with torch.no_grad():\n    x.zero_()\nprint(shown, end='')\n"
    events, recording = record(program)
    texts = {row.line: row.text for event in events if isinstance(event, wire.LinesEvent) for row in event.rows}
    assert texts[4] == recording.stdout()


def test_a_loop_of_writes_prints_no_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emitter, "INTERVAL", 1e9)
    printed: list[Any] = []
    original = value_text.tensor_text
    monkeypatch.setattr(value_text, "tensor_text", lambda tensor: printed.append(tensor) or original(tensor))
    record("import torch\nc = torch.zeros(3)\nfor i in range(100):\n    c.add_(1)\n    c[1] = 2.0\n")
    assert len(printed) <= 2

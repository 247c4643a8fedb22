"""The titles of nodes, and the cleaning of text that comes from a program."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tapedeck.drawing import labels, measure
from tapedeck.drawing.pen import escape
from tapedeck.model import Node


def node(**fields: Any) -> Node:
    defaults = {
        "id": "n0", "kind": "op", "op": "MulBackward0", "call": "torch.mul", "name": None, "file": None, "line": 1,
        "columns": (4, 9), "module": "", "outputs": 1, "saved": [], "parameter": None,
    }  # fmt: skip
    return Node(**(defaults | fields))


def test_a_title_begins_with_the_code_of_the_program() -> None:
    program = labels.ProgramText("y = m * x\n")
    assert program.title(node(name="y")) == "y = m * x"
    assert program.title(node()) == "m * x"
    assert program.title(node(name="y", columns=None)) == "y"
    assert program.title(node(columns=None)) == "MulBackward0"
    assert program.title(node(line=7)) == "MulBackward0"
    assert program.title(node(columns=(4, 2))) == "m * x"
    assert program.title(node(kind="leaf", name="m")) == "m"
    assert program.title(node(kind="constant", name=None, columns=None)) == "constant"


def test_a_node_of_another_file_has_no_text_of_the_program() -> None:
    assert labels.ProgramText("secret = 1").title(node(file="/lib/site/net.py")) == "MulBackward0"
    assert labels.location(node(file="/lib/site/net.py", line=3)) == "net.py:3"
    assert labels.location(node(file="C:\\lib\\net.py", line=3)) == "net.py:3"


def test_a_node_inside_a_module_is_named_after_the_module() -> None:
    program = labels.ProgramText("y = net(x)")
    assert program.title(node(module="net.0", columns=(4, 10))) == "net.0"
    assert program.title(node(module="net.0", name="y", columns=(4, 10))) == "y = net(x)"


@given(st.text(max_size=900))
def test_a_cleaned_text_is_one_short_line_of_valid_xml(text: str) -> None:
    cleaned = labels.clean(text)
    assert len(cleaned) <= labels.LONGEST
    assert "\n" not in cleaned
    assert ET.fromstring(f'<a b="{escape(cleaned)}">{escape(cleaned)}</a>').text == (cleaned or None)


def test_marks_that_change_the_reading_direction_are_replaced() -> None:
    assert labels.clean("a\u202eb\u2066c\u200bd\ufeff") == "a·b·c·d·"


@given(st.text(max_size=80), st.floats(20, 300), st.booleans())
def test_a_fitted_text_fits_and_is_the_beginning_of_the_text(text: str, room: float, mono: bool) -> None:
    fitted = measure.fit(text, room, 12, mono=mono)
    assert fitted == text or text.startswith(fitted[:-1].rstrip())
    assert measure.width(fitted, 12, mono=mono) <= room or fitted == "…"

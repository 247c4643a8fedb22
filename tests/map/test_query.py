"""Tests of the queries of a search."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tapedeck.errors import InvalidInput
from tapedeck.map.query import LONGEST_QUERY, Compared, LineNumber, Marked, Term, Text, read_query


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        ("attn", [Text("attn")]),
        ("  Layers.31.WEIGHT ", [Text("layers.31.weight")]),
        ("grad>1e3", [Compared(">", 1000.0)]),
        ("grad >= 1e-6 relu", [Compared(">=", 1e-6), Text("relu")]),
        ("relu gradient < .5", [Text("relu"), Compared("<", 0.5)]),
        ("grad = 0", [Compared("=", 0.0)]),
        ("grad > inf", [Compared(">", float("inf"))]),
        ("NaN", [Marked("nan")]),
        ("zero unused inf", [Marked("zero"), Marked("unused"), Marked("inf")]),
        ('"nan"', [Text("nan")]),
        ("nan_to_num", [Text("nan_to_num")]),
        ('"a = b" c', [Text("a = b"), Text("c")]),
        ("line 12", [LineNumber(12)]),
        ("line:12", [LineNumber(12)]),
        ("line", [Text("line")]),
        ("linear", [Text("linear")]),
        ("line 12x", [Text("line"), Text("12x")]),
        ("grad", [Text("grad")]),
        ("torch::autograd", [Text("torch::autograd")]),
    ],
)
def test_a_query_has_terms(query: str, terms: list[Term]) -> None:
    assert read_query(query) == terms


@pytest.mark.parametrize(
    ("query", "remedy"),
    [
        ("", "give a name"),
        ('""', "give a name"),
        ("grad >", "write, for example, `grad > 1e3`"),
        ("grad > big", "write, for example, `grad > 1e3`"),
        ("grad = nan", "write, for example, `nan`"),
        ("norm > 3", "use `grad > 1e3`"),
        ("x = y", "Put a text with `=` in quotation marks"),
        ("> 3", "use `grad > 1e3`"),
        ('a "b', 'add `"` at the end'),
        ("a b c d e f g h i", "use at most 8"),
        ("x" * (LONGEST_QUERY + 1), "use at most 200"),
    ],
)
def test_the_error_of_an_invalid_query_names_the_remedy(query: str, remedy: str) -> None:
    with pytest.raises(InvalidInput) as error:
        read_query(query)
    assert remedy in str(error.value)
    assert error.value.where == "q"


@given(st.text(max_size=LONGEST_QUERY))
def test_every_text_is_a_query_or_is_refused(query: str) -> None:
    try:
        terms = read_query(query)
    except InvalidInput:
        return
    assert all(term.text == term.text.lower() != "" for term in terms if isinstance(term, Text))

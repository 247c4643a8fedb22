"""A request becomes a program with options, or is rejected with a clear message."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tapedeck.errors import InvalidInput, TapedeckError, TooLarge, UnreadableInput, UnsupportedMedia
from tapedeck.inputs import request as requests
from tapedeck.model import Limits

LIMITS = Limits()


def read(body: Any, media_type: str = "application/json", **query: str) -> requests.Request:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return requests.read(data, media_type, query, LIMITS)


def run(text: str) -> dict[str, Any]:
    """Run a program with the real torch and return its variables."""
    names: dict[str, Any] = {}
    exec(text, names)
    return names


def test_a_program_in_json_is_one_cell() -> None:
    request = read({"program": "x = 1\r\ny = 2\n"})
    assert request.program.text == "x = 1\ny = 2\n"
    assert list(request.program.cells) == [(1, 2)]
    assert request.program.kind == "program"
    assert request.store


def test_raw_text_is_a_program_with_options_in_the_url() -> None:
    request = read(b"\xef\xbb\xbfx = 1", "text/x-python; charset=utf-8", seed="7", capture="norms", values="0", store="false")
    assert request.program.text == "x = 1"
    assert (request.options.seed, request.options.capture, request.options.values) == (7, "norms", 0)
    assert not request.store


def test_a_raw_notebook_is_read() -> None:
    body = {"cells": [{"cell_type": "code", "source": "x = 1"}]}
    assert read(body, "application/x-ipynb+json", seed="3").program.kind == "notebook"
    assert read({"notebook": body}).program.text == "x = 1\n"


def test_a_syntax_error_is_not_a_bad_request() -> None:
    assert read({"program": "x = = 1"}).program.text == "x = = 1"
    assert "result = 1 +\n" in read({"expression": "1 +"}).program.text


def test_numbers_of_an_input_are_float32_and_require_grad() -> None:
    text = read({"expression": "(2 * (x + 2) ** 2).mean()", "inputs": {"x": [1, 2.5, 3]}}).program.text
    x = run(text)["x"]
    assert str(x.dtype) == "torch.float32"
    assert x.requires_grad
    assert x.tolist() == [1.0, 2.5, 3.0]
    assert text.endswith("result = (2 * (x + 2) ** 2).mean()\nresult\n")


def test_an_input_can_set_its_dtype_and_whether_it_requires_grad() -> None:
    inputs = {
        "t": {"values": [0, 1], "dtype": "int64", "requires_grad": False},
        "d": {"values": [[0.1], [0.2]], "dtype": "float64", "requires_grad": False},
        "c": {"values": [[1, 2], [3, -4]], "dtype": "complex64"},
        "mask": [True, False],
        "odd": ["NaN", "-Infinity"],
        "empty": [],
        "one": 3,
    }
    names = run(read({"expression": "x.sum()", "inputs": inputs | {"x": 1}}).program.text)
    assert names["t"].tolist() == [0, 1]
    assert str(names["t"].dtype) == "torch.int64"
    assert names["d"].tolist() == [[0.1], [0.2]]
    assert not names["d"].requires_grad
    assert names["c"].tolist() == [1 + 2j, 3 - 4j]
    assert names["c"].requires_grad
    assert names["mask"].tolist() == [True, False]
    assert not names["mask"].requires_grad
    assert names["odd"].isnan().tolist() == [True, False]
    assert names["empty"].shape == (0,)
    assert names["one"].shape == ()


def test_a_long_input_is_wrapped_into_lines_that_run() -> None:
    matrix = [[i * 10.5 + j for j in range(20)] for i in range(4)]
    text = read({"expression": "x.sum()", "inputs": {"x": matrix}}).program.text
    assert run(text)["x"].tolist() == matrix
    assert max(map(len, text.splitlines())) <= 128


def test_an_expression_can_use_the_usual_modules_and_any_name_for_an_input() -> None:
    text = read({"expression": "F.relu(result * math.pi)", "inputs": {"result": 2}}).program.text
    names = run(text)
    assert names["output"].item() == pytest.approx(6.2831853)


@pytest.mark.parametrize("statement", ["y = x * 2", "import os", "x; x", "x\nx", "del x", "for i in x: pass", "# only this"])
def test_an_expression_that_is_a_statement_is_rejected(statement: str) -> None:
    with pytest.raises(InvalidInput, match="statement, not an expression") as caught:
        read({"expression": statement, "inputs": {"x": 1}})
    assert caught.value.where == "expression"


@pytest.mark.parametrize(
    ("inputs", "where", "sentence"),
    [
        ({"x": [[1, 2], [3]]}, "inputs.x[1]", "ragged: this is a list of 1, others are lists of 2"),
        ({"x": [1, [2]]}, "inputs.x[1]", "ragged: this is a list, others are numbers"),
        ({"x": [[1], 2]}, "inputs.x[1]", "ragged: this is a single value"),
        ({"x": [0] * 10_001}, "inputs.x", "more than 10,000 numbers"),
        ({"x": [0] * 6_000, "y": [0] * 6_001}, "inputs.y", "more than 10,000 numbers"),
        ({"1x": 1}, "inputs.1x", "cannot be the name"),
        ({"for": 1}, "inputs.for", "cannot be the name"),
        ({"torch": 1}, "inputs.torch", "cannot be the name"),
        ({"x=1\nimport os": 1}, "inputs.x=1\nimport os", "cannot be the name"),
        ({"x": {"values": 1, "dtype": "float31"}}, "inputs.x.dtype", "not a supported dtype"),
        ({"x": {"values": 1, "dtype": ["float32"]}}, "inputs.x.dtype", "not a supported dtype"),
        ({"x": {"values": 1, "device": "cuda"}}, "inputs.x.device", "Unknown field 'device'"),
        ({"x": {}}, "inputs.x", "needs its numbers in `values`"),
        ({"x": {"values": 1, "dtype": "int64", "requires_grad": True}}, "inputs.x.requires_grad", "cannot require grad"),
        ({"x": {"values": 1, "requires_grad": "yes"}}, "inputs.x.requires_grad", "true or false"),
        ({"x": {"values": 1.5, "dtype": "int64"}}, "inputs.x", "1.5 is not a value of int64"),
        ({"x": {"values": 300, "dtype": "uint8"}}, "inputs.x", "300 is not a value of uint8"),
        ({"x": {"values": [1, 2, 3], "dtype": "complex64"}}, "inputs.x", "re, im"),
        ({"x": "__import__('os')"}, "inputs.x", "is not a number"),
        ({"x": ["1"]}, "inputs.x[0]", "is not a number"),
        ({"x": None}, "inputs.x", "is not a number"),
        ({"x": [True, 1]}, "inputs.x[1]", "cannot mix"),
        ({"x": 10**400}, "inputs.x", "too large"),
        ({"x": [[]] * 10_001}, "inputs.x", "more than 10,000 numbers"),
        ({"x": [[]] * 6_000, "y": [[]] * 6_000}, "inputs.x", "more than 10,000 numbers"),
        ({f"x{index}": 1 for index in range(1_001)}, "inputs", "more than 1,000 inputs"),
        ({"x" * 101: 1}, f"inputs.{'x' * 60}…", "at most 100 characters"),
        ({"=" * 90: 1}, f"inputs.{'=' * 60}…", "cannot be the name"),
        ([1], "inputs", "object of names"),
    ],
)
def test_an_invalid_input_is_rejected_and_its_field_named(inputs: Any, where: str, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence) as caught:
        read({"expression": "x", "inputs": inputs})
    assert caught.value.where == where


def test_values_nested_too_deep_are_rejected() -> None:
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    with pytest.raises(InvalidInput, match="nested more than 16 levels deep"):
        read({"expression": "x", "inputs": {"x": deep}})


@pytest.mark.parametrize(
    ("body", "error", "sentence"),
    [
        ({"program": ""}, InvalidInput, "The program is empty: write Python code"),
        ({"program": " \n\t"}, InvalidInput, "The program is empty"),
        ({"expression": " "}, InvalidInput, "The expression is empty"),
        ({"program": "x\0"}, InvalidInput, "NUL"),
        ({"program": 3}, InvalidInput, "must be a string"),
        ({"expression": ["x"]}, InvalidInput, "must be a string"),
        ({"notebook": "x"}, UnreadableInput, "not an object with cells"),
        ({"program": "x", "colour": 1}, InvalidInput, "Unknown field 'colour': the fields are program, expression"),
        ({"training": {}}, InvalidInput, "The training has no parameters"),
        ({}, InvalidInput, "nothing to run"),
        ({"program": "x", "expression": "x"}, InvalidInput, "program and expression together"),
        ({"program": "x", "inputs": {}}, InvalidInput, "Only an expression has inputs"),
        ({"program": "x", "seed": -1}, InvalidInput, "seed must be a whole number"),
        ({"program": "x", "seed": True}, InvalidInput, "seed must be a whole number"),
        ({"program": "x", "seed": 2**63}, InvalidInput, "seed must be a whole number"),
        ({"program": "x", "values": 5000}, InvalidInput, "from 0 to 4,096"),
        ({"program": "x", "capture": "all"}, InvalidInput, "full, norms, graph"),
        ({"program": "x", "capture": []}, InvalidInput, "full, norms, graph"),
        ({"program": "x", "store": "no"}, InvalidInput, "true or false"),
        ([], InvalidInput, "not an object"),
        (b"{", UnreadableInput, "not valid JSON"),
        (b"\xff", UnreadableInput, "not valid JSON"),
        (b'{"program": "\\ud800"}', UnreadableInput, "not valid JSON"),
        (b"[" * 100_000, UnreadableInput, "not valid JSON"),
        (b"", UnreadableInput, "not valid JSON"),
        ({"program": "#" * (256 * 1024 + 1)}, TooLarge, "the limit is 262,144"),
        ({"program": "#" * 2_000_000}, TooLarge, "the limit is 262,144"),
        ({"expression": "(" * 300_000}, TooLarge, "the limit is 262,144"),
        ({"expression": "x", "inputs": {"x": [0] * 1_000_000}}, TooLarge, "create large tensors in a program"),
        ({"x" * 10_000: 1}, InvalidInput, "Unknown field 'x{60}…': the fields are program"),
        ({"program": "x", "seed": "9" * 2_000}, InvalidInput, "too long"),
        ({"notebook": {"cells": [{"cell_type": "code", "source": "#" * 300_000}]}}, TooLarge, "notebook's code"),
    ],
)
def test_an_invalid_json_body_is_rejected_with_a_message(body: Any, error: type[TapedeckError], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        read(body)


@pytest.mark.parametrize(
    ("body", "media_type", "query", "error", "sentence"),
    [
        (b"x", "", {}, UnsupportedMedia, "has no Content-Type"),
        (b"x", "application/x-www-form-urlencoded", {}, UnsupportedMedia, "text/x-python"),
        (b"x", "text/x-python; charset=latin-1", {}, UnsupportedMedia, "UTF-8"),
        (b"\x80\x81", "text/x-python", {}, UnreadableInput, "is it a Python file"),
        (b"", "text/x-python", {}, InvalidInput, "empty"),
        (b"x", "text/x-python", {"sed": "1"}, InvalidInput, "Unknown option 'sed'"),
        (b"x", "text/x-python", {"seed": "one"}, InvalidInput, "seed must be a whole number"),
        (b"x", "text/x-python", {"seed": "9" * 5000}, InvalidInput, "seed must be a whole number"),
        (b"x", "text/x-python", {"store": "maybe"}, InvalidInput, "true or false"),
        (b'{"program": "x"}', "application/json", {"seed": "1"}, InvalidInput, "belong in its body"),
        (b"GIF89a\x00", "application/x-ipynb+json", {}, UnreadableInput, "not a notebook"),
        (b"x" * 300_000, "text/x-python", {}, TooLarge, "300,000 bytes"),
    ],
)
def test_an_invalid_raw_body_is_rejected_with_a_message(
    body: bytes, media_type: str, query: dict[str, str], error: type[TapedeckError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        read(body, media_type, **query)

"""Build single requests that a hostile stranger can send. Each is answered with a clear problem or with a finished run.

To add a request, call :func:`add`, or decorate a function that returns its body with :func:`hostile`. ``test_hostile.py`` sends
each to a server in its own process, and ``benchmarks/unstoppable.py`` to a real one, while a client requests ``/healthz``.
Bodies are generated, so that the repository contains no large files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from .hostile_programs import PROGRAMS

RUNS: Final = "/api/v1/runs"
PYTHON: Final = "text/x-python"
JSON: Final = "application/json"
NOTEBOOK: Final = "application/x-ipynb+json"
BODY: Final = 12 * 1024 * 1024
"""Largest body that a server with default settings accepts."""
SOURCE: Final = 256 * 1024
"""Largest program."""


class HostileRequest(NamedTuple):
    """A request. ``{run}`` in the path is the id of a finished run."""

    name: str
    build: Callable[[], bytes]
    media_type: str
    path: str
    method: str
    headers: Mapping[str, str]


REQUESTS: list[HostileRequest] = []
Builder = Callable[[], bytes | str | dict[str, Any] | list[Any]]


def hostile(
    media_type: str = JSON, path: str = RUNS, method: str = "POST", headers: Mapping[str, str] | None = None
) -> Callable[[Builder], Builder]:
    """Add a request whose body a function returns: bytes, text, or a value that is sent as JSON."""

    def add(builder: Builder) -> Builder:
        def build() -> bytes:
            body = builder()
            if isinstance(body, bytes):
                return body
            return body.encode("utf-8", "surrogatepass") if isinstance(body, str) else json.dumps(body).encode()

        REQUESTS.append(HostileRequest(builder.__name__, build, media_type, path, method, headers or {}))
        return builder

    return add


def add(name: str, body: bytes | str | dict[str, Any] | list[Any] | Builder, media_type: str = JSON, **options: Any) -> None:
    """Add a request by its name, for bodies that need no function of their own."""
    builder: Builder = body if callable(body) else lambda: body
    builder.__name__ = name
    hostile(media_type, **options)(builder)


def notebook(*sources: Any, **more: Any) -> dict[str, Any]:
    return {"nbformat": 4, "cells": [{"cell_type": "code", "source": source} for source in sources]} | more


# -- notebooks: lines on which replacing magics could backtrack, or parsing could take long

MAGIC: Final = "%who\n"
"""A line that is not Python, so that the cell is parsed and its lines are replaced."""

CELLS: Final[dict[str, Callable[[], str]]] = {
    "a_line_of_blanks_between_letters": lambda: "a" + " " * 250_000 + "b",
    "a_magic_and_a_line_of_blanks": lambda: MAGIC + "a" + " " * 250_000 + "b",
    "an_assignment_of_blanks": lambda: MAGIC + "a" + " " * 200_000 + "= b",
    "commas_before_an_equals_sign": lambda: MAGIC + "a, " * 80_000 + "= 1",
    "time_and_blanks": lambda: "%time" + " " * 250_000,
    "question_marks": lambda: MAGIC + "?" * 250_000,
    "stars_and_a_question_mark": lambda: MAGIC + "*" * 250_000 + "?",
    "dots": lambda: MAGIC + "a." * 120_000 + "!",
    "apostrophes": lambda: MAGIC + "'" * 250_000,
    "long_strings_that_do_not_end": lambda: MAGIC + '"""\n' * 60_000,
    "backslashes": lambda: MAGIC + "\\" * 250_000,
    "backslashes_in_a_string": lambda: MAGIC + "'" + "\\'" * 120_000,
    "continued_lines": lambda: MAGIC + "\\\n" * 120_000,
    "opening_brackets": lambda: MAGIC + "(" * 250_000,
    "nested_brackets": lambda: MAGIC + "[" * 100_000 + "]" * 100_000,
    "nested_calls": lambda: MAGIC + "f(" * 100_000,
    "nested_dictionaries": lambda: MAGIC + "{a:" * 80_000,
    "nested_blocks": lambda: MAGIC + "".join(" " * level + "if x:\n" for level in range(600)),
    "lines_of_one_letter": lambda: MAGIC + "x\n" * 125_000,
    "statements_on_one_line": lambda: MAGIC + "x;" * 125_000,
    "cell_magics_one_after_another": lambda: "%%time\n" * 35_000,
    "magics_only": lambda: "%a\n" * 85_000,
    "shell_commands_only": lambda: "!\n" * 125_000,
    "question_mark_lines": lambda: "a?\n" * 85_000,
    "an_unknown_cell_magic": lambda: "%%bash\n" + "x\n" * 125_000,
    "hashes": lambda: MAGIC + "#" * 250_000,
    "unicode_names": lambda: MAGIC + "ﬁ = é\n" * 25_000,
    "form_feeds": lambda: MAGIC + "\f" * 250_000,
    "other_line_separators": lambda: MAGIC + "x\u2028" * 60_000,
    "format_strings": lambda: MAGIC + "f'{" * 80_000,
    "decorators": lambda: MAGIC + "@a\n" * 80_000,
}
for name, source in CELLS.items():
    add(f"a_cell_of_{name}", lambda source=source: notebook(source()), NOTEBOOK)  # type: ignore[misc]
add("a_notebook_with_a_line_of_blanks_as_json", lambda: {"notebook": notebook(MAGIC + "a" + " " * 100_000 + "b")})
add("a_notebook_of_a_megabyte_of_code", lambda: notebook("x = 1\n" * 200_000), NOTEBOOK)
add("a_notebook_of_small_cells_that_are_too_large_together", lambda: notebook(*["x = 1\n" * 100] * 1_500), NOTEBOOK)
add("a_notebook_of_a_hundred_thousand_cells", lambda: notebook(*["x"] * 100_000), NOTEBOOK)
add("a_notebook_of_a_hundred_thousand_magics", lambda: notebook(*["!x"] * 100_000), NOTEBOOK)
add("a_notebook_of_empty_cells", lambda: notebook(*[""] * 200_000), NOTEBOOK)
add("a_source_of_a_million_pieces", lambda: notebook(["x"] * 1_000_000), NOTEBOOK)
add("outputs_of_eleven_megabytes", lambda: notebook("x = 1", metadata={"picture": "A" * 11_000_000}), NOTEBOOK)
add("outputs_of_a_million_lists", lambda: notebook("x = 1", metadata=[[]] * 1_000_000), NOTEBOOK)
add("outputs_nested_too_deep", b'{"cells": [], "metadata": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", NOTEBOOK)

# -- notebooks of broken shapes

SHAPES: Final[list[Any]] = [
    {"worksheets": [{"cells": 5}]}, {"worksheets": [5]}, {"worksheets": 5}, {"worksheets": [{"cells": {"a": 1}}]},
    {"worksheets": [None, {"cells": [{"cell_type": "code", "input": 5}]}]}, {"cells": 5}, {"cells": {}}, {"cells": None},
    {"cells": [None]}, {"cells": [[]]}, {"cells": "code"}, {"cells": [{"cell_type": "code"}]},
    {"cells": [{"cell_type": "code", "source": None}]}, {"cells": [{"cell_type": "code", "source": {"a": 1}}]},
    {"cells": [{"cell_type": "code", "source": ["x", 1]}]}, {"cells": [{"cell_type": ["code"], "source": "x"}]},
    {"cells": [{"cell_type": "code", "source": "\0"}]}, notebook("x", metadata=[]), notebook("x", metadata={"kernelspec": []}),
    notebook("x", metadata={"kernelspec": {"language": 5}}), notebook("x", metadata={"language_info": {"name": "R" * 100_000}}),
    [], 5, "cells", None, True, {"nbformat": "4"},
]  # fmt: skip
for index, shape in enumerate(SHAPES):
    add(f"a_notebook_of_broken_shape_{index}", json.dumps(shape), NOTEBOOK)

# -- expressions

EXPRESSIONS: Final[dict[str, Callable[[], str]]] = {
    "a_sum_of_a_megabyte": lambda: "x+" * 500_000 + "x",
    "a_long_sum": lambda: "x+" * 130_000 + "x",
    "nested_parentheses": lambda: "(" * 130_000 + "x" + ")" * 130_000,
    "nested_calls": lambda: "f(" * 85_000 + "x" + ")" * 85_000,
    "minus_signs": lambda: "-" * 250_000 + "x",
    "nots": lambda: "not " * 65_000 + "x",
    "lambdas": lambda: "lambda:" * 37_000 + "x",
    "conditions": lambda: "x if x else " * 21_000 + "x",
    "attributes": lambda: "x" + ".a" * 130_000,
    "comparisons": lambda: "x" + "<x" * 130_000,
    "a_huge_integer": lambda: "9" * 250_000,
    "a_huge_hexadecimal_integer": lambda: "0x" + "f" * 250_000,
    "digits_and_underscores": lambda: "1_" * 125_000 + "1",
    "many_integers_of_4300_digits": lambda: "+".join(["9" * 4_299] * 60),
    "nested_format_strings": lambda: "f'{" * 80_000,
    "a_format_string_with_many_fields": lambda: "f'" + "{x}" * 80_000 + "'",
    "many_strings": lambda: "'a' " * 65_000,
    "a_name_of_250_kilobytes": lambda: "a" * 250_000,
    "a_name_that_unicode_normalizes": lambda: "ﬁ" * 80_000,
    "nested_comprehensions": lambda: "[x for x in " * 20_000,
    "stars": lambda: "*" * 250_000,
    "continued_lines": lambda: "x" + "\\\n" * 120_000,
    "tabs": lambda: "x" + "\t" * 250_000 + "y",
    "blanks_inside": lambda: "x" + " " * 250_000 + "y",
    "statements": lambda: "x = 1;" * 40_000,
    "a_power_tower": lambda: "9**9**9**9**9",
    "a_large_constant": lambda: "'a' * 10**9",
    "walrus_operators": lambda: "(x:=" * 60_000,
    "awaits": lambda: "await " * 40_000 + "x",
    "a_dictionary_of_dictionaries": lambda: "{a:" * 80_000 + "x" + "}" * 80_000,
    "errors_inside_nested_calls": lambda: "f(a=" * 60_000 + "x y" + ")" * 60_000,
}
for name, source in EXPRESSIONS.items():
    add(f"an_expression_of_{name}", lambda source=source: {"expression": source()})  # type: ignore[misc]
add("an_expression_with_a_surrogate", b'{"expression": "\\ud800"}')
add("an_expression_with_a_null", {"expression": "x\0y"})
add("an_expression_of_a_million_escapes", lambda: b'{"expression": "' + b"\\u0041" * 1_000_000 + b'"}')

# -- inputs


def inputs(**tensors: Any) -> dict[str, Any]:
    return {"expression": "1", "inputs": tensors}


def nested(depth: int, value: str = "1") -> bytes:
    return b'{"expression": "x", "inputs": {"x": ' + b"[" * depth + value.encode() + b"]" * depth + b"}}"


add("four_million_empty_lists", lambda: b'{"expression": "x", "inputs": {"x": [' + b"[]," * 4_000_000 + b"[]]}}")
add("empty_lists_within_the_limit", lambda: inputs(x=[[]] * 10_000))
add("empty_lists_in_many_inputs", lambda: inputs(**{f"x{index}": [[]] * 10_000 for index in range(60)}))
add("lists_of_empty_lists", lambda: inputs(x=[[[]] * 1_000] * 300))
add(
    "three_hundred_thousand_inputs",
    lambda: inputs(**{f"a{index}": 1 for index in range(300_000)}),
)
add("a_hundred_thousand_inputs", lambda: inputs(**{f"x{index}": 1 for index in range(100_000)}))
add("an_input_with_a_name_of_ten_megabytes", lambda: b'{"expression": "x", "inputs": {"' + b"x" * 10_000_000 + b'": 1}}')
add("an_input_with_a_long_name", lambda: inputs(**{"x" * 100_000: 1}))
add("an_input_whose_name_is_code", lambda: inputs(**{"x=1\nimport os\n" * 5_000: 1}))
add("an_input_nested_400_levels", nested(400))
add("an_input_nested_100000_levels", nested(100_000))
add("a_ragged_input", lambda: inputs(x=[[1, 2]] * 4_000 + [[1]]))
add("an_input_of_a_hundred_thousand_numbers", lambda: inputs(x=list(range(100_000))))
add("an_input_of_huge_integers", b'{"expression": "x", "inputs": {"x": [' + b",".join([b"9" * 4_000] * 100) + b"]}}")
add("an_input_of_a_million_digits", nested(0, "9" * 1_000_000))
add("an_input_beyond_floats", nested(1, "1e400"))
add("an_input_of_nan_literals", nested(1, "NaN"))
add("an_input_of_nan_texts", lambda: inputs(x=["NaN", "Infinity", "-Infinity"] * 3_000))
add("an_input_with_a_dtype_of_a_megabyte", lambda: inputs(x={"values": 1, "dtype": "f" * 1_000_000}))
add("an_input_with_a_dtype_of_lists", lambda: inputs(x={"values": 1, "dtype": [[]] * 100_000}))
add("an_input_with_a_long_unknown_field", lambda: inputs(x={"values": 1, "f" * 1_000_000: 1}))
add("an_input_of_objects", lambda: inputs(x=[{"values": 1}] * 9_000))
add("an_input_of_long_texts", lambda: inputs(x=["a" * 100_000]))
add("an_integer_out_of_range", lambda: inputs(x={"values": [10**300], "dtype": "int64"}))
add("complex_values_of_wrong_length", lambda: inputs(x={"values": [[1, 2, 3]] * 3_000, "dtype": "complex64"}))

# -- trainings


def training(**changes: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "parameters": {"m": 1},
        "data": {"x": [1, 2]},
        "loss": "((m * x) ** 2).mean()",
        "optimizer": "SGD",
        "steps": 1,
    }
    return {"training": usual | changes}


add("a_training_with_a_nested_loss", lambda: training(loss="(" * 100_000 + "m" + ")" * 100_000))
add("a_training_with_a_loss_of_a_megabyte", lambda: training(loss="m+" * 500_000 + "m"))
add("a_training_with_a_hundred_thousand_parameters", lambda: training(parameters={f"p{index}": 1 for index in range(100_000)}))
add("a_training_of_empty_lists", lambda: training(data={f"x{index}": [[]] * 9_000 for index in range(50)}))
add("a_training_with_endless_steps", lambda: training(steps=10**300))
add(
    "a_training_with_a_hundred_thousand_options",
    lambda: training(optimizer={"name": "SGD"} | dict.fromkeys(map(str, range(100_000)), 1)),
)
add("a_training_with_a_long_optimizer", lambda: training(optimizer="S" * 1_000_000))
add("a_training_with_a_list_as_optimizer", lambda: training(optimizer=[[]] * 100_000))
add("a_training_with_long_betas", lambda: training(optimizer={"name": "Adam", "betas": [0.1] * 300_000}))
add("a_training_with_a_huge_rate", lambda: training(optimizer={"name": "SGD", "lr": 10**300}))
add("a_training_with_a_long_unknown_field", lambda: training(**{"f" * 1_000_000: 1}))
add("a_training_whose_names_collide", lambda: training(parameters={"x" * 90: 1}, data={"x" * 90: 1}))
add("a_training_of_a_text", {"training": "m"})

# -- programs

add("a_program_of_the_largest_size", lambda: ("x = 1\n" * 50_000)[:SOURCE], PYTHON)
add("a_program_of_twelve_megabytes", lambda: b"#" * BODY, PYTHON)
add("a_program_of_a_megabyte_of_short_lines", lambda: b"x\n" * 500_000, PYTHON)
add("a_program_of_carriage_returns", lambda: b"\r\n" * SOURCE + b"x = 1", PYTHON)
add("a_program_of_short_lines", lambda: "x\n" * 125_000, PYTHON)
add("a_program_of_opening_parentheses", lambda: "(" * SOURCE, PYTHON)
add("a_program_of_nested_blocks", lambda: "".join(" " * level + "if 1:\n" for level in range(600)), PYTHON)
add("a_program_in_one_line", lambda: "x=1;" * 60_000, PYTHON)
add("a_program_of_a_huge_integer", lambda: "x = " + "9" * 250_000, PYTHON)
add("a_program_with_an_encoding_line", b"# coding: utf-7\nx = 1\n", PYTHON)
add("a_program_with_an_unknown_encoding_line", b"# coding: nonsense\nx = 1\n", PYTHON)
add("a_program_with_surrogates", "x = '\ud800'", PYTHON)
add("a_program_with_nulls", b"\0" * 100_000, PYTHON)
add("a_program_of_bytes_that_are_not_text", bytes(range(128, 256)) * 1_000, PYTHON)
add("a_program_in_utf_16", "x = 1".encode("utf-16"), PYTHON)
add("a_program_of_blanks", b" " * 200_000, PYTHON)
add("a_program_of_marks_that_reorder_text", "x = '\u202e\u2066'\n" * 10_000, PYTHON)
add("a_program_that_prints_a_great_deal", lambda: b"print('x' * 50_000_000)", PYTHON)
add("a_program_that_raises_a_long_message", lambda: b"raise ValueError('hook \\'' * 1_000_000)", PYTHON)
add("a_program_that_never_ends_in_json", {"program": "while True: pass", "store": False})

# -- JSON

add("a_body_of_opening_brackets", lambda: b"[" * BODY)
add("a_body_of_opening_braces", lambda: b'{"program":' * 1_000_000)
add("a_body_of_blanks", lambda: b" " * BODY)
add("a_body_that_ends_early", b'{"program": "x')
add("a_body_with_an_unknown_field_of_ten_megabytes", lambda: b'{"' + b"x" * 10_000_000 + b'": 1}')
add("a_body_with_the_same_field_a_million_times", b"{" + b'"program":1,' * 900_000 + b'"program":"x"}')
add("a_body_with_a_seed_of_a_megabyte", lambda: b'{"program": "x", "seed": ' + b"9" * 1_000_000 + b"}")
add("a_body_with_a_seed_of_5000_digits", b'{"program": "x", "seed": ' + b"9" * 900 + b"}")
add("a_body_with_a_capture_of_lists", lambda: {"program": "x", "capture": [[]] * 100_000})
add("a_body_with_a_store_of_text", lambda: {"program": "x", "store": "yes" * 200})
add("a_body_that_is_a_number", b"1e308")
add("a_body_in_utf_16", '{"program": "x"}'.encode("utf-16"))
add("a_body_with_a_byte_order_mark", b'\xef\xbb\xbf{"program": "x"}')
add("a_body_with_bytes_that_are_not_text", b'{"program": "\xff\xfe"}')
add("a_body_with_text_after_its_end", b'{"program": "x"} {"program": "y"}')
add("a_program_that_is_a_list", lambda: {"program": ["x"] * 100_000})

# -- headers and addresses

add("a_long_media_type", b"x", "a/" + "b" * 8_000)
add("a_long_charset", b"x", f"{PYTHON}; charset=" + "x" * 8_000)
add("many_accepted_types", b"x = 1", PYTHON, headers={"Accept": ",".join(["a/b;q=0.1"] * 800)})
add("a_wrong_quality", b"x = 1", PYTHON, headers={"Accept": "text/plain;q=" + "9" * 4_000})
add("many_preferences", b"x = 1", PYTHON, headers={"Prefer": ",".join(["wait=99999999999999999999"] * 200)})
add("a_long_idempotency_key", b"x = 1", PYTHON, headers={"Idempotency-Key": "k" * 8_000})
add("a_long_bearer_key", b"x = 1", PYTHON, headers={"Authorization": "Bearer " + "k" * 8_000})
add("many_cookies", b"x = 1", PYTHON, headers={"Cookie": "; ".join(f"c{index}=1" for index in range(800))})
add("many_options", b"x = 1", PYTHON, path=f"{RUNS}?" + "&".join(f"a{index}=1" for index in range(800)))
add("a_seed_of_many_digits", b"x = 1", PYTHON, path=f"{RUNS}?seed=" + "9" * 8_000)
add("a_long_run_id", b"", path=f"{RUNS}/" + "0" * 8_000, method="GET")
add("a_long_step", b"", path=f"{RUNS}/{{run}}/steps/" + "9" * 8_000, method="GET")
add("a_long_series_key", b"", path=f"{RUNS}/{{run}}/series?keys=p0.state." + "a" * 8_000, method="GET")
add("a_series_key_of_indices", b"", path=f"{RUNS}/{{run}}/series?keys=p0[" + "0," * 4_000 + "]", method="GET")
add("many_series_keys", b"", path=f"{RUNS}/{{run}}/series?keys=" + ",".join(["p*.grad"] * 1_000), method="GET")
add("a_long_node", b"", path="/r/{run}?node=" + "n" * 8_000, method="GET")
add("a_long_graph", b"", path="/r/{run}?graph=g" + "9" * 8_000, method="GET")

# -- replays

REPLAYS: Final = f"{RUNS}/{{run}}/replays"


def replay(**fields: Any) -> dict[str, Any]:
    return {"what": "surface", "step": 0} | fields


add("a_replay_of_a_name_of_blanks", lambda: replay(parameters=["a" + " " * 90_000 + "["]), path=REPLAYS)
add("a_replay_of_a_long_index", lambda: replay(parameters=["m[" + "0," * 40_000 + "0]"]), path=REPLAYS)
add("a_replay_of_many_parameters", lambda: replay(what="check", parameters=["m"] * 20_000), path=REPLAYS)
add("a_replay_of_brackets", lambda: replay(parameters=["[" * 90_000]), path=REPLAYS)
add("a_replay_nested_too_deep", b'{"what": "surface", "step": ' + b"[" * 90_000, path=REPLAYS)
add("a_replay_of_a_huge_step", b'{"what": "surface", "step": ' + b"9" * 90_000 + b"}", path=REPLAYS)
add("a_replay_of_huge_points", lambda: replay(points=10**300), path=REPLAYS)
add("a_replay_of_a_megabyte", lambda: replay(parameters=["x" * 1_000_000]), path=REPLAYS)
add("a_replay_of_an_unknown_kind", lambda: replay(what=[[]] * 30_000), path=REPLAYS)

# -- event streams and pictures

EVENTS: Final = f"{RUNS}/{{run}}/events"
for name, last in {"digits": "9" * 8_000, "minus_one": "-1", "a_list": "1," * 4_000, "other_digits": "%b2"}.items():
    add(f"a_stream_after_{name}", b"", path=EVENTS, method="GET", headers={"Last-Event-ID": last})
add("a_picture_of_a_long_theme", b"", path=f"{RUNS}/{{run}}/passes/0/graph.svg?theme=" + "t" * 8_000, method="GET")
add("a_picture_of_a_long_node", b"", path=f"{RUNS}/{{run}}/passes/0/graph.png?selected=" + "n" * 8_000, method="GET")
add("a_picture_of_a_huge_pass", b"", path=f"{RUNS}/{{run}}/passes/{'9' * 4_000}/graph.pdf", method="GET")

# -- programs on which finding mistakes or drawing could take long

for name, program in PROGRAMS.items():
    add(f"a_program_of_{name}", lambda program=program: {"program": program()})  # type: ignore[misc]

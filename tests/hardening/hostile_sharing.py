"""Add hostile requests to what is shared: lessons, explanations, exports, frames, classrooms and QR codes."""

from __future__ import annotations

from urllib.parse import quote

from .hostile import JSON, REQUESTS, RUNS, add, replay

__all__ = ["REQUESTS"]

RUN = f"{RUNS}/{{run}}"
LESSON = "/api/v1/lessons/backward"


def get(name: str, path: str, host: str | None = None) -> None:
    """Add a GET request. ``path`` is quoted already."""
    add(name, b"", path=path, method="GET", headers={} if host is None else {"Host": host})


# -- explanations: addresses on which a pattern could backtrack, huge indices, and names that are markup

ADDRESSES = {
    "brackets": "[" * 300,
    "pairs_of_brackets": "[0]" * 100,
    "an_index_of_blanks": "m[" + " " * 290 + "]",
    "an_index_of_many_numbers": "m[" + "0," * 140 + "0]",
    "an_index_of_nine_digits": "m[999999999]",
    "dots": "." * 300,
    "states_of_states": "m.state." * 37,
    "gradients_of_gradients": "m" + ".grad" * 59,
    "a_node_of_nine_digits": "n999999999.grad[999999999]",
    "an_edge_of_nine_digits": "e999999999",
    "an_output_that_there_is_not": "n0.9999.grad",
    "line_breaks": "\n" * 150 + "m",
    "markup": "<script>alert(1)</script>.grad",
    "a_formula": "\\frac{" * 50,
    "leaves_of_leaves": "m" + ".is_leaf" * 37,
}
for name, address in ADDRESSES.items():
    get(f"an_explanation_of_{name}", f"{RUN}/why?of={quote(address)}")
get("an_explanation_in_a_huge_step", f"{RUN}/why?of=m.grad&step={'9' * 4_000}")
get("an_explanation_in_a_huge_pass", f"{RUN}/why?of=m.grad&pass=2147483647")

# -- files of a run

get("an_animation_of_a_huge_step", f"{RUN}/animation.svg?step=2147483647")
get("an_animation_of_a_long_theme", f"{RUN}/animation.svg?theme={'t' * 8_000}")
get("a_file_of_a_long_theme", f"{RUN}/export.html?theme={'t' * 8_000}")
get("a_notebook_of_a_run_that_there_is_not", f"{RUNS}/{'0' * 32}/notebook.ipynb")
get("a_program_with_a_long_option", f"{RUN}/program.py?{'o' * 8_000}=1")

# -- frames and their descriptions

URLS = {
    "an_unfinished_address": "http://[::1",
    "no_address": "http://[x]/r/1",
    "a_name_that_unicode_normalizes": "http://a\u2100b/r/1",
    "a_script": "javascript:alert(1)",
    "another_server": "https://evil.example/r/1",
    "a_server_with_a_user": "http://testserver@evil.example/r/1",
    "a_path_of_dots": "http://testserver/r/../../etc/passwd",
    "a_long_run": "http://testserver/r/" + "a" * 1_900,
    "many_options": "http://testserver/r/none?" + "step=1&" * 270,
}
for name, url in URLS.items():
    get(f"a_frame_of_{name}", f"/oembed?url={quote(url)}")
get("a_frame_of_many_panes", f"/embed/{{run}}?panes={'graph,' * 16}")
get("a_frame_of_an_unknown_pane", "/embed/{run}?panes=%3Cscript%3E")
get("a_frame_of_an_unknown_curve", "/embed/{run}?curve=<")
get("a_frame_of_a_long_parameter", f"/embed/{{run}}?parameter={'p' * 8_000}")

# -- QR codes

for name, path in {"letters": "x" * 990, "digits": "1" * 999, "chinese": "\u6f22" * 900, "line_breaks": "\n" * 900}.items():
    get(f"a_qr_code_of_{name}", f"/qr.svg?path=/{quote(path)}")
get("a_qr_code_of_another_server", "/qr.svg?path=//evil.example")
get("a_qr_code_of_a_long_server", "/qr.svg?path=/", host="x" * 4_000)

# -- lessons

TASK = f"{LESSON}/write/dm"
CODES = {
    "a_reader_of_a_megabyte": {"code": "x" * 1_000_000},
    "a_reader_of_nested_brackets": {"code": "(" * 7_900},
    "a_reader_without_code": {"code": " " * 7_000},
    "a_reader_with_nulls": {"code": "\0" * 100},
    "a_reader_of_a_list": {"code": ["x"] * 1_000},
    "a_reader_of_other_fields": {"code": "x", "y" * 1_000: 1},
}
for name, body in CODES.items():
    add(name, body, JSON, path=TASK)  # type: ignore[arg-type]
add("a_reader_in_plain_text", b"code = 1", "text/plain", path=TASK)
add("a_reader_of_a_lesson_that_there_is_not", {"code": "x"}, JSON, path="/api/v1/lessons/" + "l" * 4_000 + "/fix/none")
for name, value in {"digits": "9" * 4_000, "an_infinity": "inf", "no_number": "nan", "a_power": "1e999"}.items():
    get(f"a_drag_to_{name}", f"{LESSON}/drag/m?value={value}")

# -- classrooms

ROOMS = "/api/v1/classrooms"
KEY = {"Classroom-Key": "k" * 100}
add("a_room_that_there_is_not", b"", JSON, path=f"{ROOMS}/none/position?position=step=1", headers=KEY)
add("a_room_with_a_long_key", b"", JSON, path=f"{ROOMS}/none/position", headers={"Classroom-Key": "k" * 8_000})
add("a_room_without_a_key", b"", JSON, path=f"{ROOMS}/none/position")
add("a_room_at_a_long_position", b"", JSON, path=f"{ROOMS}/none/position?position={'p' * 8_000}", headers=KEY)
add("a_room_at_a_position_of_line_breaks", b"", JSON, path=f"{ROOMS}/none/position?position=%0A%0Adata:", headers=KEY)
get("a_stream_of_a_room_that_there_is_not", f"{ROOMS}/{'r' * 4_000}/events")
add("a_room_of_a_run_that_there_is_not", b"", JSON, path=f"{RUNS}/none/classrooms")

# -- watched expressions

EXPRESSIONS = {
    "nested_calls": "f(" * 490 + "x" + ")" * 490,
    "a_power_tower": "9**9**9**9**9",
    "a_large_text": "'a' * 10**9",
    "a_thousand_characters": "m+" * 499 + "m",
    "more_than_a_thousand_characters": "m+" * 40_000 + "m",
    "nulls": "\0",
    "surrogates": "'\ud800'",
}
for name, expression in EXPRESSIONS.items():
    body = replay(what="seek", line=10**9, expression=expression)
    del body["step"]
    add(f"a_watch_of_{name}", body, path=f"{RUN}/replays")

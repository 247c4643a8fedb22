"""A notebook becomes a program with the same lines in the same order."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from tapedeck.errors import InvalidInput, UnreadableInput
from tapedeck.inputs import notebook

SEED = Path(__file__).parent.parent / "seed" / "autograd_and_backpropagation.ipynb"


def cells(*sources: str | list[str], kind: str = "code") -> dict[str, object]:
    return {"nbformat": 4, "cells": [{"cell_type": kind, "source": source} for source in sources]}


def test_cells_are_joined_by_a_blank_line_and_their_lines_recorded() -> None:
    program = notebook.convert(cells("import torch", "x = 1\nx\n", ["y = 2\n", "y"]))
    assert program.text == "import torch\n\nx = 1\nx\n\ny = 2\ny\n"
    assert list(program.cells) == [(1, 1), (3, 4), (6, 7)]
    assert program.kind == "notebook"


def test_text_cells_and_empty_code_cells_are_left_out() -> None:
    document = cells("x = 1", "   \n", "x")
    document["cells"].insert(0, {"cell_type": "markdown", "source": "# Title"})  # type: ignore[attr-defined]
    assert notebook.convert(document).text == "x = 1\n\nx\n"


def test_a_notebook_of_format_3_is_read() -> None:
    document = {"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "code", "input": ["x = 1\n", "x"]}]}]}
    assert notebook.convert(document).text == "x = 1\nx\n"


def test_magics_and_shell_commands_become_comments_on_the_same_line_with_a_note() -> None:
    program = notebook.convert(cells("%matplotlib inline\nimport torch\n!pip install einops", "x = 1"))
    assert program.text.splitlines() == [
        "# %matplotlib inline", "import torch", "# !pip install einops", "", "x = 1",
    ]  # fmt: skip
    assert program.notes == [
        {"code": "skipped-magic", "line": 1, "text": "%matplotlib inline"},
        {"code": "skipped-magic", "line": 3, "text": "!pip install einops"},
    ]


def test_a_note_names_the_line_in_the_program_not_in_its_cell() -> None:
    program = notebook.convert(cells("x = 1\nx", "y = 2\n%who"))
    assert [note["line"] for note in program.notes] == [5]
    assert program.text.splitlines()[4] == "# %who"


@pytest.mark.parametrize(
    "source",
    [
        "x = (7\n% 4)",
        "x = 7 \\\n% 4",
        'text = """\n%matplotlib inline\n!ls\n"""',
        "text = '''%d\n%s''' % (1, 2)",
    ],
)
def test_percent_and_exclamation_marks_that_are_python_are_kept(source: str) -> None:
    program = notebook.convert(cells(source))
    assert program.text == source + "\n"
    assert not program.notes


def test_a_magic_is_distinguished_from_the_lines_of_a_long_string() -> None:
    program = notebook.convert(cells('%who\ntext = """\n%not a magic\n(\n"""\n!ls "(\nx = "%"'))
    assert program.text.splitlines() == [
        "# %who", 'text = """', "%not a magic", "(", '"""', '# !ls "(', 'x = "%"',
    ]  # fmt: skip


def test_a_cell_in_another_language_is_skipped() -> None:
    program = notebook.convert(cells("%%bash\nrm -rf x\nls", "x = 1"))
    assert program.text.splitlines() == ["# %%bash", "# rm -rf x", "# ls", "", "x = 1"]
    assert [note["text"] for note in program.notes] == ["%%bash"]


def test_a_timed_cell_still_runs() -> None:
    program = notebook.convert(cells("%%time\nloss = f()\n%matplotlib inline"))
    assert program.text.splitlines() == ["# %%time", "loss = f()", "# %matplotlib inline"]
    assert [note["line"] for note in program.notes] == [1, 3]


def test_cell_magics_after_one_another_are_all_read() -> None:
    program = notebook.convert(cells("%%time\n\n%%capture\nx = 1\n!ls"))
    assert program.text.splitlines() == ["# %%time", "", "# %%capture", "x = 1", "# !ls"]
    assert [note["line"] for note in program.notes] == [1, 3, 5]
    assert len(notebook.convert(cells("%%time\n" * 3_000)).cells) == 1


def test_an_assignment_of_a_magic_may_have_any_target_and_no_comparison() -> None:
    text = notebook.convert(cells("a.b[0], c  =  !ls\nx == !y\n= !z\n%timeit x\n%time  x = 1")).text
    assert text.splitlines() == [
        "a.b[0], c = None  # !ls", "x == !y", "= !z", "# %timeit x", "x = 1  # %time",
    ]  # fmt: skip


def test_skipped_lines_are_noted_up_to_a_number_and_a_length() -> None:
    program = notebook.convert(cells("!ls\n" * 500, "%who " + "x" * 1_000))
    assert len(program.notes) == notebook.NOTES
    assert max(len(note["text"]) for note in notebook.convert(cells("%who " + "x" * 1_000)).notes) <= notebook.LONGEST_NOTE + 1


def test_a_notebook_of_too_many_cells_is_rejected_before_one_is_parsed() -> None:
    with pytest.raises(InvalidInput, match="more than 2,000 code cells"):
        notebook.convert(cells(*["%who"] * 2_001))


def test_a_magic_that_is_the_only_line_of_a_block_becomes_valid_python() -> None:
    text = notebook.convert(cells("for i in range(3):\n    !echo {i}\nout = !ls\na?")).text
    ast.parse(text)
    assert "    pass  # !echo {i}" in text
    assert "out = None  # !ls" in text


def test_all_cells_of_a_real_notebook_are_read() -> None:
    program = notebook.read(SEED.read_bytes())
    lines = program.text.splitlines()
    assert len(program.cells) == 12
    assert lines[:2] == ["import torch", "import numpy as np"]
    start, end = program.cells[-1]
    assert lines[start - 1 : end] == [
        "learning_rate = .01", "m = m - learning_rate * m.grad", "m",
        "# as we see, we move in the right direction, since the slope increased",
    ]  # fmt: skip
    ast.parse(program.text)


@pytest.mark.parametrize(
    ("data", "error", "sentence"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00", UnreadableInput, "not a notebook"),
        (b"\xff\xfe\x00\x01", UnreadableInput, "not a notebook"),
        (b"[" * 100_000, UnreadableInput, "not a notebook"),
        (b"[]", UnreadableInput, "not an object with cells"),
        (b"{}", UnreadableInput, "no list of cells"),
        (b'{"worksheets":[{"cells":5}]}', InvalidInput, "no code"),
        (b'{"cells": [1]}', UnreadableInput, "a cell is not an object"),
        (b'{"cells": [{"cell_type": "code", "source": 3}]}', UnreadableInput, "a string or a list of strings"),
        (b'{"cells": []}', InvalidInput, "no code"),
        (b'{"cells": [{"cell_type": "markdown", "source": "hi"}]}', InvalidInput, "no code"),
        (b'{"cells": [], "metadata": {"kernelspec": {"language": "R"}}}', InvalidInput, "written in r"),
    ],
)
def test_an_invalid_notebook_is_rejected_with_a_message(data: bytes, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        notebook.read(data)


def test_a_byte_order_mark_is_ignored() -> None:
    assert notebook.read(b"\xef\xbb\xbf" + json.dumps(cells("x = 1")).encode()).text == "x = 1\n"

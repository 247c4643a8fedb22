"""Turn a notebook into a program: its code cells in order. Each line of a cell becomes one line.

Empty cells, and blank lines at the start and end of a cell, are left out. The Markdown cells, and the names and numbers of the
code cells, become notes of the program.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from .. import model
from ..errors import InvalidInput, UnreadableInput
from .text import SOURCE_BYTES, check_size, short

CELLS: Final = 2_000
"""Largest number of code cells, and of Markdown cells."""
NOTES: Final = 200
"""Largest number of notes about skipped lines. Further lines are skipped without a note."""
KEPT_CELL_MAGICS: Final = frozenset({"time", "timeit", "capture", "prun", "memit", "python", "python3"})
"""Cell magics whose body is Python and runs as a part of the program. A cell with any other magic is skipped."""

LONGEST_NOTE: Final = 200
"""Largest number of characters of a skipped line that its note quotes."""
MARKDOWN: Final = 200_000
"""Largest number of characters of all Markdown cells together. Further Markdown cells are left out."""
LONGEST_NAME: Final = 100
"""Largest number of characters of a cell's name."""

Note = dict[str, Any]


class _NotebookCell(Struct, frozen=True):
    """A cell that is not empty. ``number`` is the number that Jupyter shows beside it, such as 3 for ``In [3]``."""

    text: str
    markdown: bool
    name: str
    number: int | None


def read(data: bytes, most_bytes: int = SOURCE_BYTES) -> model.Program:
    """Read the bytes of an ``.ipynb`` file. Raises the errors of :func:`convert`."""
    try:
        document = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise UnreadableInput(
            f"This is not a notebook: an .ipynb file is JSON, but this file is not ({error}). Save it again from Jupyter.",
            where="notebook",
        ) from error
    return convert(document, most_bytes)


def convert(document: Any, most_bytes: int = SOURCE_BYTES) -> model.Program:
    """Return the program of a parsed notebook (nbformat 3 or 4): its code cells, joined by blank lines.

    Raises :class:`UnreadableInput`, :class:`InvalidInput` if the notebook has no code or too many cells, and
    :class:`TooLarge` if its code has more than ``most_bytes``. Sizes are checked before a cell is parsed.

    >>> program = convert({"nbformat": 4, "cells": [
    ...     {"cell_type": "code", "source": "%matplotlib inline\\nx = 1"}, {"cell_type": "code", "source": ["x"]}]})
    >>> print(program.text)
    # %matplotlib inline
    x = 1
    <BLANKLINE>
    x
    <BLANKLINE>
    >>> program.cells, program.notes
    ([(1, 2), (4, 4)], [{'code': 'skipped-magic', 'line': 1, 'text': '%matplotlib inline'}])
    """
    lines: list[str] = []
    cells: list[tuple[int, int]] = []
    notes: list[Note] = []
    about: list[Note] = []
    found = _bounded(_sources(document))
    check_size("\n\n".join(cell.text for cell in found if not cell.markdown), most_bytes, "The notebook's code", "notebook")
    for cell in found:
        start = len(lines) + 2 if lines else 1
        if cell.markdown:
            about.append({"code": "markdown", "line": start, "text": cell.text})
            continue
        if lines:
            lines.append("")
        plain, skipped = plain_python(cell.text.strip("\n").split("\n"))
        lines += plain
        cells.append((start, len(lines)))
        notes += ({"code": "skipped-magic", "line": start + at, "text": short(text, LONGEST_NOTE)} for at, text in skipped)
        if cell.name or cell.number is not None:
            about.append({"code": "cell", "line": start, "text": cell.name, "number": cell.number})
    if not cells:
        raise InvalidInput(
            "The notebook has no code: all of its code cells are empty. Add code, or send a program.",
            where="notebook",
        )
    return model.Program(text="\n".join(lines) + "\n", kind="notebook", cells=cells, notes=notes[:NOTES] + about)


def _bounded(sources: Iterator[_NotebookCell]) -> list[_NotebookCell]:
    """Return the cells. Raises :class:`InvalidInput` for too many code cells; Markdown beyond the limits is left out."""
    kept: list[_NotebookCell] = []
    code = texts = characters = 0
    for cell in sources:
        if cell.markdown:
            texts, characters = texts + 1, characters + len(cell.text)
            if texts > CELLS or characters > MARKDOWN:
                continue
        elif (code := code + 1) > CELLS:
            raise InvalidInput(
                f"The notebook has more than {CELLS:,} code cells: remove cells that the gradients don't need.",
                where="notebook",
            )
        kept.append(cell)
    return kept


def plain_python(lines: list[str]) -> tuple[list[str], list[tuple[int, str]]]:
    """Replace IPython's magics and shell commands with Python, and keep the number of lines.

    Return the lines, and the 0-based line and the text of each replacement.

    >>> plain_python(["if verbose:", "    !ls", "files = !ls", "%time y = f(x)", "x?"])[0]
    ['if verbose:', '    pass  # !ls', 'files = None  # !ls', 'y = f(x)  # %time', '# x?']
    >>> plain_python(["%%bash", "ls"])
    (['# %%bash', '# ls'], [(0, '%%bash')])
    """
    result = list(lines)
    notes: list[tuple[int, str]] = []
    begin = 0
    while magic := _cell_magic(lines, begin):
        first, name = magic
        notes.append((first, lines[first]))
        kept = name in KEPT_CELL_MAGICS
        begin = first + 1
        result[first : begin if kept else None] = [f"# {line}" for line in lines[first : begin if kept else None]]
        if not kept:
            return result, notes
    rest = lines[begin:]
    replaced = {at: new for at in _statements(rest) if (new := _replace(rest[at])) is not None}
    if replaced and not _is_python("\n".join(rest)):  # a leading % may be an operator or inside a string
        for at, new in replaced.items():
            result[begin + at] = new
            notes.append((begin + at, rest[at].strip()))
    return result, notes


def _cell_magic(lines: list[str], begin: int) -> tuple[int, str] | None:
    """Return the index and the name of a cell magic, if it is on the first line from ``begin`` that is not blank."""
    first = next((at for at in range(begin, len(lines)) if lines[at].strip()), None)
    magic = None if first is None else re.match(r"%%(\w+)", lines[first])
    return None if first is None or magic is None else (first, magic[1])


def _replace(line: str) -> str | None:
    """Return the Python for a magic, a shell command or a request for help such as ``x?``; ``None`` for any other line.

    The time that this takes is linear in the length of the line.
    """
    text = line.lstrip()
    indent = line[: len(line) - len(text)]
    if text.startswith("%time") and (timed := text.removeprefix("%time")) != timed.lstrip() and timed.strip():
        return f"{indent}{timed.lstrip()}  # %time"
    if text[:1] in ("%", "!") or re.fullmatch(r"\?{1,2}[\w.*]+|[\w.*]+\?{1,2}", text):
        return f"{indent}pass  # {text}" if indent else f"# {text}"  # a block needs a statement
    target, equals, command = text.partition("=")
    command = command.lstrip()
    if equals and command[:1] in ("%", "!") and re.fullmatch(r"[\w.,\s\[\]]+", target):
        return f"{indent}{target.rstrip()} = None  # {command}"
    return None


_TOKEN: Final = re.compile(r"#.*|'''|\"\"\"|'(?:\\.|[^'\\])*'?|\"(?:\\.|[^\"\\])*\"?|[([{]|[)\]}]|\\$")
_ENDS: Final = {"'''": re.compile(r"(?:\\.|[^\\])*?'''"), '"""': re.compile(r'(?:\\.|[^\\])*?"""')}
"""Patterns for the rest of a triple-quoted string, by its quotes."""


def _statements(lines: list[str]) -> Iterator[int]:
    """Yield the 0-based lines on which a statement starts: not inside a bracket, a triple-quoted string or a continued line."""
    depth, quote, continued = 0, "", False
    for at, line in enumerate(lines):
        if not (depth or quote or continued):
            yield at
            if re.match(r"\s*[%!?]", line):
                continue  # quotes and brackets of a shell command are not Python's
        continued = False
        position = 0
        while position < len(line):
            if quote:
                end = _ENDS[quote].match(line, position)
                if not end:
                    break
                position, quote = end.end(), ""
                continue
            token = _TOKEN.search(line, position)
            if not token:
                break
            position, text = token.end(), token[0]
            if text in ("'''", '"""'):
                quote = text
            elif text in "([{":
                depth += 1
            elif text in ")]}":
                depth = max(0, depth - 1)
            elif text == "\\":
                continued = True


def _is_python(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in strings
        try:
            ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


def _sources(document: Any) -> Iterator[_NotebookCell]:
    """Yield each cell of code or Markdown, unless it is empty."""
    if not isinstance(document, Mapping):
        raise UnreadableInput("This is not a notebook: the JSON is not an object with cells.", where="notebook")
    cells = document.get("cells")
    if cells is None and isinstance(sheets := document.get("worksheets"), list):  # nbformat 3
        cells = [cell for sheet in sheets for cell in _cells(sheet)]
    if not isinstance(cells, list):
        raise UnreadableInput("This is not a notebook: the JSON has no list of cells.", where="notebook")
    language = _language(document)
    if language not in ("", "python", "ipython"):
        raise InvalidInput(
            f"The notebook is written in {short(language)}: only Python notebooks can be run.", where="notebook.metadata"
        )
    for index, cell in enumerate(cells):
        if not isinstance(cell, Mapping):
            raise UnreadableInput("This is not a notebook: a cell is not an object.", where=f"notebook.cells[{index}]")
        markdown = cell.get("cell_type") == "markdown"
        if not markdown and cell.get("cell_type") != "code":
            continue
        source = cell.get("source", cell.get("input", ""))  # `input` in nbformat 3
        if isinstance(source, list) and all(isinstance(part, str) for part in source):
            source = "".join(source)
        if not isinstance(source, str):
            if markdown:
                continue
            raise UnreadableInput(
                "The source of a code cell must be a string or a list of strings.", where=f"notebook.cells[{index}].source"
            )
        source = source.replace("\r\n", "\n").replace("\r", "\n")
        if source.strip():
            metadata, number = cell.get("metadata"), cell.get("execution_count")
            name = metadata.get("name") if isinstance(metadata, Mapping) else None
            yield _NotebookCell(
                source,
                markdown,
                short(name, LONGEST_NAME) if isinstance(name, str) else "",
                number if isinstance(number, int) and 0 <= number < 2**31 else None,
            )


def _cells(sheet: Any) -> list[Any]:
    cells = sheet.get("cells") if isinstance(sheet, Mapping) else None
    return cells if isinstance(cells, list) else []


def _language(document: Mapping[str, Any]) -> str:
    metadata = document.get("metadata")
    if not isinstance(metadata, Mapping):
        return ""
    for part, key in (("language_info", "name"), ("kernelspec", "language")):
        info = metadata.get(part)
        if isinstance(info, Mapping) and isinstance(name := info.get(key), str):
            return name.lower()
    return ""

"""Give a run a title: the one that its owner chose, else one from its program."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ..model import program_lines

LONGEST: Final = 80
"""Largest number of characters of a title."""
TAB: Final = 48
"""Largest number of characters of a title in a tab, where a longer one is cut after a word."""
_MARKS: Final = ("#!", "# -*-", "# %", "#%%", "# !", "# type:", "# noqa")
"""Beginnings of comments that say nothing about a program."""
_SETUP: Final = ("import ", "from ", "pass  #", "torch.manual_seed(", "torch.set_", "random.seed(", "np.random.seed(")
"""Beginnings of statements that say nothing about a program."""

_CLASS: Final = re.compile(r"class (\w+)")
_FUNCTION: Final = re.compile(r"(?:async )?def (\w+)")
_LOSS: Final = re.compile(r"\s*\w*loss = (?!None\b|(?:torch\.)?nn\.[A-Z])", re.IGNORECASE)
"""The beginning of a line that computes a loss."""
_HEADING: Final = re.compile(r"^#{1,6} +(.*\S)", re.MULTILINE)


def cleaned(title: str) -> str:
    """Return a title in one line, without characters that cannot be printed and at most :data:`LONGEST` characters long.

    >>> cleaned("  Fit\\n a\\tline\\x00 ")
    'Fit a line'
    """
    printable = "".join(each if each.isprintable() else " " for each in title)
    line = " ".join(printable.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def tab_title(title: str) -> str:
    """Return a title that is short enough for a tab.

    >>> tab_title("Fit a line"), tab_title("A parameter that is updated through .data, unseen by autograd")
    ('Fit a line', 'A parameter that is updated through .data…')
    """
    if len(title) <= TAB:
        return title
    words = title[:TAB].rpartition(" ")[0] or title[: TAB - 1]
    return f"{words.rstrip(' ,.:;')}…"


def title_of(program: str, markdown: Sequence[str] = ()) -> str:
    """Return a title for a program: its first unindented comment or docstring, else words of its code.

    The words are the name of its first class, else the line of its loss, the name of its first function, or its first statement
    after the setup.

    ``markdown`` are the Markdown cells of a notebook. Their first heading is the title of the notebook.

    >>> title_of("import torch", ["Some words", "# Fit *a line*\\n\\nWith three points."])
    'Fit a line'
    >>> title_of("import torch\\n\\n# Fit a line\\nx = 1")
    'Fit a line'
    >>> title_of('\"\"\"Fit a line.\"\"\"')
    'Fit a line.'
    >>> title_of("import torch\\ntorch.manual_seed(0)\\nx = torch.ones(2)")
    'x = torch.ones(2)'
    >>> title_of("def layer(x, w):\\n    return x @ w\\nloss = layer(x, w).sum()  # a number")
    'loss = layer(x, w).sum()'
    >>> title_of("import torch\\n@torch.no_grad()\\ndef layer(x, w):\\n    return x @ w")
    'layer()'
    >>> title_of("class Net(nn.Module):\\n    pass")
    'Net'
    >>> title_of("w = 2.0\\nloss_fn = nn.MSELoss()\\nloss = None\\nloss = w ** 2")
    'loss = w ** 2'
    """
    if heading := next(filter(None, map(_HEADING.search, markdown)), None):
        return cleaned(re.sub(r"[*`]", "", heading[1]))
    lines = [line.rstrip() for line in program_lines(program) if line.strip(" \t#\"'")]
    comments = (line for line in lines if line.startswith(("#", '"""', "'''")) and not line.startswith(_MARKS))
    statements = (line for line in lines if not line.lstrip().startswith((*_SETUP, "#")))
    comment = next(comments, "")
    return cleaned(comment.strip("#\"' ") or _named(lines) or next(statements, lines[0] if lines else ""))


def _named(lines: Sequence[str]) -> str | None:
    """Return the name of the first class, the line of the loss or the name of the first function; ``None`` if there is none."""
    if found := next(filter(None, map(_CLASS.match, lines)), None):
        return found[1]
    if loss := next(filter(None, map(_loss_of, lines)), None):
        return loss
    found = next(filter(None, map(_FUNCTION.match, lines)), None)
    return found and f"{found[1]}()"


def _loss_of(line: str) -> str | None:
    """Return the code of a line that computes a loss, which says most about a short program; ``None`` for any other line."""
    code = line.partition("#")[0].strip()
    found = _LOSS.match(code)
    formula = code[found.end() :] if found else ""
    is_whole = formula[-1:].isalnum() or formula.endswith((")", "]", "_"))
    return code if is_whole and "=" not in formula and any(map(str.isalpha, formula)) else None

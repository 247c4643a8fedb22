"""Write the tables of settings in deploy/README.md, from the fields and docstrings of the classes that define them.

python .ci/settings.py
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct
from tapedeck.model import Limits
from tapedeck.settings import PREFIX, ConnectionLimits, Settings

FILE = Path(__file__).parent.parent / "deploy" / "README.md"
BEGIN, END = "<!-- settings: written by .ci/settings.py -->\n", "<!-- end of settings -->\n"
TABLES: tuple[tuple[str, str, type[Struct]], ...] = (
    ("The server", PREFIX, Settings),
    ("Limits of a run", f"{PREFIX}LIMIT_", Limits),
    ("Limits of connections", f"{PREFIX}CONNECTION_", ConnectionLimits),
)
COMPUTED = {"data": "`tapedeck` in the user's data folder"}
"""The defaults that depend on the machine."""


def main() -> None:
    text = FILE.read_text()
    before, _, rest = text.partition(BEGIN)
    FILE.write_text(before + BEGIN + tables() + END + rest.partition(END)[2])


def tables() -> str:
    """Return the tables of all settings as Markdown."""
    return "".join(f"\n### {title}\n\n{_table(prefix, kind)}" for title, prefix, kind in TABLES) + "\n"


def _table(prefix: str, kind: type[Struct]) -> str:
    defaults = kind()
    meanings = dict(_docstrings(kind))
    rows = [
        f"| `{prefix}{name.upper()}` | {COMPUTED.get(name) or _shown(value)} | {meanings[name]} |\n"
        for name in kind.__struct_fields__
        if not isinstance(value := getattr(defaults, name), Struct)
    ]
    return "| variable | default | meaning |\n|---|---|---|\n" + "".join(rows)


def _docstrings(kind: type[Struct]) -> Iterator[tuple[str, str]]:
    """Yield the name of each field that has a docstring, and the docstring as one line of Markdown."""
    (body,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(body, ast.ClassDef)
    for field, following in zip(body.body, body.body[1:], strict=False):
        match field, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, re.sub(r"\s+", " ", text.replace("``", "`")).strip()


def _shown(value: object) -> str:
    """Return a default as it is written in the environment.

    >>> _shown(True), _shown(""), _shown(12582912), _shown(10.0)
    ('`1`', '', '`12582912` (12 MiB)', '`10`')
    """
    if isinstance(value, bool):
        return f"`{int(value)}`"
    if isinstance(value, int) and value and value % (1 << 10) == 0 and value >= 1 << 18:
        unit, name = next(
            (size, name) for size, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")) if not value % size
        )
        return f"`{value}` ({value // unit} {name})"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`" if value != "" else ""


if __name__ == "__main__":
    main()

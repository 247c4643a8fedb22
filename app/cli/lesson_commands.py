"""Declare the commands about lessons: ``tapedeck lesson check``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(name="lesson", help="Check lessons that you write.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _lesson() -> None:
    """Check lessons that you write."""


@app.command()
def check(
    path: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of lessons, or one lesson (.md).")],
    update: Annotated[
        bool, typer.Option("--update", help="Rewrite numbers that differ from what their cells compute.")
    ] = False,
) -> None:
    """Run the cells of lessons in the sandbox, and report each problem with its file and line.

    Each problem is one line: file:line: problem. The numbers of the prose must equal their cells, every view and node must
    exist, solutions must pass, and starters and mistakes must fail.

    \b
    Exit status:
      0  there is no error; there may be warnings
      1  there is an error
      2  the lessons could not be checked
    """
    from . import lesson_check

    if not asyncio.run(lesson_check.check(path, update=update)):
        raise typer.Exit(1)

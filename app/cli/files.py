"""Write recordings as HTML files: one run into one file, or several into a folder with an index."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

from markupsafe import Markup
from msgspec import Struct

from ..drawing.conversion import ThreadConverter
from ..drawing.picture import Tools, shared_engine
from ..drawing.style import Theme
from ..errors import BadRequest
from ..runs.run import RecordedRun
from ..web.pages.templates import rendered
from ..web.pictures import RunReader, thumbnail
from ..web.sharing.single_file import STYLE, bundle_text, file_policy, write_file
from . import record

P = ParamSpec("P")
T = TypeVar("T")

INDEX = "index.html"
PICTURE_BYTES = 64 * 1024
"""Largest size of a small picture in an index, in bytes. A run with a larger one is listed without a picture."""


class FiledRun(Struct, frozen=True):
    """A file in a folder: its name, and the facts that the index shows about it."""

    file: str
    title: str
    source: str
    outcome: str
    steps: int
    failed: bool
    pictures: dict[Theme, str] = {}
    """The graph, drawn small in the colours of each theme, as ``data:`` URLs; empty if there is none."""


def write_one(invocation: record.Invocation, output: Path, theme: str | None) -> RecordedRun:
    """Run a program and write its recording into a file. Raises :class:`BadRequest` if it cannot be written."""
    recorded, body, _ = asyncio.run(_made(invocation, theme))
    _write(output, body)
    return recorded


def write_folder(invocations: Sequence[record.Invocation], folder: Path, theme: str | None) -> list[RecordedRun]:
    """Run programs in order, and write each recording into a file of a folder, with an index.

    Raises :class:`BadRequest` if the folder or a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadRequest(f"{folder} cannot be made: {error.strerror}.") from error
    entries: list[FiledRun] = []
    runs: list[RecordedRun] = []
    for invocation in invocations:
        recorded, body, pictures = asyncio.run(_made(invocation, theme, listed=True))
        run = recorded.run({})
        name = file_name(invocation.file.name, {each.file for each in entries})
        _write(folder / name, body)
        failed = recorded.status != "done"
        entries.append(FiledRun(name, recorded.title, invocation.file.name, run.outcome, run.steps, failed, pictures))
        runs.append(recorded)
    _write(folder / INDEX, index(folder.resolve().name, entries, theme))
    return runs


async def _made(
    invocation: record.Invocation, theme: str | None, *, listed: bool = False
) -> tuple[RecordedRun, bytes, dict[Theme, str]]:
    """Run a program. Return its recording, its file and, for a file that is ``listed`` in an index, its small pictures."""
    recorded = await record.record(invocation)
    reader = RunReader(_read, Tools(shared_engine(invocation.settings.dot), ThreadConverter()))
    pictures: dict[Theme, str] = {}
    for each in ("light", "dark"):
        drawn = await thumbnail(reader, recorded, each) if listed and theme in (None, each) else None
        if drawn is not None and len(drawn.body) <= PICTURE_BYTES:
            pictures[each] = f"data:image/svg+xml;base64,{base64.b64encode(drawn.body).decode()}"
    return recorded, await write_file(reader, recorded, theme=theme), pictures


async def _read(recorded: RecordedRun, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return work(*args, **kwargs)


def file_name(source: str, taken: set[str]) -> str:
    """Return a name for the HTML file of a program that differs from the names of the other files.

    >>> file_name("fit.py", set()), file_name("fit.ipynb", {"fit.html"}), file_name("index.py", set())
    ('fit.html', 'fit-2.html', 'index-2.html')
    """
    stem = Path(source).stem or "run"
    names = (f"{stem}{f'-{number}' if number > 1 else ''}.html" for number in range(1, len(taken) + 3))
    return next(name for name in names if name not in taken | {INDEX})


def index(title: str, entries: Sequence[FiledRun], theme: str | None) -> bytes:
    """Return the page that lists the files of a folder. Its title is the name of the folder."""
    style = bundle_text(STYLE)
    policy = file_policy(style, [])
    return rendered("files", title=title, entries=entries, theme=theme, style=Markup(style), policy=policy).encode()


def _write(path: Path, body: bytes) -> None:
    try:
        path.write_bytes(body)
    except OSError as error:
        raise BadRequest(f"{path} cannot be written: {error.strerror}.") from error
